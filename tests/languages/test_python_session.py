"""Sessions of Python, as seen from inside: values, errors, and functions of the host."""

from __future__ import annotations

import pytest

from security.isolated import Session

# The first of them compiles the pack.
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled", "isolation")]


class Odd(Exception):
    """An exception that no guest knows."""


def search(query: str, limit: int = 10) -> list[str]:
    """Search for a text."""
    if query == "odd":
        raise Odd("strange")
    if query == "key":
        raise KeyError("k")
    return [query] * limit


async def fetch(name: str) -> str:
    """Fetch one."""
    return name + "!"


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("x = 1\nx + 1", 2),
        ("[1, 2.5, None, True, b'z', 'é', {'a': 1, 2: -3}]", [1, 2.5, None, True, b"z", "é", {"a": 1, 2: -3}]),
        ("[2 ** 63, -2 ** 63, 2 ** 64, -2 ** 64, 10 ** 30]", [2**63, -(2**63), 2**64, -(2**64), 10**30]),
        ("(1, 2)", "(1, 2)"),
        ("{None: 1}", "{None: 1}"),
        ("'\\ud800'", "'\\ud800'"),
        ("x = 5", None),
        ("import asyncio\nawait asyncio.sleep(0, 7)", 7),
        ("search('a', limit=2)", ["a", "a"]),
        ("await search('a', limit=1)", ["a"]),
        ("fetch('1')", "1!"),
        ("await fetch('2')", "2!"),
        ("import asyncio\nawait asyncio.gather(fetch('3'), fetch('4'))", ["3!", "4!"]),
        ("import asyncio\nasync def f(): return await search('b', 1)\nasyncio.run(f())", ["b"]),
        ("try: search('key')\nexcept KeyError as error: x = error.args\nx[0]", "k"),
        (
            "import ringfence\ntry: search('odd')\nexcept ringfence.HostError as error: x = error\n[x.type, str(x)]",
            ["Odd", "Odd: strange"],
        ),
        ("try: search(object())\nexcept TypeError as error: x = str(error)\nx[:17]", "only plain values"),
        ("import inspect\nstr(inspect.signature(search))", "(query: str, limit: int = 10) -> list[str]"),
    ],
)
def test_cell_gives_its_value(code: str, value: object) -> None:
    """Plain ones as themselves, others as their repr; functions of the host by name, awaited or not."""
    with Session("python", functions={"search": search, "fetch": fetch}) as session:
        turn = session.eval(code)

    assert (None, value) == (turn.error, turn.value)


def test_help_explains_a_function_of_the_host() -> None:
    """With its signature and its words."""
    with Session("python", functions={"search": search}) as session:
        turn = session.eval("help(search)")

    assert b"search(query: str, limit: int = 10) -> list[str]\n    Search for a text." in turn.stdout


def test_traceback_shows_the_lines_of_every_cell() -> None:
    """Of the one that failed, and of the one where the function was written."""
    with Session("python") as session:
        session.eval("def f(x):\n    return 1 / x")
        error = session.eval("f(0)").error

    assert error is not None
    assert ("ZeroDivisionError", "division by zero") == (error.type, error.message)
    assert ["f(0)", "return 1 / x"] == [
        line.strip() for line in error.traceback.splitlines() if line[:4] == " " * 4 and "~" not in line
    ]
