"""A JavaScript session keeps its state between turns, whatever a turn does, and calls functions of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Limits
from security import isolated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfence import Session

pytestmark = pytest.mark.usefixtures("isolation")

SHORT = Limits(wall="300ms")
ATTEMPTS = 5


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
    with isolated.Session("javascript", functions={"search": search, "later": later}) as opened:
        yield opened


@pytest.mark.parametrize(
    ("cells", "value"),
    [
        (["let x = 1", "x += 1", "x"], 2),
        (["const x = 1", "const x = 2; x"], 2),
        (["let x = 1", "var x = 2", "let x = 3; x"], 3),
        (["function f() { return 1 }", "let f = 2; f"], 2),
        (["class A { }", "class A { get n() { return 4 } }", "new A().n"], 4),
        (["let n = 1; function f() { return n }", "let n = 5", "f()"], 5),
        (["const v = await Promise.resolve(7)", "v"], 7),
        (["globalThis.seen = 0; setTimeout(() => seen++, 1)", "seen"], 1),
        (["import * as os from 'qjs:os'; globalThis.kind = os.platform", "kind"], "wasi"),
        (["let Map = 1, Error = 2", "[Map, Error]"], [1, 2]),
    ],
)
def test_state_lives_from_turn_to_turn(session: Session, cells: list[str], value: Any) -> None:
    """Names may be declared again, as in every console."""
    for cell in cells[:-1]:
        session.eval(cell)

    assert value == session.eval(cells[-1]).value


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("null", None),
        ("undefined", None),
        ("{ a: 1, b: [true, 2.5, 'ü', null] }", {"a": 1, "b": [True, 2.5, "ü", None]}),
        ("[0, -1, 2 ** 53 - 1, 2n ** 64n, -(2n ** 200n)]", [0, -1, 2**53 - 1, 2**64, -(2**200)]),
        ("new Uint8Array([1, 255])", b"\x01\xff"),
        ("'a\\0b'", "a\0b"),
        ("JSON.parse('{\"__proto__\": 1}')", {"__proto__": 1}),
        ("Promise.resolve('unwrapped')", "unwrapped"),
        ("new Map([[1, { a: 2 }]])", "Map(1) { 1 => { a: 2 } }"),
        ("(class Point { x = 1 }, new (class Point { x = 1 }))", "Point { x: 1 }"),
        ("const c = {}; c.self = c; c", "<ref *1> { self: [Circular *1] }"),
        ("'\\ud800'", "'\\ud800'"),
        ("let d = []; for (let i = 0; i < 100; i++) d = [d]; d", "[ [ [ [Array] ] ] ]"),
        ("let e = [1]; for (let i = 0; i < 99; i++) e = [e, e]; e.length && [e][0][0][0].length", 2),
    ],
)
def test_value_of_a_turn_is_itself_or_as_it_prints(session: Session, cell: str, value: Any) -> None:
    """Plain values cross; everything else as text."""
    assert value == session.eval(cell).value


def test_numbers_keep_their_kind(session: Session) -> None:
    """Whole numbers are int where they are exact, the rest float."""
    values = session.eval("[1, 1.0, -0, 0.5, 2 ** 53, 9007199254740993n]").value

    assert "[1, 1, -0.0, 0.5, 9007199254740992.0, 9007199254740993]" == repr(values)


def test_error_shows_the_users_line(session: Session) -> None:
    """Type, message, and a traceback with the place."""
    turn = session.eval("let a = 1\nnull.field")

    assert turn.error is not None
    assert ("TypeError", "cannot read property 'field' of null") == (turn.error.type, turn.error.message)
    assert turn.error.traceback.startswith("<cell 1>:2\nnull.field\n^\n\nTypeError: cannot read")
    assert 1 == session.eval("a").value


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("search('x')", ["x", "x"]),
        ("search('x', 1)", ["x"]),
        ("ringfence.call('search', ['x'], { limit: 3 })", ["x", "x", "x"]),
        ("later([1n, 2.5, 'x', null, { k: new Uint8Array([9]) }])", [1, 2.5, "x", None, {"k": b"\t"}]),
        ("later(1) instanceof Promise", True),
        ("(await Promise.all([later(1), later(2)])).length", 2),
        (
            "[1, -1, 0.1, 2 ** 53 - 1, 1 - 2 ** 53, 'ü', true, null].every(v => ringfence.call('later', [v]) === v)",
            True,
        ),
        ("ringfence.call('later', [2n ** 70n]) === 2n ** 70n", True),
        (
            "try { search('') } catch (e) { [e instanceof Error, e.name, e.message] }",
            [True, "LookupError", "nothing was asked for"],
        ),
        ("await later(1).then(v => search('')).catch(e => e.name)", "LookupError"),
        ("try { search(() => 1) } catch (e) { e.name }", "TypeError"),
        ("try { ringfence.call('other', []) } catch (e) { e instanceof Error }", True),
        ("search.name + search.signature.replace(/:.*/, '')", "search(query"),
    ],
)
def test_function_of_the_host_is_called_by_its_name(session: Session, cell: str, value: Any) -> None:
    """With plain values both ways, its errors as normal ones; an async function gives a promise."""
    assert value == session.eval(cell).value


def test_help_tells_what_a_function_is(session: Session) -> None:
    """Its signature and its doc."""
    head, doc = session.eval("help(search)").text.splitlines()

    assert head.startswith("search(query")
    assert "    Find what is asked for." == doc


@pytest.mark.parametrize(
    "cell",
    [
        "for (;;) ;",
        "try { for (;;) ; } catch { console.log('no') } finally { console.log('no') }",
        "(async () => { try { for (;;) await null } catch { console.log('no') } })()",
        "/(a+)+$/.test('a'.repeat(50) + 'b')",
        "os.sleep(1e9)",
        "await new Promise(() => setTimeout(() => { }, 1e9))",
        "setInterval(() => { }, 1)",
        "(function f() { Promise.resolve().then(f) })()",
        "(function f() { os.setTimeout(f, 0) })()",
        "new Promise(() => { for (;;) ; })",
        "[1, 2].sort(() => { for (;;) ; })",
        "let s = [1]; for (let i = 0; i < 60; i++) s = [s, s]; for (;;) ringfence.call('later', [1])",
    ],
)
def test_turn_at_its_deadline_is_stopped_and_the_session_lives(session: Session, cell: str) -> None:
    """The code cannot catch it, and nothing of it runs on in a later turn."""
    for _ in range(ATTEMPTS):
        session.eval("let kept = 1")
        turn = session.eval(cell, turn=SHORT)
        assert ("limited", "wall", "") == (turn.outcome, turn.limit, turn.text)
        if session.poisoned is None:
            break
        session.restart()  # the machine was too busy to let it answer in its moment of grace

    assert turn.error is not None
    assert "TimeoutError" == turn.error.type
    assert 2 == session.eval("kept += 1", turn=Limits(wall=5)).value


def test_exit_ends_the_turn_and_not_the_session(session: Session) -> None:
    """With its code."""
    turn = session.eval("let kept = 1; setInterval(() => { }, 1); process.exit(7)")

    assert ("exited", 7) == (turn.outcome, turn.exit_code)
    assert 1 == session.eval("kept").value


def test_turn_that_runs_out_of_memory_can_let_go_of_it() -> None:
    """The session has kept enough to run the next turn."""
    with isolated.Session("javascript") as small:
        turn = small.eval("const all = []; for (;;) all.push([])", turn=Limits(memory="32MiB"))
        assert turn.error is not None
        assert "out of memory" in turn.error.traceback
        small.eval("all.length = 0")
        assert 3 == small.eval("1 + 2").value


def test_sessions_do_not_share_anything() -> None:
    """Not their names, nor their random numbers."""
    with isolated.Session("javascript") as one, isolated.Session("javascript") as other:
        one.eval("globalThis.secret = 1; Array.prototype.map = null")
        assert [2, "undefined"] == other.eval("[[1].map(x => x + 1)[0], typeof secret]").value
        assert one.eval("Math.random()").value != other.eval("Math.random()").value
