#!/usr/bin/env python3
# ruff: noqa: T201
"""
Run the public WebAssembly/wasi-testsuite, the outside judge, and print which tests pass.

Usage: python tools/wasi_testsuite.py CHECKOUT [--only TEXT] [--verbose]

CHECKOUT is a checkout of its branch `prod/testsuite-base`. Nothing of it enters this repository.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import ringfence

WALL = "20s"


def main() -> int:
    """Run every test, print a line for each that fails and a total per level; the exit code is 0 when all pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()

    totals: dict[str, list[int]] = {}
    for wasm in sorted(arguments.checkout.glob("tests/*/testsuite/*/*.wasm")):
        level = wasm.parent.name
        if arguments.only not in str(wasm):
            continue
        why = judge(wasm, level)
        passed, failed = totals.setdefault(level, [0, 0])
        totals[level] = [passed + (why is None), failed + (why is not None)]
        if why is not None or arguments.verbose:
            print(f"{'ok' if why is None else 'FAILED'} {level} {wasm.stem}{'' if why is None else ': ' + why}")
    for level, (passed, failed) in totals.items():
        print(f"{level}: {passed} passed, {failed} failed")
    return 1 if any(failed for _, failed in totals.values()) else 0


def judge(wasm: Path, level: str) -> str | None:
    """Run one test as its description says; None if it passes, else why not."""
    described = wasm.with_suffix(".json")
    test = json.loads(described.read_text()) if described.exists() else {}
    expected: dict[str, Any] = {
        "exit_code": test.get("exit_code", 0),
        "stdout": test.get("stdout"),
        "stderr": test.get("stderr"),
    }
    args = list(test.get("args", []))
    for operation in test.get("operations", []):
        match operation.get("type"):
            case "run":
                args = list(operation.get("args", args))
                test.setdefault("root", operation.get("root"))
                test["env"] = operation.get("env", test.get("env", {}))
            case "wait":
                expected["exit_code"] = operation.get("exit_code", 0)
            case "read":
                expected[operation.get("id", "stdout")] = operation.get("payload")
            case other:
                return f"needs `{other}`, which this runner does not do"
    if test.get("world", "wasi:cli/command") != "wasi:cli/command":
        return f"is of the world {test['world']}"
    with tempfile.TemporaryDirectory() as scratch:
        dirs = []
        if root := test.get("root") or next(iter(test.get("dirs", [])), None):
            shutil.copytree(wasm.parent / root, Path(scratch) / "root", symlinks=True)
            dirs = [ringfence.Dir(Path(scratch) / "root", at="/", mode="rw")]
        try:
            policy = ringfence.Policy(
                dirs=dirs,
                env=test.get("env", {}),
                wasi="0.3" if level.endswith("p3") else "0.2",
                limits=ringfence.Limits(wall=WALL),
            )
            result = ringfence.run(wasm, args, policy=policy)
        except ringfence.RingfenceError as error:
            return str(error).replace("\n", " | ")
    got: dict[str, Any] = {
        "exit_code": result.exit_code,
        "stdout": result.text,
        "stderr": result.stderr.decode(errors="replace"),
    }
    wrong = [
        f"{key} is {got[key]!r:.300}" for key, value in expected.items() if value is not None and got[key] != value
    ]
    if result.outcome != "exited":
        wrong.append(f"{result.outcome}: {result.limit or result.trap}")
    return "; ".join([*wrong, got["stderr"][-300:].replace("\n", " | ")]) if wrong else None


if __name__ == "__main__":
    sys.exit(main())
