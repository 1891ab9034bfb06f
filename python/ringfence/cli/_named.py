"""Saved sessions that have names: files in a folder of this user's."""

from __future__ import annotations

import os

from ringfence._text import quote
from ringfence.errors import HostError, SnapshotNotFound

from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ringfence.errors import RingfenceError

_END = ".snapshot"
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_MAX_NAME = 100


class Named:
    """
    A saved session with a name.

    Attributes:
        name: what it is called.
        path: where it is.
    """

    __slots__ = ("name", "path")

    def __init__(self, name: str) -> None:
        if not _is_name(name):
            raise UsageError(
                f"`{quote(name, 40)}` is no name of a session",
                "it may have letters, digits, `.`, `-` and `_`",
                "write such a name, or a path with a `/` in it",
            )
        self.name, self.path = name, os.path.join(_folder(), name + _END)  # noqa: PTH118 - pathlib costs 4 ms to import

    def facts(self) -> dict[str, Any]:
        """
        Read what it tells of itself, when all of it was proven.

        Raises:
            SnapshotError: it is not as it was written, or not by this user.
        """
        from ringfence._saved import SavedFile

        file = SavedFile(self.path, None)
        told = ("language", "pack", "program", "ringfence", "saved", "memory_bytes", "functions")
        return {"name": self.name, "path": self.path, "file_bytes": file.native.file_bytes} | {
            key: file.facts[key] for key in told
        }

    def remove(self) -> None:
        """Remove it."""
        try:
            os.unlink(self.path)  # noqa: PTH108
        except FileNotFoundError:
            raise missing(self.name) from None
        except OSError as error:
            why = error.strerror or str(error)
            raise HostError(f"`{self.name}` cannot be removed", why, f"look at `{quote(self.path)}`") from error


def named() -> list[Named]:
    """Find them all, in the order of their names."""
    try:
        files = sorted(os.listdir(_folder()))  # noqa: PTH208
    except FileNotFoundError:
        return []
    found = []
    for file in files:
        name = file.removesuffix(_END)
        if name != file and _is_name(name):
            found.append(Named(name))
    return found


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME and name[0] not in ".-" and set(name) <= _LETTERS


def place(word: str) -> str:
    """Take the name of a saved session, or a path, which has a slash; the folder of names is made."""
    if "/" in word:
        return word
    path = Named(word).path
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
    return path


def found(word: str) -> str:
    """Take the same of one that is there."""
    path = place(word)
    if path != word and not os.path.lexists(path):
        raise missing(word)
    return path


def missing(name: str) -> RingfenceError:
    """Make the error for a name that nothing has."""
    return SnapshotNotFound(
        f"no saved session `{quote(name, 40)}`",
        "there is none of that name",
        "see `ringfence session list`; a path has a `/` in it, such as `./file`",
    )


def _folder() -> str:
    from ringfence._engine import core

    state = core.state_path()
    if state is None:
        raise HostError("saved sessions have no place", "neither XDG_STATE_HOME nor HOME is set", "set one of them")
    return os.path.join(state, "sessions")  # noqa: PTH118
