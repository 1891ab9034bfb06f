#!/usr/bin/env python3
# ruff: noqa: T201
"""
How long does one run of a hello module take from Python, everything compiled?

Ours: `Sandbox.run` with every default limit armed and the output captured. The peer: wasmtime-py doing the least
that gives the same result, a store with WASI, an epoch deadline, and its output written to /dev/null.
"""

from __future__ import annotations

import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import wasmtime

import ringfence

if TYPE_CHECKING:
    from collections.abc import Callable

HELLO = Path(__file__).resolve().parents[1] / "crates" / "guests" / "hello.wat"
ROUNDS, RUNS = 10, 2000


def main() -> None:
    """Take turns, so that both see the same machine; print the medians and their ratio."""
    ours, theirs = our_run(), their_run()
    for run in (ours, theirs):
        timed(run)
    rounds = [(timed(ours), timed(theirs)) for _ in range(ROUNDS)]
    mine, peer = ([value for round_ in rounds for value in round_[which]] for which in (0, 1))
    row("ringfence Sandbox.run", mine)
    row(f"wasmtime-py {version('wasmtime')}", peer)
    print(f"ratio of the medians: {statistics.median(peer) / statistics.median(mine):.1f}")


def our_run() -> Callable[[], object]:
    """Give one run of ours."""
    sandbox = ringfence.Sandbox(HELLO)
    assert sandbox.run().text == "hello, world\n"  # noqa: S101 - a bench of something that works
    return sandbox.run


def their_run() -> Callable[[], object]:
    """Give one run of the peer's."""
    config = wasmtime.Config()
    config.epoch_interruption = True
    engine = wasmtime.Engine(config)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    module = wasmtime.Module(engine, HELLO.read_text(encoding="utf-8"))

    def run() -> None:
        store = wasmtime.Store(engine)
        wasi = wasmtime.WasiConfig()
        wasi.stdout_file = "/dev/null"
        store.set_wasi(wasi)
        store.set_epoch_deadline(1_000_000)
        start = linker.instantiate(store, module).exports(store)["_start"]
        start(store)  # type: ignore[operator]

    return run


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
