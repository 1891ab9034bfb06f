"""Many instances of one plugin, for calls from many threads at once."""

from __future__ import annotations

from ._plugin import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from typing import Any, Literal, Self

    from ._isolation import Isolation
    from ._policy import Policy
    from ._program import Program

# As many as an engine has places for.
_MOST = 1000


class PluginPool(Plugin):
    """
    Instances of one plugin, called from many threads at once: each call takes one that is free, or waits for one.

    For a plugin that keeps nothing between calls: nobody can tell which instance a call comes to. What a trap, a limit
    or an exception of yours has left in an unknown state is replaced by a new instance.

    Args:
        count: how many there may be at one time; they are made when they are first needed.
        program: as for `Plugin`.
        policy: what each instance may do; limits are of each call and each instance.
        imports: as for `Plugin`; called from as many threads at once.
        fresh: "call" makes a new instance for each call, which finds nothing of any call before it.
        inline: as for `Plugin`.
        stub: as for `Plugin`.
        isolation: as for `Plugin`; each instance has a child process of its own.
        tenant: as for `Plugin`.
        progress: as for `Plugin`.

    Attributes:
        count: how many there may be.
        fresh: "call", or None.

    Raises:
        ProgramNotFound: there is no such program.
        LoadError: it is no plugin.
    """

    def __init__(
        self,
        count: int,
        program: str | os.PathLike[str] | bytes | Program,
        *,
        policy: Policy | None = None,
        imports: Mapping[str, object] | None = None,
        fresh: Literal["call"] | None = None,
        inline: bool = False,
        stub: bool = False,
        isolation: Isolation = "wasm",
        tenant: str | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self._of_so_many(count, fresh)
        given: dict[str, Any] = {"isolation": isolation, "tenant": tenant, "progress": progress}
        super().__init__(program, policy=policy, imports=imports, inline=inline, stub=stub, **given)

    def _of_so_many(self, count: int, fresh: Literal["call"] | None) -> None:
        self.count, self.fresh = checked(count, fresh), fresh

    def restart(self) -> None:
        """Replace every instance by a new one before its next call."""
        super().restart()

    def _begin_as(self, other: Self, program: Program, **words: Any) -> None:  # noqa: ANN401 - as for `__init__`
        self.count, self.fresh = other.count, other.fresh
        super()._begin_as(other, program, **words)

    def _instances(self) -> tuple[int, bool] | None:
        return self.count, self.fresh == "call"

    def __repr__(self) -> str:
        return f"<PluginPool {self.program.name!r} of {self.count}>"


def checked(count: int, fresh: str | None) -> int:
    """
    Check how many instances there may be, and for how long.

    Raises:
        TypeError: the count is no int.
        ValueError: it is not from 1 to 1000, or `fresh` is neither "call" nor None.
    """
    if type(count) is not int:
        raise TypeError(f"a pool has a number of instances, not {count!r:.60}\nhint: `PluginPool(4, program)`")
    if not 1 <= count <= _MOST:
        raise ValueError(f"a pool has 1 to {_MOST} instances, not {count}\nhint: one for each thread that calls")
    if fresh not in (None, "call"):
        raise ValueError(f'fresh is "call" or None, not {fresh!r:.60}\nhint: leave it out to keep instances')
    return count
