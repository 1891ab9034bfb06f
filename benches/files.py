#!/usr/bin/env python3
# ruff: noqa: T201, S603
"""
How fast are files: a large one, many small calls, the same through a private layer, and a walk over 10,000 of them?

Each program is a module for WASI 0.1 that repeats one act, run by us, by wasmtime-py and by the `wasmtime` command on
the same files, in turns. What it takes to start a run is measured with an empty program and taken off. The walk is
compared with `os.walk` of this Python.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import wasmtime
import wasmtime_cli

import ringfence

# On a machine that others load, the processor's time is told instead of the clock's.
PROCESSOR = os.environ.get("CLOCK") == "cpu"
ROUNDS = int(os.environ.get("ROUNDS", "7"))
LARGE, PIECE = 64 << 20, 64 << 10
DIRECTORIES, FILES = 100, 100
Run = Callable[[], object]

FRAME = """
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get" (func $stat (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 0) "data/file")
  (data (i32.const 16) "data/tree")
  (data (i32.const 32) "data/made")
  ;; one vector of a piece, and one of a byte
  (data (i32.const 64) "\\00\\00\\01\\00\\00\\00\\01\\00")
  (data (i32.const 72) "\\00\\00\\01\\00\\01\\00\\00\\00")
  (func $ok (param i32) (if (local.get 0) (then unreachable)))
  (func $opened (param $dir i32) (param $path i32) (param $len i32) (param $oflags i32) (param $rights i64) (result i32)
    (call $ok (call $open (local.get $dir) (i32.const 1) (local.get $path) (local.get $len) (local.get $oflags)
      (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 128)))
    (i32.load (i32.const 128)))
  ;; lists a directory, and what is in it where that is directories
  (func $walk (param $fd i32) (param $buffer i32) (param $deeper i32)
    (local $at i32) (local $used i32) (local $inner i32)
    (call $ok (call $list (local.get $fd) (local.get $buffer) (i32.const 65536) (i64.const 0) (i32.const 132)))
    (local.set $used (i32.add (local.get $buffer) (i32.load (i32.const 132))))
    (local.set $at (local.get $buffer))
    (loop $next
      (if (i32.and (local.get $deeper) (i32.ne (i32.load8_u offset=24 (local.get $at)) (i32.const 46))) (then
        (local.set $inner (call $opened (local.get $fd) (i32.add (local.get $at) (i32.const 24))
          (i32.load offset=16 (local.get $at)) (i32.const 2) (i64.const 0x4000)))
        (call $walk (local.get $inner) (i32.const 131072) (i32.const 0))
        (call $ok (call $close (local.get $inner)))))
      (local.set $at (i32.add (local.get $at) (i32.add (i32.const 24) (i32.load offset=16 (local.get $at)))))
      (br_if $next (i32.lt_u (local.get $at) (local.get $used)))))
  (func (export "_start") (local $n i32) (local $fd i32)
    %s
    (local.set $n (i32.const %d))
    (loop $again
      %s
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
"""
FILE = "(i32.const 3) (i32.const 0) (i32.const 9) (i32.const 0) (i64.const 2)"
OPEN = f"(local.set $fd (call $opened {FILE}))"
MADE = "(local.set $fd (call $opened (i32.const 3) (i32.const 32) (i32.const 9) (i32.const 9) (i64.const 66)))"
TREE = "(call $opened (i32.const 3) (i32.const 16) (i32.const 9) (i32.const 2) (i64.const 0x4000))"

WALK = "(call $walk (local.get $fd) (i32.const 65536) (i32.const 1))"

# Each act: what comes before, how often, and what is repeated.
ACTS = {
    "nothing": ("", 1, ""),
    "read 64 MiB": (
        OPEN,
        LARGE // PIECE,
        "(call $ok (call $read (local.get $fd) (i32.const 64) (i32.const 1) (i32.const 132)))",
    ),
    "write 64 MiB": (
        MADE,
        LARGE // PIECE,
        "(call $ok (call $write (local.get $fd) (i32.const 64) (i32.const 1) (i32.const 132)))",
    ),
    "stat": (
        "",
        30_000,
        "(call $ok (call $stat (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 9) (i32.const 192)))",
    ),
    "open and close": ("", 15_000, f"(call $ok (call $close (call $opened {FILE})))"),
    "read 1 byte": (
        OPEN,
        60_000,
        "(call $ok (call $read (local.get $fd) (i32.const 72) (i32.const 1) (i32.const 132)))",
    ),
    "walk 10,000 files": ("", 1, f"(local.set $fd {TREE}) {WALK} (call $ok (call $close (local.get $fd)))"),
}


def main() -> None:
    """Take turns; print medians, and the median of each round's ratio."""
    with tempfile.TemporaryDirectory() as made:
        host = Path(made)
        lay_out(host / "data")
        print(f"{'':<20}{'ours':>10}{'overlay':>10}{'wasmtime-py':>13}{'wasmtime':>10}{'os.walk':>10}   ratios to ours")
        empty: dict[str, float] = {}
        for act, (before, times, body) in ACTS.items():
            wat = FRAME % (before, times, body)
            runs = everyone(wat, host)
            if act.startswith("walk"):
                runs["os.walk"] = lambda: sum(len(files) for _, _, files in os.walk(host / "data" / "tree"))
            rounds = [{name: timed(run) - empty.get(name, 0.0) for name, run in runs.items()} for _ in range(ROUNDS)]
            medians = {name: statistics.median(one[name] for one in rounds) for name in runs}
            if act == "nothing":
                empty = medians
                continue
            ratios = {name: statistics.median(one[name] / one["ours"] for one in rounds) for name in runs}
            unit, scale = ("ms", 1e3) if times < LARGE // PIECE + 1 else ("µs", 1e6 / times)
            cells = "".join(
                f"{medians[name] * scale:{width - 3}.2f} {unit}" if name in medians else " " * width
                for name, width in (
                    ("ours", 10),
                    ("overlay", 10),
                    ("wasmtime-py", 13),
                    ("wasmtime", 10),
                    ("os.walk", 10),
                )
            )
            told = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items() if name != "ours")
            print(f"{act:<20}{cells}   {told}")


def lay_out(data: Path) -> None:
    """Make the files."""
    for directory in range(DIRECTORIES):
        inner = data / "tree" / f"d{directory:03}"
        inner.mkdir(parents=True)
        for file in range(FILES):
            (inner / f"f{file:03}").touch()
    with (data / "file").open("wb") as file:
        for _ in range(LARGE // PIECE):
            file.write(os.urandom(PIECE))


def everyone(wat: str, host: Path) -> dict[str, Run]:
    """Give a run of each."""
    program = host / "program.wasm"
    program.write_bytes(wasmtime.wat2wasm(wat))
    mode = "rw" if "(i32.const 9) (i32.const 9)" in wat else "ro"
    command = Path(wasmtime_cli.__file__).parent / "wasmtime"
    command.chmod(0o755)  # pip leaves it without
    line = [str(command), "run", "-C", "cache=y", "--dir", f"{host}::/", str(program)]
    return {
        "ours": ours(program, host, mode),
        "overlay": ours(program, host, "overlay"),
        "wasmtime-py": theirs(program, host),
        "wasmtime": lambda: subprocess.run(line, check=True),
    }


def ours(program: Path, host: Path, mode: str) -> Run:
    """Give a run of ours."""
    dirs = [ringfence.Dir(host / "data", at="/data", mode=mode)]  # type: ignore[arg-type]
    sandbox = ringfence.Sandbox(program, policy=ringfence.Policy(dirs=dirs))
    return lambda: sandbox.run().check()


def theirs(program: Path, host: Path) -> Run:
    """Give a run of the peer's."""
    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    module = wasmtime.Module.from_file(engine, str(program))

    def run() -> None:
        store = wasmtime.Store(engine)
        wasi = wasmtime.WasiConfig()
        wasi.preopen_dir(str(host), "/")
        store.set_wasi(wasi)
        start = linker.instantiate(store, module).exports(store)["_start"]
        start(store)  # type: ignore[operator]

    return run


def timed(run: Run) -> float:
    """Time one run, in seconds."""
    began = clock()
    run()
    return clock() - began


def clock() -> float:
    """Tell the time, or the processor time of this process and its children."""
    if not PROCESSOR:
        return time.perf_counter()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
