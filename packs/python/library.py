"""
Compile the standard library into one blob, and the boot modules into a table of C.

    library.py LIBRARY TIME_ZONES GUEST OUT

Runs under the same version of Python as the pack has. The blob is the length of the index, the index (marshalled:
modules and data files with their places), and the data. Sources are compressed: they are read for tracebacks only.
"""

from __future__ import annotations

import marshal
import struct
import sys
import zlib
from pathlib import Path

PREFIX = "/usr/lib/python3.13/"
# Not for a sandbox (what installs, draws or tests), and other systems' parts.
SKIPPED = {
    "test", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "turtle.py", "venv", "curses",
    "__pycache__", "__phello__", "__hello__.py", "_ios_support.py", "_android_support.py", "_aix_support.py",
    "_osx_support.py", "lib-dynload",
}  # fmt: skip
# The library's own, for which one of guest/ stands.
REPLACED = {PREFIX + "ssl.py"}
VARIABLES = {
    "prefix": "/usr", "exec_prefix": "/usr", "EXT_SUFFIX": ".cpython-313-wasm32-wasi.so",
    "SOABI": "cpython-313-wasm32-wasi",
    "VERSION": "3.13", "py_version_short": "3.13", "Py_DEBUG": 0, "Py_GIL_DISABLED": 0, "WITH_PYMALLOC": 1,
    "WITH_DOC_STRINGS": 1,
    "HOST_GNU_TYPE": "wasm32-unknown-wasi", "MULTIARCH": "wasm32-wasi", "BINDIR": "/usr/bin", "LIBDIR": "/usr/lib",
    "LIBDEST": PREFIX[:-1], "Py_ENABLE_SHARED": 0, "CC": "", "CFLAGS": "",
}  # fmt: skip
# These are frozen in Python itself: tracebacks call them so.
FROZEN = set(
    "abc codecs io _collections_abc _sitebuiltins genericpath ntpath posixpath os site stat importlib.util "  # noqa: SIM905
    "importlib.machinery runpy".split()
)
# Warnings and tracebacks pass over the frames of Python's own importer, which they know by this name: ours is it, here.
IMPORTER = {"_ringfence.importer": "<frozen importlib._bootstrap_external>"}
# What Python's start imports before our importer is there.
EARLY = ["encodings", "encodings.aliases", "encodings.utf_8"]


class Module:
    """A module: whether it is a package, its code, source and path."""

    def __init__(self, name: str, source: bytes, path: str, *, package: bool) -> None:
        self.name, self.source, self.path, self.package = name, source, path, package
        shown = f"<frozen {name}>" if name in FROZEN else IMPORTER.get(name, path)
        self.code = marshal.dumps(compile(source, shown, "exec", dont_inherit=True, optimize=0))


def modules(folder: Path, path: str, within: str = "") -> list[Module]:
    """Compile a folder of modules."""
    found: list[Module] = []
    for file in sorted(folder.iterdir()):
        if file.name in SKIPPED or path + file.name in REPLACED:
            continue
        if file.is_dir():
            if file.name.isidentifier() and (file / "__init__.py").exists():
                found += modules(file, f"{path}{file.name}/", f"{within}{file.name}.")
        elif file.suffix == ".py":
            package = file.stem == "__init__"
            name = within.removesuffix(".") if package else within + file.stem
            if name:
                found.append(Module(name, file.read_bytes(), path + file.name, package=package))
    return found


def blob(library: list[Module], files: dict[str, bytes]) -> bytes:
    """Lay out: all code first, for neighbours in memory are used together; then sources, then files."""
    parts: list[bytes] = []
    at = 0

    def put(held: bytes) -> tuple[int, int]:
        nonlocal at
        parts.append(held)
        at += len(held)
        return at - len(held), len(held)

    code = {module.name: put(module.code) for module in library}
    source = {module.name: put(zlib.compress(module.source, 9)) for module in library}
    index = {each.name: (each.package, *code[each.name], *source[each.name], each.path) for each in library}
    head = marshal.dumps((index, {path: put(held) for path, held in sorted(files.items())}))
    return b"".join([struct.pack("<I", len(head)), head, *parts])


def frozen(boot: list[Module]) -> str:
    """Write the table that CPython looks for frozen modules in."""
    arrays, rows = [], []
    for module in boot:
        name = "module_" + module.name.replace(".", "_")
        arrays.append(f"static const unsigned char {name}[] = {{{','.join(map(str, module.code))}}};\n")
        rows.append(f'  {{"{module.name}", {name}, {len(module.code)}, {int(module.package)}}},\n')
    return f"#include <Python.h>\n{''.join(arrays)}const struct _frozen rf_frozen[] = {{\n{''.join(rows)}  {{0}}\n}};\n"


def time_zones(folder: Path) -> tuple[list[Module], dict[str, bytes]]:
    """Give the package `tzdata`: its modules, and what they describe."""
    path = PREFIX + "tzdata/"
    files = {
        path + str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix not in {".py", ".pyc"}
    }
    return modules(folder, path, "tzdata."), files


def main() -> None:
    """Write `stdlib.blob` and `frozen.c`."""
    library_folder, zones, guest, out = map(Path, sys.argv[1:])
    zone_modules, files = time_zones(zones)
    variables = f"build_time_vars = {VARIABLES!r}\n".encode()
    library = modules(library_folder, PREFIX) + zone_modules
    library.append(Module("_sysconfigdata__wasi_wasm32-wasi", variables, PREFIX + "_sysconfigdata.py", package=False))
    (out / "stdlib.blob").write_bytes(blob(library, files))
    boot = [module for module in library if module.name in EARLY] + modules(guest, "<ringfence>/")
    (out / "frozen.c").write_text(frozen(boot), encoding="utf-8")


main()
