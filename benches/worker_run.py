#!/usr/bin/env python3
# ruff: noqa: T201
"""
What does a worker add to one run of a hello module from Python, everything compiled and warm?

The same `Sandbox.run` three times: in process, in a process of its own, and in one behind the wall. Then one call from
a guest to a Python function, in each of them.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import ringfence

if TYPE_CHECKING:
    from collections.abc import Callable

HELLO = Path(__file__).resolve().parents[1] / "crates" / "guests" / "hello.wat"
ROUNDS, RUNS = 10, 1000
CALLS = 2000
CALLING = f"""(module (import "env" "f" (func $f (param i32) (result i32)))
  (func (export "_start") (local $left i32) (local.set $left (i32.const {CALLS}))
    (loop $again (local.set $left (call $f (local.get $left))) (br_if $again (local.get $left)))))"""


def main() -> None:
    """Take turns, so that all see the same machine; print the medians and what a worker adds."""
    runs = {where: warm_run(where) for where in ("wasm", "process", "worker")}
    times: dict[str, list[float]] = {where: [] for where in runs}
    for _ in range(ROUNDS):
        for where, run in runs.items():
            times[where] += timed(run)
    for where, taken in times.items():
        row(f'isolation="{where}"', taken)
    added = statistics.median(times["worker"]) - statistics.median(times["wasm"])
    print(f"a worker adds at the median: {added * 1e6:.1f} µs")
    for where in runs:
        row(f'one call from "{where}"', [taken / CALLS for taken in calls(where)])


def warm_run(where: str) -> Callable[[], object]:
    """Give one run there, after the first."""
    sandbox = ringfence.Sandbox(HELLO, isolation=where)  # type: ignore[arg-type]
    assert sandbox.run().text == "hello, world\n"  # noqa: S101 - a bench of something that works
    return sandbox.run


def calls(where: str) -> list[float]:
    """Time runs that do nothing but call, in seconds."""
    imports = {"env": {"f": lambda left: left - 1}}
    sandbox = ringfence.Sandbox(CALLING.encode(), imports=imports, isolation=where)  # type: ignore[arg-type]
    assert sandbox.run().ok  # noqa: S101 - a bench of something that works
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        sandbox.run()
        times.append(time.perf_counter() - began)
    return times


def timed(run: Callable[[], object]) -> list[float]:
    """Time each run, in seconds."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return times


def row(name: str, times: list[float]) -> None:
    """Print the median and the tail."""
    p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    print(f"{name:<28} p50 {p50 * 1e6:7.2f} µs   p99 {p99 * 1e6:7.2f} µs")


if __name__ == "__main__":
    main()
