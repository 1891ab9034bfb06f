"""What a session was at one moment: `Snapshot`, to fork sessions from."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ._engine import core
    from ._functions import Hook
    from ._policy import Policy
    from ._session import Origin, Session


class Snapshot:
    """
    What a session was between two turns. Sessions are forked from it as often as one likes; none sees another.

    It holds the interpreter's memory, in this process only: no file, no descriptor, and no secret's value. Secrets are
    read again for each fork. It is freed with its last reference.
    """

    __slots__ = ("_native", "_origin")

    def __init__(self, native: core.Snapshot, origin: Origin, /) -> None:
        self._native, self._origin = native, origin

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

    def __repr__(self) -> str:
        return f"<Snapshot {self._origin.language!r}>"
