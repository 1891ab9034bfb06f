"""The flag `--dir`: a directory or file, a place, a mode."""

from __future__ import annotations

from ringfence._dir import Dir

from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

_MODES: dict[str, Literal["ro", "rw", "overlay"]] = {"ro": "ro", "rw": "rw", "overlay": "overlay"}
_MEMORY = "memory"


def to_dir(text: str) -> Dir:
    """
    Read HOST[:GUEST][:MODE].

    MODE is `ro`, `rw`, `overlay` or `memory` after the last colon; GUEST is absolute, so it starts at the last `:/`. A
    host path with a colon in it needs its guest path written out. With `memory`, HOST is a zip archive, or nothing.
    """
    rest, colon, last = text.rpartition(":")
    mode = last if colon and (last in _MODES or last == _MEMORY) else None
    if mode is None:
        rest = text
    host, absolute, guest = rest.rpartition(":/")
    if not absolute:
        host = rest
    _, colon, wrong = (guest if absolute else host).rpartition(":")
    if colon and mode is None:
        raise UsageError(
            f"cannot read `--dir {text}`",
            f"`{wrong}` is neither a mode, which is `ro`, `rw`, `overlay` or `memory`, nor an absolute guest path",
            "write `--dir HOST:/GUEST:ro`, the whole of it where a path has a colon",
        )
    if mode == _MEMORY:
        if not absolute:
            raise UsageError(
                f"cannot read `--dir {text}`",
                "what is in memory needs a guest path",
                "write `--dir :/scratch:memory`, or `--dir in.zip:/in:memory`",
            )
        return Dir.memory(host or None, at=f"/{guest}")
    if not host:
        raise UsageError(
            f"cannot read `--dir {text}`",
            "the host path is empty",
            "write `--dir .:/` for this directory, or `--dir :/scratch:memory` for an empty one in memory",
        )
    return Dir(host, at=f"/{guest}" if absolute else None, mode=_MODES[mode or "ro"])
