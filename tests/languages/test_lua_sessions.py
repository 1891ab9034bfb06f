"""A Lua session keeps its state between turns, whatever a turn does, and calls functions of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Limits
from security import isolated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfence import Session

pytest.importorskip("ringfence_language_lua", reason="the language pack is not installed")
pytestmark = pytest.mark.usefixtures("isolation")

SHORT = Limits(wall="300ms")
ATTEMPTS = 5
CYCLE = "local t = {} t.t = t return t"


def search(query: str, limit: int = 2) -> list[str]:
    """Find what is asked for."""
    if not query:
        raise LookupError("nothing was asked for")
    return [query] * limit


async def later(value: Any) -> Any:
    """Give it back."""
    return value


@pytest.fixture
def session() -> Iterator[Session]:
    """Open a session with functions."""
    with isolated.Session("lua", functions={"search": search, "later": later}) as opened:
        yield opened


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("nil", None),
        ("x = 1", None),
        ("local a = 2 return a * 2", 4),
        ("1, 'a', nil", [1, "a", None]),
        ("{a = 1, b = {true, 2.5, 'ü'}}", {"a": 1, "b": [True, 2.5, "ü"]}),
        ("{[1] = 1, [3] = 3}", {1: 1, 3: 3}),
        ("{}", []),
        ("{1, ringfence.null}", [1, None]),
        ("math.mininteger, math.maxinteger", [-(2**63), 2**63 - 1]),
        ("'\\xff\\0'", b"\xff\0"),
        ("'a\\0b' -- and a comment", "a\0b"),
        ("setmetatable({}, {__tostring = function() return 'shown' end})", "shown"),
        ("setmetatable({}, {__tostring = function() return '\\xff' end})", "\\xff"),
        ("(function() local d = {} for i = 1, 99 do d = {d} end return #d end)()", 1),
    ],
)
def test_value_of_a_turn_is_itself_or_as_it_prints(session: Session, cell: str, value: Any) -> None:
    """Plain values cross; everything else as text."""
    assert value == session.eval(cell).value


def test_numbers_keep_their_kind_and_odd_values_are_text(session: Session) -> None:
    """Lua tells integers from floats, and so does the host; a table in itself is what `tostring` says."""
    assert "[1, 1.0, -0.0, 0.5, 9007199254740993, inf]" == repr(
        session.eval("{1, 1.0, -0.0, 0.5, 9007199254740993, 1/0}").value
    )
    assert session.eval(CYCLE).value.startswith("table: 0x")
    assert session.eval("print").value.startswith("function: ")


@pytest.mark.parametrize(
    ("cell", "kind", "message"),
    [
        ("error('e')", "Error", "<cell 1>:1: e"),
        ("error({})", "Error", "(error object is a table value)"),
        ("error(setmetatable({}, {__tostring = function() return 'T' end}))", "Error", "T"),
        ("f(", "SyntaxError", "<cell 1>:1: unexpected symbol near <eof>"),
        ("search('')", "LookupError", "nothing was asked for"),
        ("search(print)", "Error", "only plain values reach the host"),
        ("string.rep('x', 1 << 40)", "Error", "resulting string too large"),
        ("\x1bLua", "SyntaxError", "attempt to load a binary chunk (mode is 't')"),
    ],
)
def test_error_has_its_type_message_and_traceback(session: Session, cell: str, kind: str, message: str) -> None:
    """As Lua tells it; one of a function of the host has its own type."""
    error = session.eval(cell).error

    assert error is not None
    assert kind == error.type
    assert message in error.message
    assert message in error.traceback


def test_traceback_names_the_users_line(session: Session) -> None:
    """In the words of Lua."""
    turn = session.eval("local function f()\n  search('')\nend\nf()")

    assert turn.error is not None
    assert turn.error.traceback.startswith("LookupError: nothing was asked for\nstack traceback:\n")
    assert "\t<cell 1>:2: in local 'f'\n\t<cell 1>:4: in main chunk\n" in turn.error.traceback


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("search('x')", ["x", "x"]),
        ("search('x', 1)", ["x"]),
        ("ringfence.call('search', {'x'}, {limit = 3})", ["x", "x", "x"]),
        ("later({1, 2.5, 'x', ringfence.null, {k = '\\xff'}})", [1, 2.5, "x", None, {"k": b"\xff"}]),
        ("later(nil) == nil, later(2^63) == 2^63", [True, True]),
        ("select(2, pcall(search, '')).type", "LookupError"),
        ("tostring(select(2, pcall(search, '')))", "LookupError: nothing was asked for"),
        ("pcall(ringfence.call, 'other', {})", "false"),
        ("ringfence.functions.search == search, #ringfence.functions", [True, 2]),
        ("require('ringfence') == ringfence", True),
    ],
)
def test_function_of_the_host_is_called_by_its_name(session: Session, cell: str, value: Any) -> None:
    """With plain values both ways; its errors are caught as any other."""
    given = session.eval(cell).value

    assert value == (given.split("\t")[0] if cell.startswith("pcall") else given)


def test_help_tells_what_a_function_is(session: Session) -> None:
    """Its signature and its doc."""
    assert session.eval("help(search)").text.startswith("search(query")
    assert "    Find what is asked for.\n" in session.eval("help()").text


@pytest.mark.parametrize(
    "cell",
    [
        "while true do end",
        "repeat pcall(function() while true do end end) until false",
        "coroutine.wrap(function() while true do end end)()",
        "local function f() return f() end f()",
        "debug.sethook() while true do end",
        "string.find(('a'):rep(100000), ('.-'):rep(30) .. 'b')",
        "table.move({}, 1, 1 << 60, 2)",
        "setmetatable({}, {__gc = function() while true do end end}) collectgarbage()",
        "local held <close> = setmetatable({}, {__close = function() while true do end end}) while true do end",
        "table.sort({1, 2, 3}, function() while true do end end)",
        "load(function() return 'x = 1 ' end)",
        "ringfence.functions = nil while true do pcall(later, 1) end",
    ],
)
def test_turn_at_its_deadline_is_stopped_and_the_session_lives(session: Session, cell: str) -> None:
    """The code cannot catch it, and nothing of it runs on in a later turn."""
    for _ in range(ATTEMPTS):
        session.eval("kept = 1")
        turn = session.eval(cell, turn=SHORT)
        assert ("limited", "wall", "") == (turn.outcome, turn.limit, turn.text)
        if session.poisoned is None:
            break
        session.restart()  # the machine was too busy to let it answer in its moment of grace

    assert turn.error is not None
    assert "TimeoutError" == turn.error.type
    assert 2 == session.eval("kept = kept + 1 return kept", turn=Limits(wall=5)).value


def test_collector_goes_on_after_a_finalizer_was_stopped(session: Session) -> None:
    """What was left in the middle is put right: garbage is still collected."""
    session.eval("setmetatable({}, {__gc = function() while true do end end}) collectgarbage()", turn=SHORT)
    if session.poisoned is not None:
        session.restart()
    churn = "for i = 1, 200000 do local s = {i, tostring(i)} end return collectgarbage('count') < 20000"

    assert session.eval(churn, turn=Limits(wall=20)).value is True


@pytest.mark.parametrize(
    "cell",
    [
        "os.exit(7)",
        "pcall(os.exit, 7)",
        "coroutine.wrap(os.exit)(7)",
        "table.sort({1, 2}, function() os.exit(7, true) end)",
    ],
)
def test_exit_ends_the_turn_and_not_the_session(session: Session, cell: str) -> None:
    """With its code, from wherever it is."""
    session.eval("kept = 1")

    turn = session.eval(cell)

    assert ("exited", 7) == (turn.outcome, turn.exit_code)
    assert 1 == session.eval("kept").value


def test_turn_that_runs_out_of_memory_can_let_go_of_it() -> None:
    """The session has kept enough to run the next turn."""
    with isolated.Session("lua") as small:
        turn = small.eval("all = {} for i = 1, 1e9 do all[i] = {} end", turn=Limits(memory="16MiB"))
        assert turn.error is not None
        assert "not enough memory" in turn.error.traceback
        small.eval("all = nil")
        assert 3 == small.eval("1 + 2").value


def test_sessions_do_not_share_anything() -> None:
    """Not their names, nor their random numbers."""
    with isolated.Session("lua") as one, isolated.Session("lua") as other:
        one.eval("secret = 1; string.rep = nil")
        assert ["aa", None] == other.eval("('a'):rep(2), secret").value
        assert one.eval("math.random(1 << 53)").value != other.eval("math.random(1 << 53)").value
