"""
Calls of host functions that overlap: forged numbers, floods, and calls that outlive their turn.

What the two languages make of such calls is in `tests/languages/test_overlapping_calls.py`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import CallbackAbandoned, Limits, Policy
from security import isolated
from waiting import late

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfence import Session


needs_python = pytest.mark.skipif(
    importlib.util.find_spec("ringfence_language_python") is None, reason="the language pack is not installed"
)
# The first of them may compile the pack.
pytestmark = [needs_python, pytest.mark.usefixtures("isolation"), pytest.mark.timeout(300)]


class Host:
    """Functions that count who is inside them."""

    def __init__(self) -> None:
        self.inside, self.most, self.cancelled = 0, 0, 0

    async def held(self, *_: Any) -> None:
        """Wait until it is cancelled."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.Event().wait()
        finally:
            self.inside -= 1
            self.cancelled += 1

    async def soon(self, value: Any = None) -> Any:
        """Give it back a moment later."""
        await asyncio.sleep(0)
        return value


@pytest.fixture
def host() -> Host:
    """Make one."""
    return Host()


@pytest.fixture
def session(host: Host, isolation: str) -> Iterator[Session]:
    """Open one with both functions, where the isolation says."""
    del isolation
    policy = Policy(limits=Limits(host_bytes="8MiB", wall="20s"))
    with isolated.Session("python", policy=policy, functions={"held": host.held, "soon": host.soon}) as session:
        session.eval("from _ringfence_host import ask, raw")
        yield session


FORGED = [
    b"G",
    b"G\x83",
    b"G\x83\x64held\x80",
    b"G\x83\x64held\x80\x80",
    b"G\x83\x01\x80\xa0",
    b"G\x9b" + b"\xff" * 8,
    b"W",
    b"W\x80",
    b"W\xf6\xf6",
    b"W\x61x",
    b"D",
    b"D\x20",
    b"D\x80",
    b"D\xfb" + b"\0" * 8,
]


@pytest.mark.parametrize("message", FORGED, ids=bytes.hex)
def test_forged_step_begins_and_ends_nothing(session: Session, host: Host, message: bytes) -> None:
    """Also while a call is under way."""
    turn = session.eval(f"ask('G', ['held', [], {{}}])\nask('W', 0)\nraw({message!r})")

    assert ("raised", "OSError") == (turn.outcome, turn.error and turn.error.type)
    assert (1, 1) == (host.most, turn.usage.calls)


def test_numbers_that_are_nobodys_end_nothing(session: Session, host: Host) -> None:
    """Those of other turns, of calls that have ended, and invented ones."""
    first = session.eval("ask('G', ['held', [], {}])[1]").value
    turn = session.eval(
        "mine = ask('G', ['held', [], {}])[1]\nask('W', 0)\n"
        f"for n in ({first}, 0, mine + 1, 2**64 - 1): ask('D', n)\n"
        "ask('W', 0)"
    )

    assert [] == turn.value, turn.error
    assert (1, 1) == (host.most, host.cancelled)


def test_flood_of_calls_is_refused_at_a_hundred(session: Session, host: Host) -> None:
    """Whoever begins them without a look at the pack's own queue."""
    turn = session.eval(
        "begun = refused = 0\n"
        "for _ in range(10_000):\n"
        "    try: begun += ask('G', ['held', [], {}])[0] == 2\n"
        "    except OSError: refused += 1\n"
        "ask('W', 0.01)\n"
        "[begun, refused]"
    )

    assert [100, 9_900] == turn.value, turn.error
    assert (100, 100, 0) == (host.most, host.cancelled, host.inside)


def test_arguments_of_calls_under_way_are_counted_together(session: Session) -> None:
    """A hundred times the most that one may take would be more than the host may hold."""
    turn = session.eval(
        "begun = 0\n"
        "for _ in range(100):\n"
        "    try: begun += ask('G', ['held', [b'x' * 2_000_000], {}])[0] == 2\n"
        "    except OSError: break\n"
        "begun"
    )

    assert 4 == turn.value, turn.error


def test_answers_are_given_as_there_is_room_for_them(session: Session) -> None:
    """None is lost, and none is longer than the host may hold for a guest."""
    turn = session.eval(
        "import asyncio\n"
        "values = await asyncio.gather(*[soon(b'x' * 3_000_000) for _ in range(2)], *[soon(n) for n in range(50)])\n"
        "[len(values[0]), len(values[1]), values[2:] == list(range(50))]"
    )

    assert [3_000_000, 3_000_000, True] == turn.value, turn.error


@pytest.mark.parametrize("seconds", ["0", "-1", "1e300", "float('nan')", "float('-inf')", "2**64 - 1", "None"])
def test_wait_of_any_length_hears_the_deadline(session: Session, seconds: str) -> None:
    """The host never waits longer than a moment at once."""
    began = time.monotonic()
    turn = session.eval(f"ask('G', ['held', [], {{}}])\nwhile True: ask('W', {seconds})", turn=Limits(wall=0.3))

    assert ("limited", "wall", False) == (turn.outcome, turn.limit, turn.poisoned)
    assert time.monotonic() - began < 0.3 + late()


def test_calls_that_nobody_waits_for_end_with_their_turn(session: Session, host: Host) -> None:
    """Each turn leaves nothing to the next."""
    for _ in range(20):
        assert 5 == session.eval("[ask('G', ['held', [], {}]) for _ in range(5)]\nask('W', 0)\n5").value
        assert 0 == host.inside
    assert (100, 5) == (host.cancelled, host.most)


def test_call_that_blocks_its_thread_is_left_behind_by_name() -> None:
    """It overlaps with nothing, and its caller returns."""
    release = threading.Event()

    async def block() -> None:
        await asyncio.sleep(0)
        release.wait(30)

    with isolated.Session("python", functions={"block": block}) as session:
        began = time.monotonic()
        with pytest.warns(CallbackAbandoned, match="block"):
            turn = session.eval("await block()", turn=Limits(wall=0.2))
        took = time.monotonic() - began
        release.set()

    assert ("limited", True) == (turn.outcome, turn.poisoned)
    assert took < 0.2 + late()


def test_call_that_refuses_to_be_cancelled_does_not_hold_its_caller() -> None:
    """It is dropped after a second."""

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    with isolated.Session("python", functions={"stubborn": stubborn}) as session:
        session.eval("from _ringfence_host import ask")
        began = time.monotonic()
        assert 1 == session.eval("ask('G', ['stubborn', [], {}])\nask('W', 0)\n1").value
        assert time.monotonic() - began < 1 + 2 * late()
