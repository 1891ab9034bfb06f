#!/usr/bin/env python3
# ruff: noqa: T201
"""
Does it hold for long? Thousands of runs on many threads, good programs mixed with every hostile one of the manifest.

    benches/soak.py [--runs 20000] [--threads 8] [--seed 1] [--isolation wasm]

The runs are made in a process of their own, so that its death can be told. The exit code is 1 if it died, if a single
verdict was wrong, or if memory, descriptors or threads grew.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import ringfence
from ringfence._engine import core

if TYPE_CHECKING:
    from collections.abc import Callable

GUESTS = Path(__file__).resolve().parents[1] / "crates" / "guests"
MANIFEST = GUESTS / "attacks" / "manifest.json"
# What the pool keeps warm grows in the first thousands of runs, up to what a process may hold beside its guests.
SLACK_BYTES, WARMING_SLACK_BYTES, WARM_RUNS = 16 << 20, 64 << 20, 5000
QUARTERS = 4
# A guest that is to end at `wall` does so after this; the others have all the time they want, on a busy machine too.
SHORT_SECONDS, LONG_SECONDS = 0.05, 60
# Past its deadline, for each guest that a processor has to share itself between.
GRACE_SECONDS = 0.5


class Case(NamedTuple):
    """A program, how it is run, and what has to come of it."""

    name: str
    run: Callable[[], str | None]
    hostile: bool


class Footprint(NamedTuple):
    """What this process holds."""

    rss_bytes: int
    fds: int
    threads: int


@dataclass
class Soak:
    """The runs that are left, and what came of the others."""

    cases: list[Case]
    dice: random.Random
    left: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def go(self, runs: int, threads: int) -> Footprint:
        """Make so many runs on so many threads, and say what this process holds when all have ended."""
        self.left = runs
        workers = [threading.Thread(target=self.work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return footprint()

    def work(self) -> None:
        """Take one run after the other until none is left; one of two is of a good program."""
        good = [case for case in self.cases if not case.hostile]
        bad = [case for case in self.cases if case.hostile]
        while True:
            with self.lock:
                if self.left == 0:
                    return
                self.left -= 1
                case = self.dice.choice(self.dice.choice([good, bad]))
            problem = case.run()
            with self.lock:
                self.done["hostile" if case.hostile else "good"] += 1
                if problem:
                    self.wrong.append(f"{case.name}: {problem}")


def main() -> int:
    """Run the soak in a child, or be that child."""
    parser = argparse.ArgumentParser(description="run good and hostile programs on many threads, and see what grows")
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--isolation", default="wasm")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(arguments)
    code = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--child"], check=False).returncode  # noqa: S603
    deaths = int(code not in {0, 1})
    print(f"{'host deaths':<24}{deaths}" + (f" (exit code {code})" if deaths else ""))
    print("passed" if code == 0 else "FAILED")
    return 0 if code == 0 else 1


def child(arguments: argparse.Namespace) -> int:
    """Warm up, run everything, and print the table."""
    with tempfile.TemporaryDirectory() as directory:
        options = {"isolation": arguments.isolation}
        crowd = max(1, arguments.threads / (os.cpu_count() or 1))
        cases = [*good(options), *hostile(Path(directory), GRACE_SECONDS * crowd, options)]
        wrong = [f"{case.name}: {problem}" for case in cases if (problem := case.run())]
        soak = Soak(cases, random.Random(arguments.seed))  # noqa: S311 - not for secrets
        soak.go(4 * arguments.threads, arguments.threads)
        soak.done.clear()
        before = settled(None)
        began = time.monotonic()
        quarters = [soak.go(arguments.runs // QUARTERS, arguments.threads).rss_bytes for _ in range(QUARTERS)]
        took = time.monotonic() - began
        after = settled(before)
    wrong += soak.wrong
    first, last = quarters[0], quarters[-1]
    grew = {
        "memory": last > first + (SLACK_BYTES if arguments.runs >= WARM_RUNS else WARMING_SLACK_BYTES),
        "descriptors": after.fds > before.fds,
        "threads": after.threads > before.threads,
    }
    print(f"{'runs':<24}{soak.done.total()} of {len(cases)} programs on {arguments.threads} threads in {took:.0f} s")
    print(f"{'good, hostile':<24}{soak.done['good']}, {soak.done['hostile']}")
    print(f"{'wrong verdicts':<24}{len(wrong)}")
    print(f"{'RSS after each quarter':<24}{', '.join(f'{rss / 2**20:.1f}' for rss in quarters)} MiB")
    print(f"{'descriptors':<24}{before.fds} before, {after.fds} after")
    print(f"{'threads':<24}{before.threads} before, {after.threads} after")
    for what, count in Counter(wrong).most_common(10):
        print(f"wrong: {count} times {what}")
    for what in (name for name, bad in grew.items() if bad):
        print(f"grew: {what}")
    return int(bool(wrong) or any(grew.values()))


def good(options: dict[str, Any]) -> list[Case]:
    """Programs that nobody has anything against; what they print tells one from another."""
    expected: dict[str, tuple[list[str], bytes | None, bytes]] = {
        "hello.wat": ([], None, b"hello, world\n"),
        "cat.wat": ([], b"some input\n" * 1000, b"some input\n" * 1000),
        "print_arguments.wat": (["one", "two"], None, b"print_arguments.wat\0one\0two\0"),
        "print_environment.wat": ([], None, b"NAME=value\0"),
    }
    policy = ringfence.Policy(env={"NAME": "value"}, limits=ringfence.Limits(wall=LONG_SECONDS))
    cases = []
    for name, (args, input_, stdout) in expected.items():
        sandbox = ringfence.Sandbox(GUESTS / name, policy=policy, **options)

        def run(
            sandbox: ringfence.Sandbox = sandbox,
            args: list[str] = args,
            input_: bytes | None = input_,
            stdout: bytes = stdout,
        ) -> str | None:
            result = sandbox.run(args, input=input_)
            return None if result.ok and stdout == result.stdout else f"{result!r}"

        cases.append(Case(name, run, hostile=False))
    return cases


def hostile(directory: Path, grace: float, options: dict[str, Any]) -> list[Case]:
    """Every program of the manifest, each with what it is granted there."""
    cases = []
    for number, attack in enumerate(json.loads(MANIFEST.read_text(encoding="utf-8"))["attacks"]):
        grants, wanted = attack.get("grants", {}), attack["wanted"]
        wall = SHORT_SECONDS if wanted.get("limit") == "wall" else LONG_SECONDS
        dirs = []
        if "writable" in grants:
            (directory / str(number)).mkdir()
            dirs = [ringfence.Dir(directory / str(number), at=grants["writable"], mode="rw")]
        policy = ringfence.Policy(
            limits=ringfence.Limits(wall=wall, **grants.get("limits", {})), env=grants.get("env", {}), dirs=dirs
        )
        program = GUESTS / "attacks" / attack["file"]
        run = (
            refused(program, policy, wanted, options)
            if "error" in wanted
            else ended(program, policy, attack, wall + grace, options)
        )
        cases.append(Case(attack["file"], run, hostile=True))
    return cases


def refused(
    program: Path, policy: ringfence.Policy, wanted: dict[str, Any], options: dict[str, Any]
) -> Callable[[], str | None]:
    """Give what loads a program that has to be refused."""

    def run() -> str | None:
        try:
            ringfence.Sandbox(program, policy=policy, **options)
        except ringfence.LoadError as error:
            return None if wanted["says"] in str(error) else str(error)
        return "loaded"

    return run


def ended(
    program: Path, policy: ringfence.Policy, attack: dict[str, Any], latest: float, options: dict[str, Any]
) -> Callable[[], str | None]:
    """Give what runs a program that has to end in a certain way."""
    sandbox = ringfence.Sandbox(program, policy=policy, **options)
    wanted = attack["wanted"]
    stdin = "/dev/zero" if attack.get("grants", {}).get("stdin") == "endless" else "/dev/null"

    def run() -> str | None:
        with Path(stdin).open("rb") as source:
            result = sandbox.run(stdin=source)
        if result.usage.wall_seconds > latest:
            return f"ended {result.usage.wall_seconds - latest:.2f} s too late"
        return None if wanted == {key: getattr(result, key) for key in wanted} else f"{result!r}"

    return run


def settled(wanted: Footprint | None) -> Footprint:
    """
    Give the footprint once helper threads had time to end; waits while there is more than what is wanted.

    Workers that are kept for the next run are ended: they have a bound, and descriptors here.
    """
    core.close_workers()
    until = time.monotonic() + 10
    time.sleep(1.5 if wanted is None else 0)
    while wanted is not None and time.monotonic() < until:
        now = footprint()
        if now.fds <= wanted.fds and now.threads <= wanted.threads:
            break
        time.sleep(0.1)
    return footprint()


def footprint() -> Footprint:
    """Give our memory in bytes, our descriptors (but for the programs that the pool keeps warm) and our threads."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:  # the one this listing is read from, or another thread's
            continue
    fds = sum(not link.endswith(".cwasm") for link in links)
    return Footprint(int(fields["VmRSS"].split()[0]) << 10, fds, int(fields["Threads"]))


if __name__ == "__main__":
    sys.exit(main())
