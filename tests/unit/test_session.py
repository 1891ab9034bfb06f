"""Sessions of a pack whose language is one letter a turn (`letters.wat`)."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import CallbackAbandoned, GuestRaised, Limits, LoadError, Policy, PolicyError, Program, SessionError
from ringfence._engine import core
from security import isolated
from waiting import late

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ringfence import Session

    Open = Callable[..., Session]

pytestmark = pytest.mark.usefixtures("isolation")


@pytest.fixture
def letters(guests: Path) -> Program:
    """Read the pack."""
    return Program(core.Program.from_file(str(guests / "letters.wat"), "letters"))


@pytest.fixture
def session(letters: Program) -> Open:
    """Open a session of it under limits."""

    def opened(limits: Limits | None = None, **options: Any) -> Session:
        return isolated.Session(letters, policy=Policy(limits=limits or Limits()), **options)

    return opened


def test_state_persists_until_it_restarts(session: Open) -> None:
    """`restart` begins anew."""
    with session() as made:
        assert [1, 2] == [made.eval("c").value for _ in range(2)]
        made.restart()
        assert 1 == made.eval("c").value


def test_turn_tells_value_output_and_error(session: Open) -> None:
    """All of it is the turn's own."""
    made = session()
    printed, raised, shown = made.eval("p"), made.eval("e"), made.eval("t")

    assert ("returned", b"hello\n", None) == (printed.outcome, printed.stdout, printed.value)
    assert raised.error is not None
    assert ("raised", "Error", "text") == (raised.outcome, raised.error.type, raised.error.message)
    assert ("<object>", True, b"") == (shown.value, shown.is_repr, shown.stdout)


def test_limit_of_time_leaves_the_session_as_it_is(session: Open) -> None:
    """The guest hears of it first."""
    made = session(turn=Limits(wall=0.2))
    ended = made.eval("s")

    assert ended.error is not None
    assert ("limited", "wall", "TimeoutError", False) == (ended.outcome, ended.limit, ended.error.type, ended.poisoned)
    assert 2 == made.eval("c").value


def test_guest_that_does_not_end_poisons_its_session(session: Open) -> None:
    """The next turn says why, and what mends it."""
    made = session()
    began = time.monotonic()
    ended = made.eval("l", turn=Limits(wall=0.2))

    assert time.monotonic() - began < 0.2 + late()
    assert ended.poisoned
    with pytest.raises(SessionError, match="stopped at the limit `wall`") as raised:
        made.eval("c")
    assert "restart()" in raised.value.fix
    assert "wall" in (made.poisoned or "")
    made.restart()
    assert (None, 1) == (made.poisoned, made.eval("c").value)


def test_output_streams_as_it_is_written(session: Open) -> None:
    """A function gets each piece, and the turn keeps none; nobody waits for more of it than there is."""
    pieces: list[bytes] = []
    began = time.monotonic()
    ended = session().eval("p", stdout=pieces.append, turn=Limits(wall=20))

    assert time.monotonic() - began < 20
    assert ([b"hello\n"], b"", 6) == (pieces, ended.stdout, ended.usage.output_bytes)


def test_flood_is_cut_at_the_limit_whoever_takes_it(session: Open) -> None:
    """Streaming is no way around it."""
    pieces: list[bytes] = []
    ended = session().eval("o", turn=Limits(output=1000), stdout=pieces.append)

    assert ("limited", "output", 1000) == (ended.outcome, ended.limit, len(b"".join(pieces)))


def test_limits_of_the_policy_are_totals_over_the_turns(session: Open) -> None:
    """A turn may only have less."""
    made = session(Limits(wall=0.4))
    assert "limited" == made.eval("s").outcome
    with pytest.raises(SessionError, match="used up the total `wall`"):
        made.eval("c")
    made.restart()
    assert 1 == made.eval("c").value
    with pytest.raises(PolicyError, match="wider"):
        made.eval("c", turn=Limits(wall=10))


