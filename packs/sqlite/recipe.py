"""SQLite with its shell as one static module: the release with Debian's fixes and the changes of `prepare`."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from typing import TYPE_CHECKING

from packs.building import cache
from packs.building.toolchain import LOADERS, TRIPLES, architecture, recorded, unpack
from packs.sqlite.prepare import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build

NAME = "sqlite3"
PINS = {"sqlite3_": "d0cdd2ece271b29e7ce18095745d892517ee26d0f270065b3a25c2e9eb11639c"}
# Which of Debian's patches are fixes of the program, not of its packaging.
PATCHES = r"CVE|fix_a_bug"
# Tcl, for this machine: it puts SQLite's many files together.
TCL = ["tcl8.6", "libtcl8.6", "libc6", "zlib1g"]
TCLSH = """\
#!/bin/sh
R=$(cd "$(dirname "$0")" && pwd)/root
export TCL_LIBRARY="$R/usr/share/tcltk/tcl8.6"
exec "$R/usr/lib/{triple}/{loader}" --library-path "$R/usr/lib/{triple}" "$R/usr/bin/tclsh8.6" "$@"
"""
STACK_BYTES = 4 << 20
# One process at a time has a database: its locks are kept between connections of that process, and WAL in its memory.
OPTIONS = [
    "-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION", '-DSQLITE_DEFAULT_UNIX_VFS="unix-excl"',
    "-DSQLITE_ENABLE_FTS5", "-DSQLITE_ENABLE_MATH_FUNCTIONS", "-DSQLITE_ENABLE_RTREE", "-DSQLITE_ENABLE_DBSTAT_VTAB",
    "-DSQLITE_ENABLE_COLUMN_METADATA", "-DSQLITE_ENABLE_EXPLAIN_COMMENTS", "-DSQLITE_ENABLE_OFFSET_SQL_FUNC",
    "-DSQLITE_MAX_MMAP_SIZE=0", "-DSQLITE_TEMP_STORE=2", "-DHAVE_FCHMOD=0",
    # Recursion in the parser of expressions and of JSON ends before the stack does.
    "-DSQLITE_MAX_EXPR_DEPTH=1000", "-D_WASI_EMULATED_GETPID", "-D_WASI_EMULATED_SIGNAL",
    "-D_WASI_EMULATED_PROCESS_CLOCKS",
]  # fmt: skip
# No processes: `.shell`, `.system`, `edit()`, pipes as files.
SHELL = ["-DSQLITE_NOHAVE_SYSTEM", "-DSQLITE_OMIT_POPEN", "-DSQLITE_SHELL_IS_UTF8=1"]
# setjmp is made of WebAssembly's exceptions, in the form that the standard has.
JUMPS = ["-mllvm", "-wasm-enable-sjlj", "-mllvm", "-wasm-use-legacy-eh=false"]
# Calls that the driver answers itself at times: see clock.c.
WRAPPED = ["__wasi_random_get", "__wasi_clock_time_get"]


def build(build: Build) -> Path:
    """Link the module."""
    compiler = build.compiler()
    build.compiler_path = compiler.path

    def make(place: Path) -> None:
        library(build, place)

    inputs = [build.folder / name for name in ("recipe.py", "prepare.py", "changed.h")]
    base = build.stage("library", cache.digest(compiler.root.name, *inputs), make)
    flags = [
        "-O2", "-g0", *JUMPS, *OPTIONS, *SHELL, f"-I{base}", f"-I{build.folder}", f"-I{build.shared}",
        f"-ffile-prefix-map={build.work}=.", f"-ffile-prefix-map={base}=.", f"-ffile-prefix-map={build.folder}=driver",
        f"-ffile-prefix-map={build.shared}=shared",
    ]  # fmt: skip
    objects: list[str | Path] = [base / "sqlite3.o"]
    with build.steps.step("shell, driver, link"):
        for file in [*sorted(build.shared.glob("*.c")), *sorted(build.folder.glob("*.c"))]:
            strict = ["-w"] if file.name == "shell_unit.c" else ["-Wall", "-Werror"]
            objects.append(f"{file.stem}.o")
            build.run(["wasi-cc", *flags, *strict, "-c", file, "-o", objects[-1]])
        build.run([
            "wasi-cc", "-mexec-model=reactor", "-O2", *JUMPS, *objects, "-lsetjmp",
            "-lwasi-emulated-getpid", "-lwasi-emulated-signal", "-lwasi-emulated-process-clocks", "-lm",
            f"-Wl,-z,stack-size={STACK_BYTES}", "-Wl,--stack-first", "-Wl,--strip-all", "-Wl,--gc-sections",
            *(f"-Wl,--wrap={name}" for name in WRAPPED), "-o", "reactor.wasm",
        ])  # fmt: skip
    build.sources += [(base / "sources.txt").read_text(encoding="utf-8")]
    build.licences["sqlite.txt"] = (base / "LICENSE.md").read_text(encoding="utf-8")
    return build.work / "reactor.wasm"


def library(build: Build, place: Path) -> None:
    """Put the release together, change and compile it: the slow part, which changes seldom."""
    archive = build.archive
    with build.steps.step("source"):
        archive.sources([NAME], PINS)
        debs = archive.packages(TCL)
        unpack(debs, place / "tcl" / "root", build.steps)
        arch = architecture()
        tclsh = place / "tcl" / "tclsh"
        tclsh.write_text(TCLSH.format(triple=TRIPLES[arch], loader=LOADERS[arch]), encoding="utf-8")
        tclsh.chmod(0o755)
        for file, name in ((archive.original(NAME), "original"), (archive.patches(NAME), "debian")):
            with tarfile.open(file) as tar:
                tar.extractall(place / name, filter="tar")
        (source,) = (place / "original").iterdir()
        applied = patch(build, place / "debian" / "debian" / "patches", source)
        used = [archive.original(NAME), archive.patches(NAME), *debs]
        (place / "sources.txt").write_text(recorded(used) + "".join(applied), encoding="utf-8")
    with build.steps.step("amalgamation"):
        path = f"{tclsh.parent}{os.pathsep}{build.compiler_path}"
        build.run(["./configure", "--disable-tcl"], cwd=source, PATH=path)
        build.run(["make", "sqlite3.c", "shell.c"], cwd=source, PATH=path)
        for name in ("sqlite3.c", "sqlite3.h", "shell.c", "LICENSE.md", "test/speedtest1.c"):
            shutil.copy(source / name, place)
        prepare(place)
        for name in ("original", "debian", "tcl"):
            shutil.rmtree(place / name)
    with build.steps.step("SQLite"):
        known: list[str | Path] = ["-include", build.folder / "changed.h", f"-ffile-prefix-map={place}=."]
        build.run(
            ["wasi-cc", "-O2", "-g0", *JUMPS, *OPTIONS, *known, "-w", "-c", "sqlite3.c", "-o", "sqlite3.o"], cwd=place
        )


def patch(build: Build, folder: Path, source: Path) -> list[str]:
    """Apply Debian's fixes, and name them."""
    applied = []
    for line in (folder / "series").read_text(encoding="utf-8").splitlines():
        if re.search(PATCHES, line):
            name = line.split()[0]
            build.run(["patch", "--strip=1", "--silent", "--force", "--input", folder / name], cwd=source)
            applied.append(f"patch {NAME} {name}\n")
    return applied
