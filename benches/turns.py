# ruff: noqa: INP001, T201
"""Works that take turns, so that all see the same machine, and what is told of each."""

from __future__ import annotations

import statistics
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, TIMES = 20, 25


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
        print(f"  {name:<34} {middle * 1e6:10.1f} µs, p99 {late * 1e6:10.1f} µs, {least}, {middle / first:8.2f}")


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
