#!/usr/bin/env python3
# ruff: noqa: S603, T201
"""
Is our wasmtime the newest of its line? Names the version in Cargo.lock and the newest patch of it in the registry.

    tools/patches.py

The exit code is 1 when there is a newer patch: a security release of wasmtime is one. Where the registry cannot be
asked it says so and the exit code is 0.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "Cargo.lock"
CRATES = ["wasmtime", "wasmtime-wasi"]
WAIT_SECONDS = 60


def main() -> int:
    """Compare each crate's two versions."""
    behind = False
    for crate in CRATES:
        ours = locked(crate)
        newest = published(crate, ours)
        if newest is None:
            print(f"{crate} {ours}: the registry could not be asked for the newest {line(ours)}.x")
        elif numbers(newest) > numbers(ours):
            behind = True
            print(f"{crate} {ours}: {newest} is out")
            print(
                f"hint: write `={newest}` in Cargo.toml, for all of {', '.join(CRATES)}, and run the tests",
                file=sys.stderr,
            )
        else:
            print(f"{crate} {ours}: the newest {line(ours)}.x")
    return 1 if behind else 0


def locked(crate: str) -> str:
    """Give the version in Cargo.lock."""
    text = LOCK.read_text(encoding="utf-8")
    found = re.search(rf'^name = "{re.escape(crate)}"\nversion = "(.+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"error: there is no `{crate}` in {LOCK}")
    return found[1]


def published(crate: str, ours: str) -> str | None:
    """Ask cargo for the newest patch of the line; outside of the workspace, where it would answer with the lock's."""
    command = ["cargo", "info", "--quiet", "--color", "never", f"{crate}@{line(ours)}"]
    with tempfile.TemporaryDirectory() as elsewhere:
        try:
            told = subprocess.run(
                command, cwd=elsewhere, capture_output=True, text=True, check=True, timeout=WAIT_SECONDS
            ).stdout
        except (subprocess.SubprocessError, OSError):
            return None
    found = re.search(r"^version: (\d+\.\d+\.\d+)", told, re.MULTILINE)
    return found[1] if found else None


def line(version: str) -> str:
    """Give the line of a version: `48.0` of `48.0.8`."""
    return version.rpartition(".")[0]


def numbers(version: str) -> tuple[int, ...]:
    """Turn `48.0.8` into what compares."""
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    sys.exit(main())
