"""The slow part, which changes seldom: CPython's own library and the libraries it uses, compiled but not linked."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from typing import TYPE_CHECKING

from packs.building import cache
from packs.building.failure import Failure
from packs.building.toolchain import LOADERS, TRIPLES, architecture, recorded, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build
    from packs.building.toolchain import Toolchain

VERSION = "3.13.5"
# The originals, exactly; Debian's own patches on top of them move with its security updates, and are written down.
PINS = {
    "python3.13_": "93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640",
    "zlib_": "60dd315c07f616887caa029408308a018ace66e3d142726a97db164b3b8f69fb",
    "sqlite3_": "d0cdd2ece271b29e7ce18095745d892517ee26d0f270065b3a25c2e9eb11639c",
    "bzip2_": "ab5a03176ee106d3f0fa90e381da478ddae405918153cca248e682cd0c4a2269",
    "xz-utils_": "0b54f79df85912504de0b14aec7971e3f964491af1812d83447005807513cd9e",
}
# Which of Debian's patches are fixes of the program, not of its packaging.
PATCHES = {
    "python3.13": r"^(CVE|dict-use|traverse-man|revert-logger|issue)",
    "sqlite3": r"CVE|fix_a_bug",
    "xz-utils": r"buffer-overflow",
}
CHANGES = [
    # The parser's own limit is lower for WASI than elsewhere; with 4 MiB of stack it need not: 150 brackets are usual.
    ("Parser/parser.c", "#    define MAXSTACK 4000", "#    define MAXSTACK 6000"),
    # Tuples inside one another are hashed without a look at the stack: natively that crashes some 100,000 levels deep.
    (
        "Objects/object.c",
        "    if (tp->tp_hash != NULL)\n        return (*tp->tp_hash)(v);\n    /*",
        """\
    if (tp->tp_hash != NULL) {
        if (_Py_EnterRecursiveCall(" while hashing"))
            return -1;
        Py_hash_t hash = (*tp->tp_hash)(v);
        _Py_LeaveRecursiveCall();
        return hash;
    }
    /*""",
    ),
]
TEXTS = {
    "CPython.txt": "python3.13/LICENSE", "inside-CPython.rst": "python3.13/Doc/license.rst", "zlib.txt": "zlib/LICENSE",
    "bzip2.txt": "bzip2/LICENSE", "xz.txt": "xz-utils/COPYING.0BSD", "SQLite.txt": "sqlite3/LICENSE.md",
}  # fmt: skip
# The same Python for this machine: it runs the build and compiles the library, so it must be of the same version.
HOST_PYTHON = ["python3.13-minimal", "libpython3.13-minimal", "libpython3.13-stdlib", "libc6", "zlib1g", "libexpat1"]
TCL = ["tcl8.6", "libtcl8.6"]
HOST = """\
#!/bin/sh
R=$(cd "$(dirname "$0")" && pwd); L="$R/root/usr/lib/{triple}"
{environment}exec "$L/{loader}" --library-path "$L" --argv0 "{argv0}" "$R/root/usr/bin/{program}" "$@"
"""
OPTIMIZE = ["-O3", "-g0"]
EMULATED = ["-D_WASI_EMULATED_SIGNAL", "-D_WASI_EMULATED_GETPID", "-D_WASI_EMULATED_PROCESS_CLOCKS"]
ZLIB = [
    *("adler32", "crc32", "deflate", "infback", "inffast", "inflate", "inftrees", "trees", "zutil", "compress"),
    "uncompr",
]
BZIP2 = ["blocksort", "huffman", "crctable", "randtable", "compress", "decompress", "bzlib"]
SQLITE_MODULE = [
    *("blob", "connection", "cursor", "microprotocols", "module", "prepare_protocol", "row", "statement", "util")
]
SQLITE = [
    "-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION", '-DSQLITE_DEFAULT_UNIX_VFS="unix-none"',
    "-DSQLITE_ENABLE_FTS5", "-DSQLITE_ENABLE_MATH_FUNCTIONS", "-DSQLITE_ENABLE_COLUMN_METADATA",
    "-DSQLITE_ENABLE_RTREE", "-DSQLITE_MAX_MMAP_SIZE=0", "-DSQLITE_TEMP_STORE=2", "-DSQLITE_OMIT_WAL",
    "-DHAVE_FCHMOD=0", "-D_WASI_EMULATED_GETPID", "-w",
]  # fmt: skip
XZ_WITHOUT = ["xz", "xzdec", "lzmadec", "lzmainfo", "scripts", "doc", "nls", "assembler", "shared"]
XZ = ["--enable-threads=no", *(f"--disable-{part}" for part in XZ_WITHOUT)]
ARCHIVES = [
    "libpython3.13.a",
    "Modules/_decimal/libmpdec/libmpdec.a",
    "Modules/expat/libexpat.a",
    "Modules/_hacl/libHacl_Hash_SHA2.a",
]


def stage(build: Build, compiler: Toolchain) -> Path:
    """Give the folder with `lib`, `include`, `Lib`, `host` and `licences`, built unless it was."""

    def make(place: Path) -> None:
        for tool, package in {"make": "make", "patch": "patch", "cc": "build-essential"}.items():
            if shutil.which(tool) is None:
                raise Failure(
                    f"no `{tool}` on this machine", "CPython's own build needs it", f"apt-get install {package}"
                )
        work = build.work / "interpreter"
        work.mkdir()
        for folder in ("lib", "include", "licences"):
            (place / folder).mkdir()
        fetch(build, work, place)
        libraries(build, work, place)
        cpython(build, work, place)
        shutil.rmtree(work)

    return build.stage("interpreter", cache.digest(compiler.root.name, build.folder / "interpreter.py"), make)


def flags(work: Path, base: Path) -> list[str]:
    """Give the compiler's flags for code that sees inside CPython."""
    include = base / "include"
    folders = (include, include / "python", include / "python" / "internal")
    return [
        *OPTIMIZE,
        "-DNDEBUG",
        f"-ffile-prefix-map={work}=.",
        f"-ffile-prefix-map={base}=.",
        "-fwrapv",
        "-DPy_BUILD_CORE",
        *(f"-I{folder}" for folder in folders),
        *EMULATED,
    ]


def fetch(build: Build, work: Path, place: Path) -> None:
    """Fetch the sources and the Python for this machine; unpack and patch them."""
    archive, names = build.archive, [pin.removesuffix("_") for pin in PINS]
    with build.steps.step("fetch CPython"):
        archive.sources(names, PINS)
        host, tcl = archive.packages(HOST_PYTHON), archive.packages(TCL)
    with build.steps.step("unpack, patch"):
        unpack(host, place / "host" / "root", build.steps)
        unpack([*tcl, *host], work / "tcl" / "root", build.steps)
        arch = architecture()
        words = {"triple": TRIPLES[arch], "loader": LOADERS[arch]}
        script(
            place / "host" / "python3.13",
            HOST.format(argv0="$R/root/usr/bin/python3.13", program="python3.13", environment="", **words),
        )
        environment = 'export TCL_LIBRARY="$R/root/usr/share/tcltk/tcl8.6"\n'
        script(work / "tcl" / "tclsh", HOST.format(argv0="tclsh", program="tclsh8.6", environment=environment, **words))
        applied = []
        for name in names:
            source = work / name
            extract(archive.original(name), source)
            if name in PATCHES:
                extract(archive.patches(name), work / f"{name}-debian", strip=False)
                folder = work / f"{name}-debian" / "debian" / "patches"
                for line in (folder / "series").read_text(encoding="utf-8").splitlines():
                    if re.search(PATCHES[name], line):
                        build.run(
                            ["patch", "--strip=1", "--silent", "--force", "--input", folder / line.split()[0]],
                            cwd=source,
                        )
                        applied.append(f"patch {name} {line.split()[0]}\n")
        for name, before, after in CHANGES:
            file = work / "python3.13" / name
            text = file.read_text(encoding="utf-8")
            if text.count(before) != 1:
                raise Failure(
                    f"{name} has changed", f"`{before}` is not in it once", "look at CHANGES in interpreter.py"
                )
            file.write_text(text.replace(before, after), encoding="utf-8")
            applied.append(f"change {name}: {' '.join(after.split())}\n")
        used = [*(archive.original(name) for name in names), *(archive.patches(name) for name in PATCHES), *host, *tcl]
        (place / "sources.txt").write_text(recorded(used) + "".join(applied), encoding="utf-8")
        for name, text in TEXTS.items():
            shutil.copy(work / text, place / "licences" / name)
        archive.forget([*used, *archive.files.glob("*.dsc"), *archive.files.glob("*.asc")])


def script(file: Path, text: str) -> None:
    """Write a command."""
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755)


def extract(file: Path, place: Path, *, strip: bool = True) -> None:
    """Unpack a tarball, without the folder that it is in."""
    place.mkdir()
    with tarfile.open(file) as tar:
        tar.extractall(place, filter="tar")
    inside = list(place.iterdir())
    if strip and len(inside) == 1:
        for each in inside[0].iterdir():
            each.rename(place / each.name)
        inside[0].rmdir()


def libraries(build: Build, work: Path, place: Path) -> None:
    """Compile zlib, bzip2, liblzma and SQLite."""
    small = [*OPTIMIZE, f"-ffile-prefix-map={work}=."]
    include = place / "include"
    with build.steps.step("zlib, bzip2"):
        for library, folder, names in (("libz", "zlib", ZLIB), ("libbz2", "bzip2", BZIP2)):
            build.run(["wasi-cc", *small, "-c", *(f"{name}.c" for name in names)], cwd=work / folder)
            build.run(
                ["wasi-ar", "rcsD", place / "lib" / f"{library}.a", *(f"{name}.o" for name in names)], cwd=work / folder
            )
        for header in ("zlib/zlib.h", "zlib/zconf.h", "bzip2/bzlib.h"):
            shutil.copy(work / header, include)
    with build.steps.step("liblzma"):
        source = work / "xz-utils"
        build.run(
            ["./configure", "--host=wasm32-wasi", "--build=x86_64-pc-linux-gnu", *XZ],
            cwd=source,
            CC="wasi-cc",
            AR="wasi-ar",
            RANLIB="wasi-ranlib",
            NM="wasi-nm",
            CFLAGS=" ".join([*small, "-D_WASI_EMULATED_SIGNAL"]),
        )
        build.run(["make", *jobs(), "-C", "src/liblzma"], cwd=source)
        shutil.copy(source / "src/liblzma/.libs/liblzma.a", place / "lib")
        shutil.copytree(source / "src/liblzma/api/lzma", include / "lzma")
        shutil.copy(source / "src/liblzma/api/lzma.h", include)
    with build.steps.step("SQLite"):
        source = work / "sqlite3"
        path = f"{work / 'tcl'}{os.pathsep}{build.compiler_path}"
        build.run(["./configure", "--disable-tcl"], cwd=source, PATH=path)
        build.run(["make", "sqlite3.c"], cwd=source, PATH=path)
        build.run(["wasi-cc", *small, "-O2", *SQLITE, "-c", "sqlite3.c", "-o", "sqlite3.o"], cwd=source)
        build.run(["wasi-ar", "rcsD", place / "lib" / "libsqlite3.a", "sqlite3.o"], cwd=source)
        for header in ("sqlite3.h", "sqlite3ext.h"):
            shutil.copy(source / header, include)


def cpython(build: Build, work: Path, place: Path) -> None:
    """Compile CPython for WASI, with this machine's own of the same version for what its build runs."""
    source, out = work / "python3.13", work / "build"
    out.mkdir()
    with build.steps.step("CPython: configure"):
        build.run(
            [
                "../python3.13/configure",
                "--host=wasm32-unknown-wasi",
                "--build=x86_64-pc-linux-gnu",
                f"--with-build-python={place / 'host' / 'python3.13'}",
                "--with-pymalloc",
                "--enable-big-digits=30",
                "--disable-test-modules",
                "--without-ensurepip",
                "--prefix=/usr",
            ],
            cwd=out,
            CONFIG_SITE="../python3.13/Tools/wasm/config.site-wasm32-wasi",
            CC="wasi-cc",
            CPP="wasi-cc -E",
            AR="wasi-ar",
            RANLIB="wasi-ranlib",
            NM="wasi-nm",
            STRIP="wasi-strip",
            PKG_CONFIG="false",
            CFLAGS=" ".join([*OPTIMIZE, f"-ffile-prefix-map={work}=."]),
            CPPFLAGS=f"-I{place / 'include'}",
            LDFLAGS=f"-L{place / 'lib'}",
            ZLIB_CFLAGS=" ",
            ZLIB_LIBS="-lz",
            BZIP2_CFLAGS=" ",
            BZIP2_LIBS="-lbz2",
            LIBLZMA_CFLAGS=" ",
            LIBLZMA_LIBS="-llzma",
        )
    with build.steps.step("CPython: compile"):
        build.run(["make", *jobs(), *ARCHIVES], cwd=out)
    with build.steps.step("CPython: collect"):
        for archive in ARCHIVES:
            shutil.copy(out / archive, place / "lib")
        shutil.copytree(source / "Include", place / "include" / "python")
        shutil.copy(out / "pyconfig.h", place / "include")
        skipped = shutil.ignore_patterns("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "__pycache__")
        shutil.copytree(source / "Lib", place / "Lib", ignore=skipped)
        for name in SQLITE_MODULE:
            file = source / "Modules" / "_sqlite" / f"{name}.c"
            build.run(
                [
                    "wasi-cc",
                    *flags(work, place),
                    '-DMODULE_NAME="sqlite3"',
                    "-c",
                    file,
                    "-o",
                    place / "lib" / f"sqlite_{name}.o",
                ]
            )


def jobs() -> list[str]:
    """Use every processor."""
    return [f"--jobs={len(os.sched_getaffinity(0))}"]
