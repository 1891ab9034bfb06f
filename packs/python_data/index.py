"""
Writes the library of the pack: the archive that came with the interpreter, behind an index of what is where.

The index is marshalled: modules by their names, all other files by their paths, each with the place of its compressed
bytes in the archive; and the folders that are packages without a file of their own, by their names.
"""

from __future__ import annotations

import marshal
import struct
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Tools for people at a terminal, and tests.
SKIPPED = ("idlelib/", "turtledemo/", "ensurepip/", "pydoc_data/", "_pyrepl/", "profiling/")
LOCAL_HEADER = struct.Struct("<26xHH")


def write(archive: Path, out: Path) -> None:
    """Write it."""
    data = archive.read_bytes()
    modules: dict[str, tuple[bool, int, int, str]] = {}
    files: dict[str, tuple[int, int]] = {}
    with zipfile.ZipFile(archive) as held:
        for info in held.infolist():
            if info.filename.startswith(SKIPPED) or info.is_dir():
                continue
            if info.compress_type != zipfile.ZIP_DEFLATED:
                raise ValueError(f"{info.filename} is not compressed as the others are")
            name, extra = LOCAL_HEADER.unpack_from(data, info.header_offset)
            at = info.header_offset + LOCAL_HEADER.size + name + extra
            if info.filename.endswith(".pyc"):
                stem = info.filename.removesuffix(".pyc")
                package = stem.rpartition("/")[2] == "__init__"
                module = stem.removesuffix("/__init__").replace("/", ".")
                modules[module] = (package, at, info.compress_size, info.filename)
            else:
                files[info.filename] = (at, info.compress_size)
    head = marshal.dumps((modules, files, folders(modules)), 4)
    out.write_bytes(struct.pack("<I", len(head)) + head + data)


def folders(modules: dict[str, tuple[bool, int, int, str]]) -> dict[str, str]:
    """Give the packages that modules are in, and that are none: name -> path."""
    found: dict[str, str] = {}
    for name, (_, _, _, path) in modules.items():
        parents, steps = name.split(".")[:-1], path.split("/")
        for depth in range(1, len(parents) + 1):
            parent = ".".join(parents[:depth])
            if parent not in modules:
                found[parent] = "/".join(steps[:depth])
    return found
