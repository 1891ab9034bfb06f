#!/usr/bin/env python3
# ruff: noqa: T201
"""
What do runs gain from instances that wait: rewound for one tenant, or made ahead of need?

The same source is run in a sandbox of each kind: steadily, one run after the other; after pauses, in which what lay
ready was given back; and in bursts of several runs at once on as many threads. Beside them, without a language, a small
module. Times are those that the caller waits, in microseconds.
"""

from __future__ import annotations

import statistics
import threading
import time
from typing import TYPE_CHECKING

import ringfence

if TYPE_CHECKING:
    from collections.abc import Callable

STEADY, BLOCKS, PAUSES, PAUSE_SECONDS, BURSTS, AT_ONCE = 200, 10, 5, 1.5, 4, 4
SMALL = b'(module (memory (export "memory") 1) (func (export "_start") (i32.store (i32.const 8) (i32.const 1))))'


def main() -> None:
    """Take turns, so that all see the same machine."""
    for name, given, code in (
        ("python, print(1)", {"language": "python"}, "print(1)"),
        ("python, json and re", {"language": "python"}, "import json, re; print(json.dumps(re.findall('a', 'bana')))"),
        ("javascript, console.log(1)", {"language": "javascript"}, "console.log(1)"),
        ("a small module", {"program": SMALL}, None),
    ):
        kinds = {
            "a new store": ringfence.Sandbox(**given),
            "rewound": ringfence.Sandbox(**given, reuse="tenant", tenant="bench"),
            "spares": ringfence.Sandbox(**given, spares=8),
        }
        work = {kind: runner(sandbox, code) for kind, sandbox in kinds.items()}
        print(f"{name}")
        steady: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(BLOCKS):
            for kind, run in work.items():
                run()
                steady[kind] += [taken(run) for _ in range(STEADY)]
        told("steadily", steady)
        paused: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(PAUSES):
            for kind, run in work.items():
                time.sleep(PAUSE_SECONDS)
                paused[kind].append(taken(run))
        told("after a pause", paused)
        bursts: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(BURSTS):
            for kind, run in work.items():
                time.sleep(PAUSE_SECONDS)
                bursts[kind] += burst(run)
        told(f"{AT_ONCE} at once after a pause", bursts)
        print("  began:", {kind: sandbox.starts for kind, sandbox in kinds.items() if sandbox.starts})


def runner(sandbox: ringfence.Sandbox, code: str | None) -> Callable[[], object]:
    """Give what is timed."""
    return sandbox.run if code is None else lambda: sandbox.run(code=code)


def taken(run: Callable[[], object]) -> float:
    """Time one run, in microseconds."""
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1e6


def burst(run: Callable[[], object]) -> list[float]:
    """Time runs that begin at once."""
    times: list[float] = []
    begin = threading.Barrier(AT_ONCE)

    def one() -> None:
        begin.wait()
        times.append(taken(run))

    threads = [threading.Thread(target=one) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def told(what: str, times: dict[str, list[float]]) -> None:
    """Print the least, the median and the worst of a hundred."""
    for kind, each in times.items():
        each.sort()
        high = each[min(len(each) - 1, len(each) * 99 // 100)]
        print(f"  {what:<28} {kind:<12} least {each[0]:8.1f}  p50 {statistics.median(each):8.1f}  p99 {high:8.1f}")


if __name__ == "__main__":
    main()
