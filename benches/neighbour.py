#!/usr/bin/env python3
# ruff: noqa: T201
"""
What does a hostile program do to a good one beside it? The good one's p50 and p99, alone and with company.

    benches/neighbour.py [--seconds 20]

Two threads of one process, each with a guest of its own: the hostile one begins again whenever it was stopped. Alone
and beside are measured in turns, so that both see the same machine. Wanted: 1.5 times at most.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time

import ringfence

ROUNDS = 5
# About a millisecond of computing, then a line: what a short, honest program does.
GOOD = b"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00")
  (data (i32.const 16) "done\\0a")
  (func (export "_start") (local $n i32)
    (loop $again
      (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (local.get $n)))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 500000))))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))
"""
WASI = """
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
"""


def storm(body: str, pages: int = 17) -> bytes:
    """Write a program that does the same for ever."""
    return f"""
    (module {WASI}
      (memory (export "memory") {pages})
      (data (i32.const 0) "\\00\\00\\01\\00\\00\\00\\01\\00")
      (data (i32.const 16) "tmp/f")
      (func (export "_start") (local $n i32) (loop $again {body} (br $again))))
    """.encode()


HOSTILE = {
    "a loop": storm(""),
    "memory that grows": storm(
        "(if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))"
        "(memory.fill (i32.shl (i32.sub (memory.size) (i32.const 16)) (i32.const 16)) (i32.const 7)"
        "(i32.const 1048576))"
    ),
    "memory that is filled": storm("(memory.fill (i32.const 0) (local.get $n) (i32.const 134217728))", pages=2048),
    "output": storm("(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"),
    "host calls": storm("(drop (call $clock (i32.const 1) (i64.const 0) (i32.const 64)))"),
    "files": storm(
        "(drop (call $open (i32.const 3) (i32.const 1) (i32.const 16) (i32.const 5) (i32.const 1)"
        "(i64.const 66) (i64.const 66) (i32.const 0) (i32.const 64)))"
        "(drop (call $write (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 8)))"
        "(drop (call $close (i32.load (i32.const 64))))"
        "(drop (call $unlink (i32.const 3) (i32.const 16) (i32.const 5)))"
    ),
}


def main() -> None:
    """Take each hostile program in turn."""
    parser = argparse.ArgumentParser(description="measure a good program beside a hostile one")
    parser.add_argument("--seconds", type=float, default=20, help="for each hostile program, half of it alone")
    seconds = parser.parse_args().seconds
    good = ringfence.Sandbox(GOOD)
    for _ in range(100):
        good.run(check=True)
    print(f"{'beside':<24}{'p50':>10}{'p99':>10}{'alone p50':>12}{'p99':>10}{'ratio p50':>12}{'p99':>8}")
    for name, program in HOSTILE.items():
        row(name, *beside(good, program, seconds / ROUNDS / 2))


def beside(good: ringfence.Sandbox, program: bytes, seconds: float) -> tuple[list[float], list[float]]:
    """Time the good one with and without the other, in turns."""
    limits = ringfence.Limits(wall="1s", memory="256MiB", output="64MiB")
    hostile = ringfence.Sandbox(program, policy=ringfence.Policy(limits=limits, tmp=True))
    with_, without = [], []
    for _ in range(ROUNDS):
        without += timed(good, seconds)
        over = threading.Event()
        other = threading.Thread(target=lambda over=over: runs(hostile, over))
        other.start()
        time.sleep(0.05)
        with_ += timed(good, seconds)
        over.set()
        other.join()
    return with_, without


def runs(sandbox: ringfence.Sandbox, over: threading.Event) -> None:
    """Run the hostile one again and again."""
    while not over.is_set():
        if sandbox.run(stdout="discard").outcome not in {"limited", "trapped"}:
            raise SystemExit("a hostile program was not hostile")


def timed(sandbox: ringfence.Sandbox, seconds: float) -> list[float]:
    """Time each run of the good one, in seconds."""
    times = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        sandbox.run()
        times.append(time.perf_counter() - began)
    return times


def row(name: str, with_: list[float], without: list[float]) -> None:
    """Print one line of the table."""
    marks = [
        mark
        for times in (with_, without)
        for mark in (statistics.median(times), statistics.quantiles(times, n=100)[98])
    ]
    shown = [f"{mark * 1e3:7.2f} ms" for mark in marks]
    print(
        f"{name:<24}{shown[0]:>10}{shown[1]:>10}{shown[2]:>12}{shown[3]:>10}"
        f"{marks[0] / marks[2]:>12.2f}{marks[1] / marks[3]:>8.2f}"
    )


if __name__ == "__main__":
    main()