@pytest.mark.parametrize(("source", "error"), [("x = '\ud800'", ValueError), (b"x = 1", TypeError)])
def test_source_that_is_no_text_is_refused(session: Open, source: Any, error: type[Exception]) -> None:
    """Before the guest sees it, and the session goes on."""
    opened = session()
    with pytest.raises(error, match="hint: "):
        opened.eval(source)

    assert not opened.eval("x").poisoned


def test_closed_session_says_so(session: Open) -> None:
    """Closing twice is fine."""
    with session() as made:
        made.close()
    with pytest.raises(SessionError, match="closed"):
        made.eval("c")


def test_function_is_called_by_name(session: Open) -> None:
    """What it returns reaches the guest, and the call is counted."""
    ended = session(functions={"answer": lambda: {"a": [1, -2, 2.5, None, True, "é", b"\xff", 10**30, -(2**64)]}}).eval(
        "Canswer"
    )

    assert [0, {"a": [1, -2, 2.5, None, True, "é", b"\xff", 10**30, -(2**64)]}] == ended.value
    assert (1, True) == (ended.usage.calls, ended.usage.calls_seconds > 0)


def test_exception_of_a_function_reaches_the_guest(session: Open) -> None:
    """By name and message; the session goes on."""

    def fail() -> None:
        raise KeyError("no such key")

    made = session(functions={"fail": fail, "unplain": lambda: {1, 2}, "surrogate": lambda: "\udc80"})

    assert [1, "KeyError", "no such key"] == made.eval("Cfail").value
    assert "TypeError" == made.eval("Cunplain").value[1]
    assert "ValueError" == made.eval("Csurrogate").value[1]
    assert "NameError" == made.eval("Cother").value[1]


@pytest.mark.timeout(300)  # the pack may have to be compiled
def test_exception_that_nothing_caught_is_the_cause_of_what_check_raises() -> None:
    """As the same object, for each way of calling; one that the guest caught is not."""
    pytest.importorskip("ringfence_language_python")
    raised: list[Exception] = []

    class Odd(Exception):
        pass

    def fail(name: str) -> None:
        raised.append({"Odd": Odd("odd"), "KeyError": KeyError("key")}.get(name) or ValueError("no"))
        raise raised[-1]

    async def later(name: str) -> None:
        await asyncio.sleep(0)
        fail(name)

    with isolated.Session("python", functions={"fail": fail, "later": later}) as session:
        for code in ("fail('Odd')", "fail('KeyError')", "fail('')", "await later('')", "later('Odd')"):
            with pytest.raises(GuestRaised) as told:
                session.eval(code).check()
            assert raised[-1] is told.value.__cause__, code
        turn = session.eval("try: fail('Odd')\nexcept Exception: pass\n1 / 0")
        assert ("raised", None) == (turn.outcome, turn.cause)


def test_what_is_no_error_for_a_guest_comes_out_of_the_turn(session: Open) -> None:
    """Ctrl-C in a function is the caller's."""

    def leave() -> None:
        raise KeyboardInterrupt

    made = session(functions={"leave": leave})

    with pytest.raises(KeyboardInterrupt):
        made.eval("Cleave")
    assert made.poisoned is not None


def test_function_that_blocks_is_left_behind_at_the_deadline(session: Open) -> None:
    """The caller hears its name; the guest is gone."""
    release = threading.Event()
    made = session(functions={"block": lambda: release.wait(30)})
    began = time.monotonic()

    with pytest.warns(CallbackAbandoned, match="`block` was abandoned"):
        ended = made.eval("Cblock", turn=Limits(wall=0.2))
    assert time.monotonic() - began < 0.2 + late()
    release.set()

    assert ("limited", "wall", True) == (ended.outcome, ended.limit, ended.poisoned)


def test_turn_inside_its_own_function_is_refused(session: Open) -> None:
    """And the turn around it goes on."""
    made: list[Session] = []
    made.append(session(functions={"again": lambda: made[0].eval("c").value}))

    assert [1, "SessionError"] == made[0].eval("Cagain").value[:2]
    assert "returned" == made[0].eval("c").outcome
    # Its function holds it, where no collector looks.
    made[0].close()


