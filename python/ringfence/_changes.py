"""What a run changed in private layers: `Change`, `Changes`, `ChangedFiles`."""

from __future__ import annotations

import os

from ._value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Literal

    from ._engine import core

# Lines compared with lines before a diff gives up on finding what they share: both files are the guest's to write.
_MAX_COMPARED = 4_000_000


class Change(Value):
    """
    One name that is not as it was before the run.

    Attributes:
        path: where the guest has it; not escaped.
        act: "added", "modified" or "deleted".
        kind: "file", "dir", "link", or "other" for a pipe, socket or device.
        size_before: bytes it had; None for a directory and for what was not there.
        size: bytes it has; None for a directory and for what is gone.
    """

    __slots__ = ("path", "act", "kind", "size_before", "size")
    path: str
    act: Literal["added", "modified", "deleted"]
    kind: Literal["file", "dir", "link", "other"]
    size_before: int | None
    size: int | None

    def __init__(
        self,
        path: str,
        act: Literal["added", "modified", "deleted"],
        kind: Literal["file", "dir", "link", "other"],
        size_before: int | None,
        size: int | None,
    ) -> None:
        self._fill(path=path, act=act, kind=kind, size_before=size_before, size=size)


class Changes:
    """
    What a run changed where its policy grants `mode="overlay"` or files in memory: a sequence of `Change`, by path.

    The host is as it was until `apply` is called. The bytes live as long as the result. Pickled, only the list goes
    along. Of a run whose worker had to be killed nobody knows the changes: to ask for them is a `HostError`.
    """

    __slots__ = ("_list", "_native")
    _list: tuple[Change, ...]

    def __init__(self, native: core.Changes | None, /) -> None:
        self._native = native

    def _all(self) -> tuple[Change, ...]:
        try:
            return self._list
        except AttributeError:
            entries = self._native.list() if self._native else []
            self._list = tuple(Change(*entry) for entry in entries)  # type: ignore[arg-type]
            return self._list

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[Change]:
        return iter(self._all())

    def __getitem__(self, index: int) -> Change:
        return self._all()[index]

    def diff(self) -> str:
        """
        Show what changed in files of text, as `diff -u` does; of others only that they did.

        Not escaped: a guest can put anything in it.
        """
        return "".join(line for change in self._all() if change.kind == "file" for line in self._diff(change))

    def _diff(self, change: Change) -> Iterator[str]:
        if self._native is None:
            return
        before = b"" if change.act == "added" else self._native.read_before(change.path)
        after = b"" if change.act == "deleted" else self._native.read(change.path)
        names = (
            "/dev/null" if change.act == "added" else f"a{change.path}",
            "/dev/null" if change.act == "deleted" else f"b{change.path}",
        )
        try:
            if b"\0" in before or b"\0" in after:
                raise ValueError
            old, new = (data.decode("utf-8").splitlines(keepends=True) for data in (before, after))
        except ValueError:
            yield f"Binary files {names[0]} and {names[1]} differ\n"
            return
        for line in _unified(old, new, names):
            yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"

    def target(self, path: str) -> str:
        """
        Get what a link names that was added or modified; not escaped, and a guest names what it likes.

        Raises:
            KeyError: there is no such link.
        """
        target = None if self._native is None else self._native.target(path)
        if target is None:
            raise KeyError(path)
        return target

    def apply(self, only: Iterable[str] | None = None, *, overwrite: bool = False) -> int:
        """
        Write the changes to the host, beneath the directory that was granted; return how many names that were.

        What is in memory has no place on the host, and is passed over unless `only` names it.

        No link is followed, and each file is the old one or the new one whenever this process dies. What the host
        changed since the guest first saw it is a conflict, and then nothing is written.

        Args:
            only: guest paths to apply; a directory with all below it. All unless given.
            overwrite: apply over what the host changed meanwhile.

        Raises:
            Conflict: somebody else changed the same on the host.
            PolicyError: a path was not changed or is in memory, or a link would lead out of the directory.
            HostError: the host refused; what was applied before stays.
        """
        if isinstance(only, str):
            raise TypeError(f"only is a list of paths, and {only!r} is one text\nhint: write `[{only!r}]`")
        if self._native is None:
            return 0
        return self._native.apply(None if only is None else [os.fspath(path) for path in only], overwrite)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the files that were added or modified into a zip archive, by their guest paths."""
        import zipfile

        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for change in self._all():
                name = change.path.lstrip("/")
                if change.act != "deleted" and change.kind == "file" and self._native:
                    archive.writestr(zipfile.ZipInfo(name), self._native.read(change.path), zipfile.ZIP_DEFLATED)

    def __repr__(self) -> str:
        return f"<Changes: {len(self)}>"


class ChangedFiles:
    """The files that a run added or modified, by guest path: `result.files["/out/plot.png"]` is the bytes."""

    __slots__ = ("_changes",)

    def __init__(self, changes: Changes, /) -> None:
        self._changes = changes

    def __getitem__(self, path: str) -> bytes:
        native = self._changes._native  # noqa: SLF001
        if native is None or path not in self:
            raise KeyError(path)
        return native.read(path)

    def __contains__(self, path: object) -> bool:
        return any(path == other for other in self)

    def __iter__(self) -> Iterator[str]:
        return (change.path for change in self._changes if change.kind == "file" and change.act != "deleted")

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> list[str]:
        """List the paths."""
        return list(self)

    def __repr__(self) -> str:
        return f"<ChangedFiles: {len(self)}>"


def _unified(old: list[str], new: list[str], names: tuple[str, str]) -> Iterator[str]:
    """Compare lines; where there are too many, all of them changed."""
    import difflib

    if len(old) * len(new) <= _MAX_COMPARED:
        return difflib.unified_diff(old, new, *names)
    header = [f"--- {names[0]}\n", f"+++ {names[1]}\n", f"@@ -1,{len(old)} +1,{len(new)} @@\n"]
    return iter(header + [f"-{line}" for line in old] + [f"+{line}" for line in new])
