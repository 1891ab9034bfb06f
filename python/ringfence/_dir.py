"""What a guest sees of files: `Dir`, of the host or in memory."""

from __future__ import annotations

import os

from ._engine import core
from ._unzip import unzip
from ._value import Value
from .errors import PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Literal, Self


# Shown only where there is one.
_REST = ("zip", "tree")


class Dir(Value):
    """
    One directory or single file at one guest path: of the host, or in memory only (`Dir.memory`).

    Attributes:
        host: the directory or file; a relative one is taken from the working directory. None for what is in memory.
        at: where the guest sees it, an absolute path; left out, the host path as it was written, made absolute
            at `/`: `data` is `/data`, `.` is `/`.
        mode: "ro" to read, "rw" also to write, "overlay" to write into a private layer: the host stays as it is, and
            `result.changes` says what would be different. "memory" writes to a tree that is in memory only.
        zip: an archive whose files it shows, unpacked when the policy is made.
        tree: the files it shows that were handed in by bytes.
    """

    __slots__ = ("host", "at", "mode", "zip", "tree")
    host: str | None
    at: str | None
    mode: Literal["ro", "rw", "overlay", "memory"]
    zip: str | None
    tree: core.Tree | None

    def __init__(
        self,
        host: str | os.PathLike[str],
        *,
        at: str | None = None,
        mode: Literal["ro", "rw", "overlay", "memory"] = "ro",
    ) -> None:
        self._fill(host=os.fspath(host), at=at, mode=mode, zip=None, tree=None)

    @classmethod
    def memory(
        cls,
        source: Mapping[str, bytes | str] | str | os.PathLike[str] | bytes | None = None,
        *,
        at: str,
        file: bytes | str | None = None,
        mode: Literal["memory", "ro"] = "memory",
    ) -> Self:
        """
        Grant files that are in memory only: every run begins with the same ones, and nothing reaches the host.

        What a run makes of them is in `result.changes` and `result.files`. What is handed in has to fit the limits
        `disk` and `files`; a run's own totals count only what it adds.

        Args:
            source: files by their paths, text or bytes, a path that ends in `/` a directory; or a zip archive, by its
                path or its bytes. An empty tree unless given.
            at: where the guest sees it, an absolute path.
            file: instead of a source, the bytes or text of a single file, which is then at `at` itself.
            mode: "memory" to read and write, "ro" to read.

        Raises:
            PolicyError: a path climbs or is there twice, or the archive is broken, too large, or holds links.
        """
        archive: str | None = None
        tree: core.Tree | None = None
        if file is not None:
            if source is not None:
                raise PolicyError(
                    "a tree and a file at one guest path", "the guest could see only one", "make two grants of it"
                )
            tree = core.Tree.of_file(_bytes(at, file))
        elif isinstance(source, (bytes, bytearray, memoryview)):
            tree = unzip(bytes(source))
        elif isinstance(source, (str, os.PathLike)):
            archive = os.fspath(source)
        elif source is not None or mode != "memory":
            tree = core.Tree([_entry(path, data) for path, data in (source or {}).items()])
        return cls._of({"at": at, "mode": mode, "zip": archive, "tree": tree})

    def __repr__(self) -> str:
        fields = {name: value for name, value in self._fields().items() if name not in _REST or value is not None}
        return f"Dir({', '.join(f'{name}={value!r}' for name, value in fields.items())})"

    @classmethod
    def _of(cls, entry: Mapping[str, Any], trees: Mapping[str, core.Tree] | None = None) -> Self:
        """Make one of a policy's document, where a tree is its digest."""
        grant = cls.__new__(cls)
        fields = {name: entry.get(name) for name in cls.__slots__}
        if isinstance(fields["tree"], str):
            fields["tree"] = (trees or {})[fields["tree"]]
        grant._fill(**fields)  # noqa: SLF001
        return grant


def _entry(path: str, data: bytes | str) -> tuple[str, bytes | None]:
    if not isinstance(path, str):
        raise PolicyError(f"{path!r} is no path", "files are named by text", "write it like `sub/b.txt`")
    if path.endswith("/") and path != "/" and not data:
        return path.removesuffix("/"), None
    return path, _bytes(path, data)


def _bytes(path: str, data: bytes | str) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    if isinstance(data, str):
        return data.encode()
    raise PolicyError(f"{data!r} is not what a file holds", f"`{path}` is bytes or text", 'give `b"…"` or text')
