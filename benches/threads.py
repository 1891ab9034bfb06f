#!/usr/bin/env python3
# ruff: noqa: T201
"""
How much more do two threads do than one?

Fresh runs of `print(1)` and of `console.log(1)`, on one thread and on two of one process; beside them two processes
with a thread each, which share nothing, and hashes on two threads, which need nothing but the processor: what these
gain is what the machine has to give. All take turns of a fifth of a second. On a busy machine `chrt --fifo 5` before
it, as root, keeps the neighbours from its two processors for that long.

    benches/threads.py [ROUNDS]
"""

from __future__ import annotations

import hashlib
import multiprocessing
import statistics
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Self

import ringfence

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

SECONDS, ROUNDS = 0.2, 20
PROGRAMS = (("python", "print(1)"), ("javascript", "console.log(1)"))
HASHED = b"x" * (64 << 10)


def main() -> None:
    """Take turns, and print each beside what one of it does."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    compare("hashes", {1: lambda: threads(1, hashed), 2: lambda: threads(2, hashed)}, rounds)
    for language, code in PROGRAMS:
        run = ringfence.Sandbox(code=code, language=language).run
        run()
        compare(f"{code}, threads", {count: partial(threads, count, run) for count in (1, 2)}, rounds)
        with Runner(language, code) as one, Runner(language, code) as other:
            compare(f"{code}, processes", {1: partial(together, one), 2: partial(together, one, other)}, rounds)


def compare(what: str, works: dict[int, Callable[[], float]], rounds: int) -> None:
    """Take turns; print the best and the median of each, and the ratios of both."""
    rates: dict[int, list[float]] = {count: [] for count in works}
    for _ in range(rounds):
        for count, work in works.items():
            rates[count].append(work())
    one, two = rates[1], rates[2]
    best, middle = max(two) / max(one), statistics.median(two) / statistics.median(one)
    print(
        f"{what:<26} one:{max(one):7.0f} a second at best, {statistics.median(one):7.0f} p50;"
        f" two: {max(two):7.0f}, {statistics.median(two):7.0f}; {best:.2f} and {middle:.2f} times as many"
    )


def hashed() -> None:
    """Do what lets go of the interpreter, and needs nothing else."""
    hashlib.sha256(HASHED)


def threads(count: int, work: Callable[[], object]) -> float:
    """Give how many a second that many threads do together."""
    done, end = [0] * count, time.perf_counter() + SECONDS

    def loop(at: int) -> None:
        while time.perf_counter() < end:
            work()
            done[at] += 1

    running = [threading.Thread(target=loop, args=(at,)) for at in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(done) / SECONDS


class Runner:
    """A process that runs a program for as long as it is told."""

    def __init__(self, language: str, code: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=runs, args=(theirs, language, code))

    def __enter__(self) -> Self:
        self.process.start()
        self.pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.send(None)
        self.process.join()


def runs(pipe: Connection, language: str, code: str) -> None:
    """Run it until the time that is given, and tell how often."""
    sandbox = ringfence.Sandbox(code=code, language=language)
    sandbox.run()
    pipe.send(0)
    while (end := pipe.recv()) is not None:
        done = 0
        while time.perf_counter() < end:
            sandbox.run()
            done += 1
        pipe.send(done)


def together(*processes: Runner) -> float:
    """Give how many a second these processes do together: the clock is the same for all of a machine."""
    end = time.perf_counter() + SECONDS
    for each in processes:
        each.pipe.send(end)
    done: int = sum(each.pipe.recv() for each in processes)
    return done / SECONDS


if __name__ == "__main__":
    main()
