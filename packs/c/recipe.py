"""Clang and wasm-ld, as others have linked them, with the headers and libraries that C programs need inside."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from packs.building.failure import Failure
from packs.building.pack import PACKS
from packs.components import npm
from packs.python_data import merge

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build

PACKAGE = npm.Package(
    "@yowasp/clang", "21.1.4-3",
    "xeAA7iFvDZ/C32d/h/BDSpmxEZePnorpi+EfaORDWwJN3c9rFXHvUVoHb+alo8U8jNaxJMWBLLGecT55D/YQKA==",
)  # fmt: skip
SHARED = [PACKS / "components", PACKS / "python_data" / "merge.py"]
COMPILER = "4677de03b671ffc7a7c9fb9eae1b9318ed94fb98e47c4f28935ea41cd9410f5d"
RESOURCES = "87a8be5f079692dee3e01c419361f766e2664c4fc60e01278858a8470f3c87d4"
# The custom section with the files that the compiler sees below `/usr`; see `ringfence/_compiled.py`.
ROOT = "ringfence.root"
LIBRARY = "lib/wasm32-wasip1"
# Of clang's own headers those that are for any machine, or for this one.
HEADERS = frozenset({
    "float.h", "inttypes.h", "iso646.h", "limits.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h",
    "stdckdint.h", "stddef.h", "stdint.h", "stdnoreturn.h", "tgmath.h", "varargs.h", "wasm_simd128.h",
})  # fmt: skip
PARTS = ("include/__std", "include/wasm32-wasip1/", "lib/wasm32-unknown-wasip1/libclang_rt.builtins")
# Of C++, and for shared libraries.
LEFT_OUT = ("libc++", "crt1-reactor")
# The first day that a zip archive knows: what comes out is the same every time.
DAY = (1980, 1, 1, 0, 0, 0)


def build(build: Build) -> Path:
    """Make the module."""
    package = PACKAGE.fetched(build)
    build.licences |= {
        "notice.txt": (build.folder / "NOTICE.txt").read_text(encoding="utf-8"),
        "apache-2.0.txt": (PACKS.parent / "LICENSE").read_text(encoding="utf-8"),
    }
    with build.steps.step("headers and libraries"):
        compiler = pinned(package / "gen" / "llvm.core.wasm", COMPILER)
        section = merge.blob(ROOT.encode()) + root(pinned(package / "gen" / "llvm-resources.tar", RESOURCES))
        made = build.work / "compiler.wasm"
        # First, where it is found without reading the rest.
        made.write_bytes(merge.HEADER + b"\0" + merge.blob(section) + compiler.removeprefix(merge.HEADER))
    return made


def pinned(file: Path, sha256: str) -> bytes:
    """Read a file that has to have this digest."""
    held = file.read_bytes()
    if (found := hashlib.sha256(held).hexdigest()) != sha256:
        raise Failure(f"{file.name} is not the pinned one", f"its sha256 is {found}", "do not use this registry")
    return held


def root(archive: bytes) -> bytes:
    """Give what C programs need of the compiler's files, as a zip archive."""
    written = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as held, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as made:
        for member in sorted(held.getmembers(), key=lambda member: member.name):
            name = str(PurePosixPath(member.name))
            if member.isfile() and is_needed(name):
                with held.extractfile(member) or io.BytesIO() as file:
                    made.writestr(zipfile.ZipInfo(name, DAY), file.read(), zipfile.ZIP_DEFLATED, 9)
    return written.getvalue()


def is_needed(name: str) -> bool:
    """Tell whether C programs need a file."""
    path = PurePosixPath(name)
    if path.parent == PurePosixPath(LIBRARY):
        return path.suffix in {".a", ".o"} and not path.name.startswith(LEFT_OUT)
    return name.startswith(PARTS) or (path.parent == PurePosixPath("include") and path.name in HEADERS)
