"""Work on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from ringfence._running import Running, on_thread
from waiting import late


def test_work_returns_to_whoever_waits() -> None:
    """What the work returned comes out of `wait`, as often as it is asked for."""
    running = Running(lambda _: 42)

    assert [42, 42] == [running.wait(), running.wait()]
    assert running.over


def test_error_is_raised_where_it_is_waited_for() -> None:
    """An exception crosses the thread."""

    def fail(_: object) -> None:
        raise ValueError("from the thread")

    with pytest.raises(ValueError, match="from the thread"):
        Running(fail).wait()


def test_done_is_called_even_after_an_error() -> None:
    """Whoever holds pipes for the work can rely on being told."""
    told = threading.Event()

    running: Running[float] = Running(lambda _: 1 / 0, done=told.set)

    assert told.wait(5)
    with pytest.raises(ZeroDivisionError):
        running.wait()


def test_waiting_is_bounded() -> None:
    """`wait` with a timeout gives up, and the work goes on."""
    release = threading.Event()
    running = Running(lambda _: release.wait(10))

    with pytest.raises(TimeoutError, match="still running"):
        running.wait(0.01)
    release.set()

    assert running.wait(5)


def test_a_hundred_can_wait_at_a_time() -> None:
    """Awaited work never queues behind a pool."""
    together = threading.Barrier(100)

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(on_thread(lambda _: together.wait(20)) for _ in range(100)))

    assert list(range(100)) == sorted(asyncio.run(all_of_them()))


def test_work_that_is_left_does_not_hold_its_caller() -> None:
    """With `leave`, cancelling returns at once, even after the loop is closed."""
    release = threading.Event()

    async def give_up() -> None:
        await asyncio.wait_for(on_thread(lambda _: release.wait(10), leave=True), 0.01)

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    assert time.monotonic() - started < late(1)
    release.set()
