"""
The compiler for `wasm32-wasip1`: clang, lld and wasi-libc of one Debian release, the same for every pack and machine.

They run through that release's own C library, so the machine's own may be older or newer.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from packs.building import cache
from packs.building.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from packs.building.archive import Archive
    from packs.building.steps import Steps

CLANG = "22"
TRIPLES = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
LOADERS = {"amd64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}
COMPILER = [
    f"clang-{CLANG}",
    f"lld-{CLANG}",
    f"llvm-{CLANG}",
    f"libllvm{CLANG}",
    f"libclang-cpp{CLANG}",
    f"libclang-common-{CLANG}-dev",
    f"libclang-rt-{CLANG}-dev-wasm32",
]
# What those link to.
LIBRARIES = [
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "libedit2",
    "libbsd0",
    "libmd0",
    "libtinfo6",
    "libffi8",
    "libxml2",
    "liblzma5",
    "libz3-4",
    "libzstd1",
    "zlib1g",
]
LIBC = "wasi-libc"
# Of the programs, the rest is large.
PROGRAMS = {
    "clang",
    f"clang-{CLANG}",
    "lld",
    "wasm-ld",
    *(f"llvm-{tool}" for tool in ("ar", "ranlib", "nm", "strip", "objcopy")),
}
PINS = {"wasi-libc_": "b7716260051d289248b7667f81fa2792c125d888ff51da3fa09c6272cc0bd11d"}

SCRIPT = """\
#!/bin/sh
T=$(cd "$(dirname "$0")/.." && pwd)
exec "$T/root/usr/lib/{triple}/{loader}" --library-path "$T/root/usr/lib/{triple}:$T/root/usr/lib/llvm-{clang}/lib" \\
  --argv0 "{name}" "$T/root/usr/lib/llvm-{clang}/bin/{program}" {flags}"$@"
"""
# `-no-canonical-prefixes`: clang starts itself again by the name it was started with, which is our script.
FLAGS = (
    '--target=wasm32-wasip1 --sysroot="$T/root/usr" -resource-dir "$T/root/usr/lib/llvm-{clang}/lib/clang/{clang}" '
    '-B"$T/bin" -no-canonical-prefixes --no-wasm-opt -Qunused-arguments '
)


class Toolchain:
    """
    An unpacked compiler.

    Attributes:
        root: its folder.
        bin: the folder of `wasi-cc`, `wasi-ar`, `wasi-nm`, `wasi-ranlib` and `wasi-strip`.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.bin = root, root / "bin"

    @property
    def path(self) -> str:
        """Give the `PATH` that finds it first."""
        return f"{self.bin}{os.pathsep}{os.environ['PATH']}"

    @property
    def versions(self) -> str:
        """Tell which packages it was unpacked from, a line each with the sha256."""
        return (self.root / "packages.txt").read_text(encoding="utf-8")

    @property
    def licences(self) -> dict[str, str]:
        """Give the licences of what it links into every module."""
        linked = [LIBC, f"libclang-rt-{CLANG}-dev-wasm32"]
        folder = self.root / "root" / "usr" / "share" / "doc"
        return {f"{name}.txt": (folder / name / "copyright").read_text(encoding="utf-8") for name in linked}


def toolchain(archive: Archive, steps: Steps) -> Toolchain:
    """Give the compiler, fetched and unpacked unless that was done."""
    arch = architecture()

    def make(place: Path) -> None:
        with steps.step("fetch the compiler"):
            debs = archive.packages([*COMPILER, *LIBRARIES, LIBC], PINS)
        with steps.step("unpack the compiler"):
            unpack(debs, place / "root", steps)
            for program in (place / "root" / "usr" / "lib" / f"llvm-{CLANG}" / "bin").iterdir():
                if program.name not in PROGRAMS:
                    program.unlink()
            (place / "packages.txt").write_text(recorded(debs), encoding="utf-8")
            scripts(place / "bin", arch)
            steps.run([place / "bin" / "wasi-cc", "--version"])
            archive.forget(debs)

    here = cache.ROOT / "packs" / "building"
    key = cache.digest(arch, here / "toolchain.py", here / "archive.py")
    return Toolchain(cache.entry(f"toolchain-{key}", make))


def unpack(debs: Sequence[Path], place: Path, steps: Steps) -> None:
    """Unpack packages into a folder: without their scripts, so nothing of them runs."""
    place.mkdir(parents=True, exist_ok=True)
    for deb in debs:
        steps.run(["dpkg-deb", "--extract", deb, place])


def recorded(files: Sequence[Path]) -> str:
    """Write down what something was made from."""
    return "".join(f"{cache.sha256(file)}  {file.name}\n" for file in sorted(files, key=lambda file: file.name))


def scripts(place: Path, arch: str) -> None:
    """Write the commands; each finds its tree from where it stands itself."""
    commands = {
        "clang": ("$0", "clang", ""),
        "wasi-cc": ("$T/bin/clang", "clang", FLAGS.format(clang=CLANG)),
        f"wasm-ld-{CLANG}": ("wasm-ld", "lld", ""),
        "wasm-ld": ("wasm-ld", "lld", ""),
        **{f"wasi-{tool}": (f"llvm-{tool}", f"llvm-{tool}", "") for tool in ("ar", "ranlib", "nm", "strip")},
    }
    place.mkdir()
    for name, (argv0, program, flags) in commands.items():
        words = {
            "triple": TRIPLES[arch],
            "loader": LOADERS[arch],
            "clang": CLANG,
            "name": argv0,
            "program": program,
            "flags": flags,
        }
        (place / name).write_text(SCRIPT.format(**words), encoding="utf-8")
        (place / name).chmod(0o755)


def architecture() -> str:
    """Give this machine's architecture as Debian calls it."""
    try:
        told = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(
            "no `dpkg` on this machine",
            "the compiler of packs is made of Debian's packages",
            "build packs on Debian 12 or newer, and install the wheel here",
        ) from error
    arch = told.stdout.strip()
    if arch not in TRIPLES:
        raise Failure(
            f"packs are not built on {arch}",
            f"known are {', '.join(TRIPLES)}",
            "build them on one of those: a pack runs everywhere",
        )
    return arch
