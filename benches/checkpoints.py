#!/usr/bin/env python3
# ruff: noqa: T201
"""
What does a snapshot after each turn cost, in time and in memory, against what the turn changed?

A session holds 16 MiB and is captured after each turn; a turn writes to so many pages of them. The time is that of
`session.snapshot()`, with a line fitted through the medians, which is what a page costs and what it costs at all. Then
100 snapshots of one session are held, of turns that write to the same pages and of turns that add new ones, and what
the process takes for them is looked up.
"""

from __future__ import annotations

import gc
import statistics
import time
from pathlib import Path

import ringfence

PAGE = 4096
PAGES = [1, 10, 100, 1000, 4000]
ROUNDS, TIMES, HELD = 3, 15, 100
BEGIN = f"large, more = bytearray(4096 * {PAGE}), []"
WRITE = f"n = (globals().get('n', 0) + 1) & 255\nfor at in range(0, %d * {PAGE}, {PAGE}): large[at] = n\n0"
ADD = f"more.append(bytearray(b'1') * (%d * {PAGE}))\n0"


def main() -> None:
    """Take turns between the sizes, so that all see the same machine."""
    taken: dict[int, list[float]] = {pages: [] for pages in PAGES}
    for _ in range(ROUNDS):
        for pages, each in taken.items():
            each.extend(checkpoints(pages))
    print("session.snapshot() after a turn that writes to so many pages")
    for pages, each in taken.items():
        least, middle, late = min(each), statistics.median(each), sorted(each)[int(len(each) * 0.99)]
        print(f"  {pages:>5} pages {least * 1e6:9.1f} µs at least, {middle * 1e6:9.1f} median, p99 {late * 1e6:9.1f}")
    for name, of in (("least", min), ("median", statistics.median)):
        line = statistics.linear_regression(PAGES, [of(each) * 1e6 for each in taken.values()])
        print(f"  line through the {name}s: {line.intercept:.0f} µs + {line.slope:.3f} µs a page")
    for what, turn, pages in (
        ("write to the same", WRITE, 100),
        ("write to the same", WRITE, 1000),
        ("add", ADD, 100),
        ("add", ADD, 1000),
    ):
        bytes_each, late = memory(turn % pages)
        print(
            f"  {HELD} held, of turns that {what} {pages} pages: {bytes_each / 1024:.0f} KiB each, {late:.1f} ms worst"
        )


def checkpoints(pages: int) -> list[float]:
    """Time the snapshots of one session, the first few aside."""
    with ringfence.Session(language="python") as session:
        session.eval(BEGIN)
        held, taken = [], []
        for _ in range(TIMES + 5):
            session.eval(WRITE % pages)
            begun = time.perf_counter()
            held.append(session.snapshot())
            taken.append(time.perf_counter() - begun)
        return taken[5:]


def memory(turn: str) -> tuple[float, float]:
    """What each of many snapshots takes, beside what the session itself does, and how long the slowest took, in ms."""
    with ringfence.Session(language="python") as session:
        session.eval(BEGIN)
        held, worst = [], 0.0
        for _ in range(HELD):
            session.eval(turn)
            begun = time.perf_counter()
            held.append(session.snapshot())
            worst = max(worst, time.perf_counter() - begun)
        with_them = resident()
        held.clear()
        gc.collect()
        trim()
        return (with_them - resident()) / HELD, worst * 1e3


def resident() -> int:
    """Memory of this process, and its files in memory, in bytes."""
    private = sum(kibibytes("/proc/self/smaps_rollup", "Private_Dirty"))
    return (private + sum(kibibytes("/proc/meminfo", "Shmem"))) * 1024


def kibibytes(file: str, field: str) -> list[int]:
    """Read a field of what the kernel tells."""
    lines = Path(file).read_text(encoding="ascii").splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith(f"{field}:")]


def trim() -> None:
    """Give back what the allocator holds for later."""
    import ctypes

    ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    main()
