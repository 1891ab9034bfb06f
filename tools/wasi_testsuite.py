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

# What a test needs that no policy grants.
NOT_OFFERED = {
    "serving": "they answer requests, and nothing serves yet",
    "listening": "a guest reaches others, and is reached by nobody",
}

# Tests of sockets that listen, or bind a port of their own choice.
LISTENING = {
    "sockets-echo",
    "sockets-tcp-bind",
    "sockets-tcp-connect",
    "sockets-tcp-listen",
    "sockets-tcp-receive",
    "sockets-tcp-send",
    "sockets-udp-connect",
}
LOCAL = ["127.0.0.0/8:*", "[::1]:*"]


def main() -> int:
    """Run every test, print a line for each that fails and a total per level; the exit code is 0 when all pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()

    totals: dict[str, list[int]] = {}
    missing: dict[tuple[str, str], int] = {}
    for wasm in sorted(arguments.checkout.glob("tests/*/testsuite/*/*.wasm")):
        level = wasm.parent.name
        if arguments.only not in str(wasm):
            continue
        described = wasm.with_suffix(".json")
        test = json.loads(described.read_text()) if described.exists() else {}
        if needed := not_offered(wasm, level, test):
            missing[level, needed] = missing.get((level, needed), 0) + 1
            continue
        why = judge(wasm, level, test)
        passed, failed = totals.setdefault(level, [0, 0])
        totals[level] = [passed + (why is None), failed + (why is not None)]
        if why is not None or arguments.verbose:
            print(f"{'ok' if why is None else 'FAILED'} {level} {wasm.stem}{'' if why is None else ': ' + why}")
    for (level, needed), count in missing.items():
        print(f"{level}: {count} not offered, they need {needed}: {NOT_OFFERED[needed]}")
    for level, (passed, failed) in totals.items():
        print(f"{level}: {passed} passed, {failed} failed")
    return 1 if any(failed for _, failed in totals.values()) else 0


def not_offered(wasm: Path, level: str, test: dict[str, Any]) -> str | None:
    """Name what a test needs and no policy grants, if there is such a thing."""
    proposals = set(test.get("proposals", []))
    if level.endswith("p3"):
        # Two of the tests have no description that says it.
        proposals.add(wasm.stem.partition("-")[0])
    if test.get("world") == "wasi:http/service" or wasm.stem.startswith("http-service"):
        proposals.add("serving")
    if wasm.stem in LISTENING:
        proposals.add("listening")
    return next((needed for needed in NOT_OFFERED if needed in proposals), None)


def judge(wasm: Path, level: str, test: dict[str, Any]) -> str | None:
    """Run one test as its description says; None if it passes, else why not."""
    expected: dict[str, Any] = {
        "exit_code": test.get("exit_code", 0),
        "stdout": test.get("stdout"),
        "stderr": test.get("stderr"),
    }
    args = list(test.get("args", []))
    env = test.get("env", {})
    root = test.get("root") or next(iter(test.get("dirs", [])), None)
    talk: list[dict[str, Any]] = []
    for operation in test.get("operations", []):
        match operation.get("type"):
            case "run":
                args, env = list(operation.get("args", args)), operation.get("env", env)
                root = root or operation.get("root")
            case "wait":
                expected["exit_code"] = operation.get("exit_code", 0)
            case "read" | "write":
                talk.append(operation)
            case other:
                return f"needs `{other}`, which this runner does not do"
    if test.get("world", "wasi:cli/command") != "wasi:cli/command":
        return f"is of the world {test['world']}"
    with tempfile.TemporaryDirectory() as scratch:
        dirs = []
        if root:
            shutil.copytree(wasm.parent / root, Path(scratch) / "root", symlinks=True)
            dirs = [ringfence.Dir(Path(scratch) / "root", at="/", mode="rw")]
        try:
            policy = ringfence.Policy(
                dirs=dirs,
                env=env,
                net=ringfence.Net(tcp=LOCAL, udp=LOCAL),
                wasi="0.3" if level.endswith("p3") else "0.2",
                limits=ringfence.Limits(wall=WALL),
            )
            if talk:
                result, wrong = converse(ringfence.Sandbox(wasm, policy=policy), args, talk)
            else:
                result, wrong = ringfence.run(wasm, args, policy=policy), []
        except ringfence.RingfenceError as error:
            return str(error).replace("\n", " | ")
    got: dict[str, Any] = {
        "exit_code": result.exit_code,
        "stdout": result.text,
        "stderr": result.stderr.decode(errors="replace"),
    }
    wrong += [
        f"{key} is {got[key]!r:.300}" for key, value in expected.items() if value is not None and got[key] != value
    ]
    if result.outcome != "exited":
        wrong.append(f"{result.outcome}: {result.limit or result.trap}")
    return "; ".join([*wrong, got["stderr"][-300:].replace("\n", " | ")]) if wrong else None


def converse(
    sandbox: ringfence.Sandbox, args: list[str], talk: list[dict[str, Any]]
) -> tuple[ringfence.Result, list[str]]:
    """Write to a started guest and read from it, one after the other as described; tell what was not as expected."""
    wrong = []
    with sandbox.start(args, stdout="pipe", stderr="pipe") as process:
        streams: dict[str, Any] = {"stdin": process.stdin, "stdout": process.stdout, "stderr": process.stderr}
        for operation in talk:
            name = operation.get("id", "stdin" if operation["type"] == "write" else "stdout")
            payload = operation["payload"].encode()
            stream = streams[name]
            if operation["type"] == "write":
                stream.write(payload)
                stream.flush()
            elif (got := stream.read(len(payload))) != payload:
                wrong.append(f"{name} is {got!r:.300}")
        return process.wait(), wrong


if __name__ == "__main__":
    sys.exit(main())
