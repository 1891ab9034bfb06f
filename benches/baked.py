#!/usr/bin/env python3
# ruff: noqa: T201, S603
"""
How soon does a baked program run?

One script that imports what scripts import and prints a line, baked once: in process from a program that is open, and
by `ringfence run`; beside it the same file on the command of Wasmtime, compiled ahead, and a native Python.
"""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import ringfence

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 40
SCRIPT = "import argparse, collections, csv, dataclasses, datetime, json, pathlib, re\nprint(json.dumps('hello'))\n"


def main() -> None:
    """Print the median and the least of each, taking turns."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "app.py").write_text(SCRIPT, encoding="utf-8")
        ringfence_ = Path(sys.executable).with_name("ringfence")
        subprocess.run([ringfence_, "bake", "app.py"], cwd=folder, check=True)
        works: dict[str, Callable[[], object]] = {
            "baked, in process": ringfence.Sandbox(folder / "app.wasm").run,
            "not baked, in process": ringfence.Sandbox(code=SCRIPT, language="python").run,
            "baked, ringfence run": process(ringfence_, "run", folder / "app.wasm"),
            "python app.py": process(sys.executable, "-I", folder / "app.py"),
        }
        if wasmtime := wasmtime_in(folder):
            subprocess.run([wasmtime, "compile", folder / "app.wasm", "-o", folder / "app.cwasm"], check=True)
            works["baked, wasmtime run"] = process(wasmtime, "run", "--allow-precompiled", folder / "app.cwasm")
        taken: dict[str, list[float]] = {name: [] for name in works}
        for at in range(ROUNDS + 1):
            for name, work in works.items():
                began = time.perf_counter()
                work()
                if at:
                    taken[name].append(time.perf_counter() - began)
        for name, each in taken.items():
            print(f"{name:<24} p50 {statistics.median(each) * 1e3:8.2f} ms, least {min(each) * 1e3:8.2f} ms")


def wasmtime_in(folder: Path) -> Path | None:
    """Give the command of the package wasmtime-cli, where that is installed."""
    spec = importlib.util.find_spec("wasmtime_cli")
    if spec is None or not spec.submodule_search_locations:
        return None
    copied = folder / "wasmtime"
    shutil.copyfile(Path(spec.submodule_search_locations[0]) / "wasmtime", copied)
    copied.chmod(0o700)
    return copied


def process(*command: str | Path) -> Callable[[], object]:
    """Give a whole process."""
    return lambda: subprocess.run(command, capture_output=True, check=True)


if __name__ == "__main__":
    main()
