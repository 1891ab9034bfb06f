#!/usr/bin/env python3
"""
What does a fork of a session cost?

A session that holds a dict of 10,000 numbers is forked, directly and from a snapshot, with and without a turn in the
fork. Beside it: a new session that runs the same source again, and `os.fork` of a native interpreter that holds the
same.
"""

from __future__ import annotations

import os

from turns import compare

import ringfence

TIMES = 10
PREPARE = "import random, uuid; state = {number: str(number) for number in range(10_000)}"
TURN = "state[-1] = len(state)"


def main() -> None:
    """Take turns, so that all see the same machine."""
    native: dict[str, object] = {}
    exec(PREPARE, native)  # noqa: S102 - a constant of ours
    with ringfence.Session(language="python") as session:
        session.eval(PREPARE)
        snapshot = session.snapshot()
        compare(
            "a fork of a session with 10,000 objects",
            {
                "session.fork()": lambda: session.fork().close(),
                "session.fork(), one turn": lambda: turned(session.fork()),
                "snapshot.fork()": lambda: snapshot.fork().close(),
                "snapshot.fork(), one turn": lambda: turned(snapshot.fork()),
                "session.snapshot()": session.snapshot,
                "a new session, the same source": again,
                "os.fork of this process, one turn": lambda: process(native),
            },
            TIMES,
        )


def turned(fork: ringfence.Session) -> None:
    """Run one turn in a fork, and end it."""
    fork.eval(TURN)
    fork.close()


def again() -> None:
    """Come to the same state without a fork."""
    with ringfence.Session(language="python") as session:
        session.eval(PREPARE)


def process(state: dict[str, object]) -> None:
    """Do the same in a child of this process."""
    child = os.fork()
    if not child:
        exec(TURN, state)  # noqa: S102 - a constant of ours
        os._exit(0)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
