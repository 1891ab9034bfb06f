"""Bytes between a guest's pipes and functions of its caller."""

from __future__ import annotations

import contextvars
import io
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ringfence import CallbackAbandoned, Limits, Sandbox
from waiting import late

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What blocked functions wait for; set in the end, whatever happens."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(autouse=True)
def nothing_leaks(
    guests: Path, release: threading.Event, nothing_stays: Callable[[], AbstractContextManager[None]]
) -> Iterator[None]:
    """What was abandoned is gone once its function returns: no descriptor and no thread stays."""
    Sandbox(guests / "hello.wat").run()
    with nothing_stays():
        yield
        release.set()


@pytest.mark.parametrize("guest", ["hello.wat", "flood_stdout.wat"])
def test_function_that_blocks_is_left_behind_at_the_deadline(
    guests: Path, release: threading.Event, guest: str
) -> None:
    """The caller is back in time with a warning that names the function, whether or not the guest was done."""

    def show(_: bytes) -> None:
        release.wait(20)

    sandbox = Sandbox(guests / guest)
    started = time.monotonic()
    with pytest.warns(CallbackAbandoned, match="`stdout=.*show` was abandoned") as warned:
        result = sandbox.run(stdout=show, limits=Limits(wall="300ms"))

    assert time.monotonic() - started < 0.3 + late()
    assert ("limited", "wall", __file__) == (result.outcome, result.limit, warned[0].filename)


def test_late_exception_goes_nowhere(guests: Path, release: threading.Event) -> None:
    """What an abandoned function raises afterwards is nobody's business; pytest would report it."""

    def fail(_: bytes) -> None:
        release.wait(20)
        raise LookupError("late")

    with pytest.warns(CallbackAbandoned):
        Sandbox(guests / "hello.wat").run(stdout=fail, limits=Limits(wall="200ms"))
    release.set()
    time.sleep(0.1)


def test_slow_function_gets_everything_within_the_limits(guests: Path) -> None:
    """A guest that is done long before its output is read does not cut that short."""
    pieces: list[bytes] = []

    def take(piece: bytes) -> None:
        time.sleep(0.3)
        pieces.append(piece)

    result = Sandbox(guests / "hello.wat").run(stdout=take)

    assert ("exited", b"hello, world\n") == (result.outcome, b"".join(pieces))


def test_source_that_blocks_does_not_hold_a_guest_that_is_done(guests: Path, release: threading.Event) -> None:
    """Nobody needs what it would bring: the outcome is the guest's."""

    class Slow(io.RawIOBase):
        def read(self, _size: int = -1) -> bytes:
            release.wait(20)
            return b""

    started = time.monotonic()
    with pytest.warns(CallbackAbandoned, match="stdin=.*Slow"):
        result = Sandbox(guests / "hello.wat").run(stdin=Slow())

    assert "exited" == result.outcome
    assert time.monotonic() - started < late(2)


def test_ctrl_c_leaves_a_blocked_function_behind(guests: Path, release: threading.Event) -> None:
    """The interrupt comes out at once."""
    timer = threading.Timer(0.2, signal.raise_signal, (signal.SIGINT,))
    sandbox = Sandbox(guests / "flood_stdout.wat")
    timer.start()
    started = time.monotonic()
    with pytest.warns(CallbackAbandoned), pytest.raises(KeyboardInterrupt):
        sandbox.run(stdout=lambda _: release.wait(20))
    timer.join()

    assert time.monotonic() - started < 0.2 + late()


def test_functions_see_the_context_of_their_caller(guests: Path) -> None:
    """Context variables are those of whoever called `run`."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("mine")
    seen: list[str] = []
    Sandbox(guests / "hello.wat").run(stdout=lambda _: seen.append(variable.get()))

    assert ["mine"] == seen


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_exception_of_a_function_ends_the_run(guests: Path, kind: type[BaseException]) -> None:
    """Also those that are no `Exception`."""

    def fail(_: bytes) -> None:
        raise kind

    with pytest.raises(kind):
        Sandbox(guests / "flood_stdout.wat").run(stdout=fail)
