"""Bytes between a guest's pipes and functions of its caller: on threads of their own, which can be left behind."""

from __future__ import annotations

import contextlib
import contextvars
import os
import selectors
import threading
import time
from typing import TYPE_CHECKING

from ._engine import core
from ._imports import abandoned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from ._turn import Turn

    T = TypeVar("T", core.Result, Turn)

# What came to its own end: a run, or a turn of a session.
_ENDED = ("exited", "returned", "raised")

# What a pipe of Linux holds.
_CHUNK_BYTES = 64 * 1024

# How long after the end of its run a function may still be at work before the caller goes on without it.
_GRACE_SECONDS = 0.1


class Feed:
    """Our end of a pipe into the guest."""

    __slots__ = ("_pending", "_read", "end", "title")
    event = selectors.EVENT_WRITE

    def __init__(self, title: str, end: int, read: Callable[[int], bytes]) -> None:
        os.set_blocking(end, False)
        self.title = title
        self.end = end
        self._read = read
        self._pending = b""

    def move(self) -> bool:
        """Move what fits; False when there is no more, or nobody to read it."""
        self._pending = self._pending or self._read(_CHUNK_BYTES)
        if not self._pending:
            return False
        try:
            self._pending = self._pending[os.write(self.end, self._pending) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False
        return True


class Drain:
    """Our end of a pipe out of the guest."""

    __slots__ = ("_take", "end", "title")
    event = selectors.EVENT_READ

    def __init__(self, title: str, end: int, take: Callable[[bytes], object]) -> None:
        self.title = title
        self.end = end
        self._take = take

    def move(self) -> bool:
        """Move what is there; False when the guest will write no more."""
        data = os.read(self.end, _CHUNK_BYTES)
        if data:
            self._take(data)
        return bool(data)


class Pump:
    """
    One thread that moves bytes through pipes until the guest has let go of them, and then closes them.

    A function that raises ends the guest; its exception is kept as `error`. It sees the context variables of whoever
    made the pump.
    """

    __slots__ = ("_inside", "_kill", "_left", "_pipes", "_thread", "error")

    def __init__(self, pipes: Sequence[Feed | Drain], kill: core.Kill) -> None:
        self.error: BaseException | None = None
        self._pipes = pipes
        self._kill = kill
        self._inside: str | None = None
        self._left = False
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._move,), name="ringfence-pump", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._close()
            raise

    def _move(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                for pipe in self._pipes:
                    selector.register(pipe.end, pipe.event, pipe)
                while selector.get_map():
                    for key, _ in selector.select():
                        pipe = key.data
                        self._inside = pipe.title
                        more = pipe.move()
                        self._inside = None
                        if self._left:
                            return
                        if not more:
                            selector.unregister(pipe.end)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for the run
            self.error = error
            self._kill.kill()
        finally:
            self._inside = None
            self._close()

    def _close(self) -> None:
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                os.close(pipe.end)

    def wait(self, until: float) -> bool:
        """Wait until everything is moved, or until that time; whether it was."""
        self._thread.join(max(0.0, until - time.monotonic()))
        return not self._thread.is_alive()

    def leave(self) -> str | None:
        """Leave it to itself: it moves nothing more. The name of the function that it is inside of, if it is."""
        self._left = True
        return self._inside


def with_pumps(
    pipes: Sequence[Feed | Drain],
    work: Callable[[core.Kill], T],
    *,
    let_go: Callable[[], None],
    kill: core.Kill | None,
    wall_seconds: float,
) -> T:
    """
    Run a guest on this thread while pumps move its bytes, and give what came of it once they are all moved.

    Where a function is still at work when the run has to end, it is abandoned, and a guest that was done by then has
    reached the limit `wall` all the same: not all that it wrote has arrived.
    """
    kill = core.Kill() if kill is None else kill
    until = time.monotonic() + wall_seconds
    groups = [[pipe for pipe in pipes if isinstance(pipe, kind)] for kind in (Feed, Drain)]
    pumps: list[Pump] = []
    result = None
    try:
        # A pump owns its pipes from the moment it is made, even if that fails.
        while groups:
            group = groups.pop()
            if group:
                pumps.append(Pump(group, kill))
        result = work(kill)
    finally:
        for pipe in [pipe for group in groups for pipe in group]:
            os.close(pipe.end)
        let_go()
        late = _end(pumps, until if result is not None and result.outcome in _ENDED else 0.0)
    for pump in pumps:
        if pump.error is not None:
            raise pump.error
    return _too_late(result) if late else result


def _end(pumps: list[Pump], until: float) -> bool:
    """Wait for the pumps, and leave behind those that are not done in time; whether output was lost by that."""
    until = max(until, time.monotonic() + _GRACE_SECONDS)
    late = False
    for pump in pumps:
        is_feed = isinstance(pump._pipes[0], Feed)  # noqa: SLF001 - one room
        # Nobody reads what a feed would still bring.
        if pump.wait(min(until, time.monotonic() + _GRACE_SECONDS) if is_feed else until):
            continue
        inside = pump.leave()
        if inside is not None:
            late = late or not is_feed
            abandoned(inside)
    return late


def _too_late(result: T) -> T:
    if result.outcome not in _ENDED:
        return result
    if not isinstance(result, core.Result):
        late: T = result.too_late()
        return late
    _, _, stdout, stderr, *_, truncated, usage, denials, _ = result.state()
    return core.Result("limited", None, stdout, stderr, "wall", None, None, truncated, usage, denials, result.changes)
