"""Started guests."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

import pytest

from ringfence import Limits, Sandbox
from waiting import late

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path


@pytest.fixture
def cat(guests: Path) -> Sandbox:
    """A guest that copies its input to its output."""
    return Sandbox(guests / "cat.wat")


@pytest.fixture
def spin(guests: Path) -> Sandbox:
    """A guest that never ends."""
    return Sandbox(guests / "spin_forever.wat")


def test_conversation_goes_back_and_forth(cat: Sandbox) -> None:
    """What is written is answered while the guest runs, as with Popen."""
    with cat.start() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in (b"one\n", b"two\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert line == process.stdout.readline()
        assert process.poll() is None
        process.stdin.close()
        assert b"" == process.stdout.read()

        assert process.wait(5).ok


def test_killed_guest_is_gone_in_time(spin: Sandbox) -> None:
    """`kill` ends a guest that never calls the host, within 100 ms."""
    process = spin.start()
    time.sleep(0.05)
    assert process.poll() is None

    started = time.monotonic()
    process.kill()
    result = process.wait(5)

    assert "cancelled" == result.outcome
    assert time.monotonic() - started < late(0.3)
    assert result == process.result


def test_wait_gives_up_and_the_guest_goes_on(spin: Sandbox) -> None:
    """A bounded wait raises TimeoutError and ends nothing."""
    process = spin.start()
    with pytest.raises(TimeoutError):
        process.wait(0.05)

    assert process.result is None
    process.kill()
    process.wait(5)


def test_limits_end_a_started_guest(spin: Sandbox) -> None:
    """A handle changes nothing about limits."""
    assert "wall" == spin.start(limits=Limits(wall="100ms")).wait(5).limit


def test_leaving_by_an_exception_kills_the_guest(spin: Sandbox) -> None:
    """An error in the block does not wait for a guest that never ends."""
    started = time.monotonic()
    with pytest.raises(LookupError), spin.start() as process:
        raise LookupError

    assert time.monotonic() - started < late(1)
    assert process.result is not None
    assert "cancelled" == process.result.outcome


def test_leaving_with_unread_output_does_not_hang(guests: Path) -> None:
    """Closed pipes let a guest that floods them go on to its end."""
    flood = Sandbox(guests / "flood_stdout.wat")
    with flood.start(limits=Limits(wall="300ms")) as process:
        assert process.stdout is not None
        process.stdout.read(10)

    assert process.result is not None


def test_captured_stream_is_in_the_result(guests: Path) -> None:
    """Standard error is captured unless asked for as a pipe."""
    with Sandbox(guests / "complain.wat").start() as process:
        assert process.stderr is None

    assert b"\x1b[31mbad luck\n" == process.wait().stderr


def test_dropped_process_leaves_nothing_behind(
    spin: Sandbox, nothing_stays: Callable[[], AbstractContextManager[None]]
) -> None:
    """A handle that is forgotten takes its guest, thread and descriptors with it."""
    with nothing_stays():
        process = spin.start()
        del process
        gc.collect()


def test_function_cannot_be_a_stream_of_a_started_guest(cat: Sandbox) -> None:
    """Nobody would be there to call it, and the error says so."""
    with pytest.raises(ValueError, match='give "pipe"'):
        cat.start(stdout=print)
