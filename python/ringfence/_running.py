"""Work on a thread of its own, so that its caller can feed it, wait for it, await it or end it."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from ._engine import core
from .errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Running(Generic[T]):
    """
    One piece of work on its own thread, with what ends it.

    A thread each, never a pool: a pool's size would decide how many guests may wait at a time.

    Args:
        work: what to do; it hands the kill on to its guest.
        done: called on the thread when it is over, whichever way.
        kill: a kill to share, where there is one already.
    """

    __slots__ = ("_answer", "_done", "_error", "_thread", "kill")

    def __init__(
        self, work: Callable[[core.Kill], T], *, done: Callable[[], object] | None = None, kill: core.Kill | None = None
    ) -> None:
        self.kill = core.Kill() if kill is None else kill
        self._done = done
        self._answer: list[T] = []
        self._error: BaseException | None = None
        # A daemon: an interpreter that exits does not wait for a guest.
        # In a copy of the caller's context: what the guest calls sees the variables that its caller does.
        target = contextvars.copy_context().run
        self._thread = threading.Thread(target=target, args=(self._work, work), name="ringfence", daemon=True)
        self._thread.start()

    def _work(self, work: Callable[[core.Kill], T]) -> None:
        try:
            self._answer.append(work(self.kill))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
        finally:
            if self._done is not None:
                self._done()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> T:
        """
        Wait for the end: what the work returned, or the exception it raised.

        Raises:
            TimeoutError: it is still running after `timeout` seconds.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"the guest is still running after {timeout} s")
        if self._error is not None:
            raise self._error
        if not self._answer:
            raise HostError(
                "the guest cannot be waited for here",
                "it runs in another process: this one was forked from that",
                "wait for it there, and start guests of its own in each process",
            )
        return self._answer[0]

    def end(self) -> None:
        """Kill its guest and wait until it is gone, whatever became of it."""
        self.kill.kill()
        self._thread.join()


async def on_thread(work: Callable[[core.Kill], T], *, leave: bool = False, softly: bool = False) -> T:
    """
    Await work on a thread of its own, since the event loop's own executor is too small for guests that wait.

    Cancelling the task kills its guest and waits until it is gone; with `leave`, the work is left to finish alone;
    with `softly`, the guest hears of it first, and what does not end then is killed.
    """
    import asyncio
    import contextlib

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def done() -> None:
        with contextlib.suppress(RuntimeError):  # the loop of abandoned work may be closed
            loop.call_soon_threadsafe(ended.set)

    running = Running(work, done=done)
    try:
        await ended.wait()
    except BaseException:
        if softly:
            running.kill.interrupt()
        else:
            running.kill.kill()
        if not leave:
            await ended.wait()
            running.end()
        raise
    return running.wait()
