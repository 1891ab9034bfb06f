#!/usr/bin/env python3
# ruff: noqa: T201
"""
What does a worker add to a session of Python, everything compiled and warm?

The same session in process, in a process of its own, and in one behind the wall: opening and closing it, a turn, a turn
where it has functions, one call of a Python function; and what memory an idle one takes.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import ringfence

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfence import Session
    from ringfence._isolation import Isolation

ROUNDS, TURNS, OPENED = 10, 100, 5
CALLS = 500
PLACES: tuple[Isolation, ...] = ("wasm", "process", "worker")


def main() -> None:
    """Take turns, so that all see the same machine; print the least and the median of each."""
    policy = ringfence.Policy(limits=ringfence.Limits(wall=600))
    times: dict[str, list[float]] = {}
    for place in PLACES:
        opening = partial(ringfence.Session, "python", policy=policy, isolation=place)
        opening().close()
        for _ in range(ROUNDS):
            note(times, f"open, {place}", opening, 1)
            time.sleep(0.2)  # for the next worker to be started ahead
    sessions = {place: ringfence.Session("python", policy=policy, isolation=place) for place in PLACES}
    calling = {
        place: ringfence.Session("python", policy=policy, isolation=place, functions={"add": add}) for place in PLACES
    }
    for session in (*sessions.values(), *calling.values()):
        session.eval("x = 1")
    turns(times, sessions, calling)
    for name, taken in times.items():
        print(f"{name:<36} least {min(taken) * 1e6:9.1f} µs   p50 {statistics.median(taken) * 1e6:9.1f} µs")
    for session in (*sessions.values(), *calling.values()):
        session.close()
    for place in PLACES:
        print(f"{f'an idle session, {place}':<36} {memory(place, policy):9.2f} MiB")


def turns(times: dict[str, list[float]], plain: dict[Isolation, Session], calling: dict[Isolation, Session]) -> None:
    """Time turns of the sessions, each in its turn."""
    loop = f"for i in range({CALLS}): add(i, 1)"
    for _ in range(ROUNDS):
        for place in PLACES:
            note(times, f"a turn, x += 1, {place}", partial(plain[place].eval, "x += 1"), TURNS)
        for place in PLACES:
            note(times, f"with functions, {place}", partial(calling[place].eval, "x += 1"), TURNS)
        for place in PLACES:
            note(times, f"{CALLS} calls of a function, {place}", partial(calling[place].eval, loop), 1)


def add(one: int, other: int) -> int:
    """Add."""
    return one + other


def note(times: dict[str, list[float]], name: str, work: Callable[[], object], count: int) -> None:
    """Time it so often, in seconds each."""
    for _ in range(count):
        began = time.perf_counter()
        kept = work()
        times.setdefault(name, []).append(time.perf_counter() - began)
        del kept


def memory(place: Isolation, policy: ringfence.Policy) -> float:
    """Measure what is private to one session of several, in this process or in its worker, in MiB."""
    before, known = private("self"), children()
    sessions = [ringfence.Session("python", policy=policy, isolation=place) for _ in range(OPENED)]
    for session in sessions:
        session.eval("x = 1")
    time.sleep(1.5)
    there = sorted(private(child) for child in children() - known)
    ours = (private("self") - before) / OPENED
    for session in sessions:
        session.close()
    # The least is the one that was started ahead for the next.
    return statistics.median(there[1:]) if there else ours


def private(process: str) -> float:
    """Read what memory a process shares with nobody, in MiB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def children() -> set[str]:
    """Name our child processes."""
    return {name for file in Path("/proc/self/task").glob("*/children") for name in file.read_text().split()}


if __name__ == "__main__":
    main()
