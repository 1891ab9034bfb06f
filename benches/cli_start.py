#!/usr/bin/env python3
# ruff: noqa: T201, S603
"""
How long does the command line take, from nothing to the guest's output, with the program in the cache?

Beside it, in turns: an empty Python, which is the floor of any command in Python, and Wasmtime's own native command.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import wasmtime_cli

HELLO = Path(__file__).resolve().parents[1] / "crates" / "guests" / "hello.wat"
RUNS = 40


def main() -> None:
    """Take turns; print medians, and what we add to an empty Python."""
    wasmtime = Path(wasmtime_cli.__file__).parent / "wasmtime"
    wasmtime.chmod(0o755)  # pip leaves it without
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -I -S -c pass": [sys.executable, "-I", "-S", "-c", "pass"],
        "ringfence run, cached": [str(Path(sys.executable).parent / "ringfence"), "run", str(HELLO)],
        "wasmtime run, cached": [str(wasmtime), "run", "-C", "cache=y", str(HELLO)],
    }
    for command in commands.values():
        timed(command)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            times[name].append(timed(command))
    medians = {name: statistics.median(values) * 1e3 for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:<28} p50 {median:7.1f} ms")
    print(f"above `python -c pass`: {medians['ringfence run, cached'] - medians['python -c pass']:.1f} ms")


def timed(command: list[str]) -> float:
    """Run a command to its end."""
    # As installed: `make` shows Python our peers.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
