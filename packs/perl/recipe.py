"""Perl, as the project zeroperl has linked it, joined with our driver, its library inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packs.building.pack import PACKS
from packs.components import join, npm

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build

PACKAGE = npm.Package(
    "@6over3/zeroperl-ts", "1.0.10",
    "d7fBgN1UaP9BR6kZMyNsjIrxPd0QLqqx29VSprhK66m1csm/7E/anr+rEfp3gJDSne5FfDpM6aKtDGHyXG/vYQ==",
)  # fmt: skip
SHARED = [PACKS / "components", PACKS / "python_data" / "merge.py"]
INTERPRETER = join.Interpreter(
    sha256="a6ae97f184fabc444b0b70d77c3d16475bfb3de16ebfb58ab8b2fbf98a53835e",
    functions={
        "malloc": 2271, "free": 2269, "_initialize": 2266, "zeroperl_init_with_args": 2305, "zeroperl_eval": 2285,
        "zeroperl_free_interpreter": 2288, "asyncify_stop_unwind": 2475,
        "asyncify_start_rewind": 2476,
    },
    between=frozenset({
        "path_open", "fd_read", "fd_write", "fd_close", "fd_seek", "fd_tell", "fd_fdstat_get", "fd_filestat_get",
        "fd_fdstat_set_flags", "call_host_function",
    }),
    # Their seeds are made of the time: `/dev/urandom` is not found there.
    instead={1617: ("call_host_function", 3)},
)  # fmt: skip
# Where in its memory: what a jump goes to, what was unwound, `$?` at the end, and `PL_exit_flags`.
PLACES = {"ACTIVE_JUMP": 30023012, "UNWOUND": 30023016, "STATUS": 29990256, "EXIT_FLAGS": 29990152}


def build(build: Build) -> Path:
    """Make the module."""
    package = PACKAGE.fetched(build)
    build.licences |= {
        "notice.txt": (build.folder / "NOTICE.txt").read_text(encoding="utf-8"),
        "artistic.txt": (build.folder / "ARTISTIC.txt").read_text(encoding="utf-8"),
        "apache-2.0.txt": (PACKS.parent / "LICENSE").read_text(encoding="utf-8"),
    }
    with build.steps.step("driver, join"):
        return join.joined(build, INTERPRETER, package / "dist" / "esm" / "zeroperl.wasm", PLACES)
