#!/usr/bin/env python3
# ruff: noqa: T201
"""
What does a call from a guest to a Python function cost, and what does having such functions add to a run?

A module calls a Python function of two integers, many times in one run, and not at all in another. Ours runs it on a
thread that the caller can leave behind at the deadline; the peer, wasmtime-py, on the caller's own, without a deadline.
"""

from __future__ import annotations

import statistics
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import wasmtime

import ringfence

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS, ROUNDS, RUNS = 10_000, 20, 1000
PROGRAM = """
(module
  (import "env" "add" (func $add (param i32 i32) (result i32)))
  (func (export "_start") (local $n i32)
    (local.set $n (i32.const {calls}))
    (block $done (loop $again
      (br_if $done (i32.eqz (local.get $n)))
      (local.set $n (call $add (local.get $n) (i32.const -1)))
      (br $again)))))
"""
PLAIN = '(module (func (export "_start")))'


def main() -> None:
    """Take turns, so that both see the same machine; print medians and their ratio."""
    ours, theirs = our_run(CALLS), their_run(CALLS)
    none, entered, their_none = ringfence.Sandbox(PLAIN.encode()).run, our_run(0), their_run(0)
    calls = [(timed(ours, 1)[0] / CALLS, timed(theirs, 1)[0] / CALLS) for _ in range(ROUNDS)]
    mine, peer = (statistics.median(call[which] for call in calls) for which in (0, 1))
    print(f"{'ringfence, a call':<36} {mine * 1e6:7.2f} µs")
    print(f"{'wasmtime-py ' + version('wasmtime') + ', a call':<36} {peer * 1e6:7.2f} µs")
    print(f"ratio: {peer / mine:.1f}")
    runs = {"ringfence, a run without functions": none, "ringfence, a run with functions": entered}
    runs["wasmtime-py, a run with functions"] = their_none
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            times[name] += timed(run, RUNS // ROUNDS)
    for name, taken in times.items():
        print(f"{name:<36} {statistics.median(taken) * 1e6:7.2f} µs")
    first, second, _ = (statistics.median(taken) for taken in times.values())
    print(f"a thread for the guest adds: {(second - first) * 1e6:.1f} µs")


def add(one: int, other: int) -> int:
    """Add."""
    return one + other


def our_run(calls: int) -> Callable[[], object]:
    """Give one run of ours."""
    sandbox = ringfence.Sandbox(PROGRAM.format(calls=calls).encode(), imports={"env": {"add": add}})
    assert sandbox.run().ok  # noqa: S101 - a bench of something that works
    return sandbox.run


def their_run(calls: int) -> Callable[[], object]:
    """Give one run of the peer's."""
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, PROGRAM.format(calls=calls))
    number = wasmtime.ValType.i32()
    kind = wasmtime.FuncType([number, number], [number])

    def run() -> None:
        store = wasmtime.Store(engine)
        start = wasmtime.Instance(store, module, [wasmtime.Func(store, kind, add)]).exports(store)["_start"]
        start(store)  # type: ignore[operator]

    run()
    return run


def timed(run: Callable[[], object], runs: int) -> list[float]:
    """Time each run, in seconds."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return times


if __name__ == "__main__":
    main()
