"""Sessions of the pack `ruby`: cells, values, errors, functions of the host, deadlines, copies."""

from __future__ import annotations

import pytest

from ringfence import Limits, Session

pytest.importorskip(
    "ringfence_language_ruby", reason="NOT TESTED: ruby is not installed (`ringfence languages install ruby`: minutes)"
)
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("compiled_ruby")]


def test_state_lives_from_cell_to_cell() -> None:
    """Local variables, methods, constants, requires; and the last value is `_`, as in irb."""
    with Session("ruby") as session:
        assert 2 == session.eval("x = 1\nx + 1").value
        assert 3 == session.eval("_ + x").value
        assert ":f" == session.eval("def f = x2 + 1\ndef x2 = 41\n:f").value
        assert 42 == session.eval("f").value
        assert "2" == session.eval("require 'erb'\nERB.new('<%= x + 1 %>').result(binding)").value
        assert None is session.eval("nil").value


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("[1, -2, 2.5, 'é', nil, true]", [1, -2, 2.5, "é", None, True]),
        ("{'k' => [2**70, -2**70]}", {"k": [2**70, -(2**70)]}),
        ('"\\xff".b', b"\xff"),
        ("{1 => 2}", {1: 2}),
        ("{a: 1}", "{a: 1}"),
        (":sym", ":sym"),
        ("1..3", "1..3"),
        ("Struct.new(:a).new(1)", "#<struct a=1>"),
    ],
)  # fmt: skip
def test_value_of_a_cell_is_itself_or_as_irb_prints_it(code: str, value: object) -> None:
    """What is plain crosses as it is."""
    with Session("ruby") as session:
        assert value == session.eval(code).value


def test_errors_are_typed_and_the_session_lives() -> None:
    """Type, message, and the lines of the cell; an exit ends nothing but the turn."""
    with Session("ruby") as session:
        error = session.eval("def g = 1 / 0\ng").error
        assert error is not None
        assert ("ZeroDivisionError", "divided by 0") == (error.type, error.message)
        assert "<cell 1>:1:in 'Object#g'" in error.traceback
        assert "ringfence" not in error.traceback
        wrong = session.eval("x = = 1").error
        assert wrong is not None
        assert "SyntaxError" == wrong.type
        assert ("exited", 3) == ((turn := session.eval("exit 3")).outcome, turn.exit_code)
        assert 7 == session.eval("3 + 4").value


def test_functions_of_the_host_are_methods() -> None:
    """By their names, with positions and keywords; their errors are Ruby's where it has one of that kind."""

    def many(count: int = 3, *, of: str = "x") -> list[str]:
        return [of] * count

    def fails() -> None:
        raise ValueError("no such thing")

    with Session("ruby", functions={"many": many, "fails": fails}) as session:
        assert ["x", "x", "x"] == session.eval("many").value
        assert ["y", "y"] == session.eval("many(2, of: 'y')").value
        assert "no such thing" == session.eval("begin; fails; rescue ArgumentError => e; e.message; end").value
        error = session.eval("many(Object.new)").error
        assert error is not None
        assert "TypeError" == error.type


def test_turn_at_its_deadline_is_interrupted_and_the_session_lives() -> None:
    """By an error that can be rescued."""
    with Session("ruby") as session:
        session.eval("x = 1")
        turn = session.eval("begin; loop {}; rescue Timeout::Error; 'late'; end", turn=Limits(wall=0.5))
        assert "late" == turn.value
        assert "Timeout::Error" == getattr(session.eval("loop {}", turn=Limits(wall=0.5)).error, "type", None)
        assert 1 == session.eval("x").value


def test_copies_go_their_own_way() -> None:
    """Forks and snapshots keep the state, and draw other random numbers."""
    with Session("ruby") as session:
        session.eval("all = [1]")
        kept = session.snapshot()
        with session.fork() as fork, kept.fork() as again:
            drawn = {copy.eval("rand").value for copy in (session, fork, again)}
            assert 3 == len(drawn)
            assert [1, 2] == fork.eval("all << 2").value
            assert [1] == session.eval("all").value == again.eval("all").value


def test_exception_of_a_function_is_the_cause_of_a_turns_error() -> None:
    """Whether Ruby has one of that name, raises another, or has none."""

    class Mine(Exception):
        pass

    raised: list[Exception] = [
        Mine("q"),
        ValueError("two\nlines"),
        KeyError("k"),
        PermissionError("no"),
        TimeoutError("late"),
    ]

    def fails(number: int) -> None:
        raise raised[number]

    with Session("ruby", functions={"fails": fails}) as session:
        for number, error in enumerate(raised):
            assert error is session.eval(f"fails({number})").cause, error
        told = session.eval("fails(0)").error
        assert told is not None
        assert ("Mine", "q") == (told.type, told.message)
        assert None is session.eval("begin; fails(0); rescue; end; 1 / 0").cause


@pytest.mark.parametrize("code", ['"x" * 60_000_000', '["x" * 1_000_000] * 60', '"x" * 200_000_000'])
def test_value_there_is_no_room_for_is_an_error_with_a_type(code: str) -> None:
    """Or is handed over; and the session goes on."""
    with Session("ruby") as session:
        turn = session.eval(code)
        if turn.outcome == "raised":
            assert turn.error is not None
            assert "NoMemoryError" == turn.error.type
        else:
            assert turn.outcome == "limited" or turn.value is not None
        if turn.outcome != "limited":
            assert 2 == session.eval("1 + 1").value
