#!/usr/bin/env python3
# ruff: noqa: T201, S603
"""What does `import ringfence` cost, and the first use of each part? Beside it: `import wasmtime`."""

from __future__ import annotations

import statistics
import subprocess
import sys

RUNS = 30
LINES = {
    "import ringfence": "import ringfence",
    "… and name Sandbox": "import ringfence; ringfence.Sandbox",
    "import wasmtime": "import wasmtime",
    "import subprocess": "import subprocess",
}
TIMER = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"


def main() -> None:
    """Print the median of each, in a fresh process every time, taking turns."""
    times: dict[str, list[float]] = {name: [] for name in LINES}
    for _ in range(RUNS):
        for name, line in LINES.items():
            times[name].append(timed(line))
    for name, values in times.items():
        print(f"{name:<28} p50 {statistics.median(values) * 1e3:7.2f} ms")


def timed(line: str) -> float:
    """Time one line in a fresh interpreter."""
    command = [sys.executable, "-c", TIMER.format(line)]
    return float(subprocess.run(command, check=True, capture_output=True).stdout)


if __name__ == "__main__":
    main()
