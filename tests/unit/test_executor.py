"""The executor: as `concurrent.futures` has them, and every call in a sandbox."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from concurrent.futures import CancelledError, Executor, as_completed, wait
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import GuestRaised, Limits, SandboxFuture, SandboxPoolExecutor, WallReached
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

pytestmark = pytest.mark.usefixtures("compiled")

SPIN = "def f(*_):\n    while True: pass"


def double(number: int) -> int:
    """Double it."""
    return number * 2


@pytest.fixture
def executor() -> Iterator[SandboxPoolExecutor]:
    """Have one with two threads, ended with its guests."""
    executor = SandboxPoolExecutor(2)
    yield executor
    executor.kill_workers()
    executor.shutdown()


def test_it_is_an_executor(executor: SandboxPoolExecutor) -> None:
    """What takes an executor takes this one: `wait`, `as_completed`, the event loop."""

    async def in_loop() -> int:
        return await asyncio.get_running_loop().run_in_executor(executor, double, 21)

    assert isinstance(executor, Executor)
    futures = [executor.submit(double, number) for number in range(4)]
    assert set(futures) == wait(futures, timeout=30).done
    assert {0, 2, 4, 6} == {future.result() for future in as_completed(futures, timeout=30)}
    assert 42 == asyncio.run(in_loop())


def test_map_keeps_the_order_whichever_ends_first(executor: SandboxPoolExecutor) -> None:
    """The first input takes the longest."""
    code = "def f(number):\n    sum(range(200_000 if number == 0 else 1))\n    return number"

    assert list(range(20)) == list(executor.map(code, range(20)))
    assert [3, 5] == list(executor.map("lambda a, b: a + b", [1, 2], [2, 3]))
    assert [2, 4] == list(executor.map(double, [1, 2], timeout=30))


def test_failed_call_raises_where_its_value_is_asked_for(executor: SandboxPoolExecutor) -> None:
    """The other calls are not touched by it."""
    futures = [executor.submit("lambda x: 1 / x", x) for x in (0, 1)]

    with pytest.raises(GuestRaised, match="ZeroDivisionError"):
        futures[0].result()
    assert 1.0 == futures[1].result()
    assert isinstance(futures[0].exception(), GuestRaised)


def test_future_tells_how_the_call_went(executor: SandboxPoolExecutor) -> None:
    """What it printed, used and was refused is in its turn."""
    future = executor.submit("def f():\n    print('hello')\n    return 1")

    assert 1 == future.result()
    assert future.turn is not None
    assert ("hello\n", "returned") == (future.turn.text, future.turn.outcome)


def test_limits_hold_for_each_call() -> None:
    """Those that spin end, and the others are not kept waiting."""
    with SandboxPoolExecutor(2, limits=Limits(wall="200ms")) as executor:
        futures = [executor.submit("def f(x):\n    while x: pass\n    return x", x) for x in (1, 0, 1, 0)]

        assert [0, 0] == [futures[1].result(), futures[3].result()]
        for future in (futures[0], futures[2]):
            with pytest.raises(WallReached):
                future.result()


def test_call_under_way_can_be_cancelled(executor: SandboxPoolExecutor) -> None:
    """Its guest is ended, and its thread takes the next one."""
    spinning = [executor.submit(SPIN) for _ in range(2)]
    until(lambda: all(future.running() for future in spinning))
    waiting = executor.submit(double, 21)
    assert not waiting.running()

    assert all(future.cancel() for future in spinning)

    assert 42 == waiting.result(timeout=30)
    with pytest.raises(CancelledError):
        spinning[0].result()
    assert not waiting.cancel()


def test_cancelled_task_ends_its_guest(executor: SandboxPoolExecutor) -> None:
    """`run_in_executor` of a thread pool would leave it running."""

    async def cancelled() -> SandboxFuture[Any]:
        future = executor.submit(SPIN)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(future), 0.1)
        return future

    future = asyncio.run(cancelled())

    assert future.cancelled()
    until(lambda: future.turn is not None)
    assert future.turn is not None
    assert "cancelled" == future.turn.outcome


def test_shutdown_finishes_what_was_submitted_or_cancels_what_has_not_begun() -> None:
    """As of any executor; and nothing more is taken."""
    executor = SandboxPoolExecutor(1)
    futures = [executor.submit(double, number) for number in range(3)]
    executor.shutdown()
    assert [0, 2, 4] == [future.result() for future in futures]
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(double, 1)

    executor = SandboxPoolExecutor(1)
    running = executor.submit("def f():\n    sum(range(300_000))\n    return 1")
    until(running.running)
    waiting = [executor.submit(double, number) for number in range(3)]
    executor.shutdown(cancel_futures=True)
    assert [True] * 3 == [future.cancelled() for future in waiting]
    assert 1 == running.result()


def test_nothing_stays_of_an_executor(nothing_stays: Callable[[], AbstractContextManager[None]]) -> None:
    """No thread, and no descriptor, of calls that ended in any way."""
    with nothing_stays(), SandboxPoolExecutor(2) as executor:
        list(executor.map(double, range(10)))
        spinning = executor.submit(SPIN)
        until(spinning.running)
        spinning.cancel()


def test_function_that_does_not_travel_is_refused_when_it_is_submitted(executor: SandboxPoolExecutor) -> None:
    """Not later, on a thread where nobody looks."""
    with pytest.raises(TypeError, match="it is a lambda"):
        executor.submit(lambda: 1)


def test_each_call_has_a_worker_where_that_is_asked_for() -> None:
    """Behind the second wall the same holds; more calls at a time than processes are refused."""
    with SandboxPoolExecutor(2, isolation="worker") as executor:
        assert [0, 2, 4] == list(executor.map(double, range(3)))
    with pytest.raises(ValueError, match="at most 64"):
        SandboxPoolExecutor(65, isolation="worker")


def test_interrupt_ends_guests_and_program() -> None:
    """Ctrl-C in a `with` block does not wait for those that would never end."""
    code = (
        "import ringfence, sys\n"
        "with ringfence.SandboxPoolExecutor(2, policy=ringfence.Policy(limits=ringfence.Limits(wall='1h'))) as e:\n"
        f"    futures = [e.submit({SPIN!r}) for _ in range(5)]\n"
        "    while not futures[0].running(): pass\n"
        "    print('up', flush=True)\n"
        "    futures[0].result()\n"
    )
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert "up\n" == started.stdout.readline()

    started.send_signal(signal.SIGINT)

    _, errors = started.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert 0 != started.returncode
