"""What a session was at one moment: `Snapshot`, to fork sessions from."""

from __future__ import annotations

import os

from ._saved import SavedFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ._engine import core
    from ._functions import Hook
    from ._isolation import Isolation
    from ._policy import Limits, Policy
    from ._program import Program
    from ._session import Origin, Session


class Snapshot:
    """
    What a session was between two turns. Sessions are forked from it as often as one likes; none sees another.

    It holds the interpreter's memory: no file, no descriptor, and no secret's value. Secrets are read again for each
    fork. It is in this process only until it is saved, and is freed with its last reference. That of a session in
    isolation is forked in isolation, whether it was saved in between or not.
    """

    __slots__ = ("_native", "_origin")

    def __init__(self, native: core.Snapshot, origin: Origin, /) -> None:
        self._native, self._origin = native, origin

    @property
    def language(self) -> str:
        """What its session was opened with."""
        return self._origin.language

    def fork(
        self,
        *,
        policy: Policy | None = None,
        allow_wider: bool = False,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        before_call: Hook | None = None,
    ) -> Session:
        """
        Open a session that goes on from here.

        Args:
            policy: what its code may do instead of what the session might; no wider, see `Policy.wider_than`.
            allow_wider: let `policy` grant more.
            functions: functions of yours instead of those of the session that it was, under the same names; `{}` for
                none.
            before_call: as for `Session`, for functions that are given here.

        Raises:
            PolicyError: `policy` is wider than that of the session; says in what.
            SessionError: the snapshot is of another process.
        """
        return self.fork_many(1, policy=policy, allow_wider=allow_wider, functions=functions, before_call=before_call)[
            0
        ]

    def fork_many(
        self,
        count: int,
        *,
        policy: Policy | None = None,
        allow_wider: bool = False,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        before_call: Hook | None = None,
    ) -> list[Session]:
        """Open `count` sessions that go on from here, as `fork` does."""
        return self._origin.forks(self._native.fork, count, policy, allow_wider, functions, before_call)

    def save(self, path: str | os.PathLike[str], *, key: bytes | None = None) -> None:
        """
        Write it to a file, from which it can be loaded again: here, in another process, or on another machine.

        The file holds what the interpreter's memory holds, in the clear, and its policy; never a secret's value, and
        never native code. Only you may read it (0600). It is there whole or not at all, whatever ends this process; a
        file that was there is replaced.

        Args:
            path: where; a file that is there already is replaced.
            key: what authenticates it, 32 random bytes or more, for another machine or user that has them too; without
                one, a key of this user on this machine, made on first use.

        Raises:
            HostError: it cannot be written; what was there is as it was.
            PolicyError: `key` is too short.
            SessionError: the snapshot is of another process, or what its worker wrote is none.
        """
        self._native.save(os.fspath(path), key, *self._origin.described())

    async def asave(self, path: str | os.PathLike[str], *, key: bytes | None = None) -> None:
        """Write it to a file while the event loop goes on; as `save`."""
        from ._running import on_thread

        await on_thread(lambda _: self.save(path, key=key))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        key: bytes | None = None,
        policy: Policy | None = None,
        allow_wider: bool = False,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        before_call: Hook | None = None,
        turn: Limits | None = None,
        language: str | Program | None = None,
        progress: Callable[[float], None] | None = None,
        isolation: Isolation | None = None,
        tenant: str | None = None,
    ) -> Snapshot:
        """
        Read a snapshot that was saved.

        Nothing of the file is looked at before all of it was proven to be as it was written with the key. Whoever has
        the key decides what it holds, its policy included: give `policy` where that is not you.

        Args:
            path: the file.
            key: what it was saved with; without one, the key of this user on this machine.
            policy: what its forks may do: nothing that the policy that it was saved under does not grant. Without one
                they have that policy, whose directories are opened again here.
            allow_wider: let `policy` grant more.
            functions: functions of yours for its forks, under names that its session was opened with; none without.
            before_call: as for `Session`, for those functions.
            turn: limits of each turn of its forks, instead of those that its session had.
            language: the `Program` of its pack, or its name where that is another one here.
            progress: called while the language is compiled, as for `Sandbox`.
            isolation: where its forks are, as for `Session`; where its session was, unless given.
            tenant: whose forks they are, as for `Session`.

        Raises:
            SnapshotNotFound: there is no such file.
            SnapshotForeign: it was saved with another key.
            SnapshotNewer: it has a format that only a newer Ringfence reads.
            SnapshotMismatch: it is memory of another version of its pack; says which.
            SnapshotError: it is no saved snapshot, or is not as it was written.
            LoadError: its language is not installed.
            PolicyError: `policy` is wider than the one that it was saved under, or that cannot be had here.
            HostError: its session was isolated by a second wall, or `isolation` asks for it, and this machine has none.
        """
        # What makes sessions is above this module, and asked for by its public name.
        from ringfence import Session

        given = (policy, functions, before_call, turn, progress, isolation, tenant)
        return Session._loaded(SavedFile(path, key), language, given, allow_wider=allow_wider)  # noqa: SLF001

    @classmethod
    async def aload(
        cls,
        path: str | os.PathLike[str],
        *,
        key: bytes | None = None,
        policy: Policy | None = None,
        allow_wider: bool = False,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        before_call: Hook | None = None,
        turn: Limits | None = None,
        language: str | Program | None = None,
        progress: Callable[[float], None] | None = None,
        isolation: Isolation | None = None,
        tenant: str | None = None,
    ) -> Snapshot:
        """Read a snapshot that was saved while the event loop goes on; as `load`."""
        from ._running import on_thread

        def work(_: core.Kill) -> Snapshot:
            return cls.load(
                path,
                key=key,
                policy=policy,
                allow_wider=allow_wider,
                functions=functions,
                before_call=before_call,
                turn=turn,
                language=language,
                progress=progress,
                isolation=isolation,
                tenant=tenant,
            )

        return await on_thread(work)

    def __repr__(self) -> str:
        return f"<Snapshot {self._origin.language!r}>"
