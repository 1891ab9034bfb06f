#!/usr/bin/env python3
# ruff: noqa: T201
"""
Does anything grow? 10,000 runs of one sandbox, 1,000 different programs, and four threads against one.

The exit code is 1 if memory, descriptors or threads grow, if the last programs cost more than the first, or if four
threads do less than one.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import ringfence

GUESTS = Path(__file__).resolve().parents[1] / "crates" / "guests"
RUNS, PROGRAMS, THREADED_RUNS = 10_000, 1_000, 20_000
SLACK_BYTES = 2 << 20


def main() -> int:
    """Measure each, print it, and count what grew."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["RINGFENCE_CACHE"] = cache  # a thousand programs are of no use to anybody else
        grew = [one_sandbox("hello.wat"), one_sandbox("grow_memory.wat"), many_programs(), threads()]
    return 1 if any(grew) else 0


def one_sandbox(guest: str) -> bool:
    """Run one sandbox again and again."""
    sandbox = ringfence.Sandbox(GUESTS / guest)
    for _ in range(RUNS // 10):
        sandbox.run()
    before = footprint()
    for _ in range(RUNS):
        sandbox.run()
    after = footprint()
    print(f"{RUNS} runs of {guest}: {told(before)} -> {told(after)}")
    return after[0] > before[0] + SLACK_BYTES or after[1:] != before[1:]


def many_programs() -> bool:
    """Load and run many programs that differ in one number, each dropped again."""
    times = []
    with tempfile.TemporaryDirectory() as directory:
        for n in range(PROGRAMS):
            file = Path(directory) / f"{n}.wat"
            file.write_text(f'(module (func (export "_start") (drop (i32.const {n}))))', encoding="utf-8")
        ringfence.run(Path(directory) / "0.wat")
        marks = [footprint()]
        for n in range(PROGRAMS):
            began = time.perf_counter()
            ringfence.run(Path(directory) / f"{n}.wat")
            times.append(time.perf_counter() - began)
            if n % (PROGRAMS // 4) == PROGRAMS // 4 - 1:
                marks.append(footprint())
    parts = [times[at : at + PROGRAMS // 10] for at in range(0, PROGRAMS, PROGRAMS // 10)]
    medians = [statistics.median(part) * 1e3 for part in parts]
    print(f"{PROGRAMS} programs, ms each by tenths: {' '.join(f'{median:.1f}' for median in medians)}")
    print(f"{PROGRAMS} programs: {' -> '.join(map(told, marks))}")
    return medians[-1] > 1.5 * medians[0] or marks[-1][1:] != marks[1][1:]


def threads() -> bool:
    """Run from one thread, then the same number of runs from four."""
    sandbox = ringfence.Sandbox(GUESTS / "hello.wat")

    def work(runs: int) -> None:
        for _ in range(runs):
            sandbox.run()

    rates = []
    for count in (1, 4):
        workers = [threading.Thread(target=work, args=(THREADED_RUNS // count,)) for _ in range(count)]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        rates.append(THREADED_RUNS / (time.perf_counter() - began))
    print(f"1 thread: {rates[0]:.0f} runs/s; 4 threads: {rates[1]:.0f} runs/s")
    return rates[1] < rates[0]


def footprint() -> tuple[int, int, int]:
    """Give our memory in bytes, our descriptors and our threads."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields["VmRSS"].split()[0]) << 10, len(list(Path("/proc/self/fd").iterdir())), int(fields["Threads"])


def told(mark: tuple[int, int, int]) -> str:
    """Write a footprint."""
    return f"{mark[0] / 2**20:.1f} MiB, {mark[1]} fds, {mark[2]} threads"


if __name__ == "__main__":
    sys.exit(main())