def test_turn_can_be_awaited(session: Open) -> None:
    """The loop goes on, and functions may be `async def` in it."""

    async def slow() -> int:
        await asyncio.sleep(0.01)
        return 7

    async def main() -> None:
        made = session(functions={"slow": slow})
        assert [0, 7] == (await made.aeval("Cslow")).value
        assert [0, 7] == made_elsewhere.eval("Cslow").value

    made_elsewhere = session(functions={"slow": slow})
    assert [0, 7] == made_elsewhere.eval("Cslow").value
    asyncio.run(main())


def test_cancelling_interrupts_the_guest_and_keeps_the_session(session: Open) -> None:
    """The same as Ctrl-C: it hears of it first."""

    async def main() -> None:
        made = session()
        task = asyncio.create_task(made.aeval("s"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "returned" == (await made.aeval("c")).outcome

    asyncio.run(main())


def test_hook_without_functions_is_refused(session: Open) -> None:
    """It would never be asked."""
    with pytest.raises(ValueError, match="nothing to call"):
        session(before_call=print)


def test_language_that_is_not_there_is_named() -> None:
    """The error is that of every other verb."""
    with pytest.raises(LoadError, match="cobol"):
        isolated.Session("cobol")


def test_program_that_is_no_pack_holds_no_session(guests: Path) -> None:
    """It says what is missing."""
    with pytest.raises(LoadError, match="exports no `rf_abi`"):
        isolated.Session(Program.from_file(guests / "hello.wat"))


def test_sessions_of_one_policy_share_their_code_until_the_last_is_gone(letters: Program) -> None:
    """Opening one more is cheap, and nothing is kept for nobody."""
    policy = Policy()
    one, other = isolated.Session(letters, policy=policy), isolated.Session(letters, policy=policy)
    shared = weakref.ref(one._sandbox)

    assert one._sandbox is other._sandbox
    assert isolated.Session(letters, policy=Policy())._sandbox is not one._sandbox
    del one, other
    gc.collect()
    assert shared() is None


def test_repr_says_what_it_is(session: Open) -> None:
    """And whether it is of use."""
    made = session()
    assert "<Session 'letters'>" == repr(made)
    made.eval("u")
    assert "<Session 'letters', poisoned>" == repr(made)


@pytest.mark.parametrize("options", [{}, {"stdout": io.BytesIO()}])
def test_limit_that_a_turn_reached_is_an_event(
    session: Open, caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    """Turns are logged as runs are, each once, whoever takes their output."""
    caplog.set_level(logging.INFO, "ringfence.audit")
    made = session()
    ended = made.eval("s", turn=Limits(wall=0.1), **options)
    made.restart()
    made.eval("c", **options)

    assert ended.limit == "wall"
    events = [(record.__dict__["event"], record.__dict__["limit"]) for record in caplog.records]
    assert [("limited", "wall")] == events
    assert ended.outcome == caplog.records[0].__dict__["outcome"]


def test_object_whose_session_calls_it_is_freed_without_being_closed(session: Open) -> None:
    """Its methods are the session's functions: a cycle, which the collector finds."""

    class Agent:
        def __init__(self) -> None:
            self.session = session(functions={"answer": self.answer})

        def answer(self) -> int:
            return 42

    agent = Agent()
    assert [0, 42] == agent.session.eval("Canswer").value
    gone = weakref.ref(agent)
    del agent
    gc.collect()

    assert gone() is None


def test_loop_of_a_thread_that_was_left_behind_is_closed_though_its_session_is_gone(session: Open) -> None:
    """The thread closes it when its function comes back."""
    loops: list[asyncio.AbstractEventLoop] = []
    release = threading.Event()

    async def answer() -> int:
        loops.append(asyncio.get_running_loop())
        release.wait(30)
        return 42

    with pytest.warns(CallbackAbandoned):
        assert "limited" == session(functions={"answer": answer}).eval("Canswer", turn=Limits(wall=0.3)).outcome
    gc.collect()
    release.set()
    deadline = time.monotonic() + 10
    while not loops[0].is_closed():
        assert time.monotonic() < deadline
        time.sleep(0.01)
