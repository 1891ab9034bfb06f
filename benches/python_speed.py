#!/usr/bin/env python3
# ruff: noqa: T201
"""
How much slower is Python in the sandbox than native Python of the same version?

Ten snippets in the manner of pyperformance, each the best of many rounds, timed by Python's own clock inside. Each
takes about a millisecond, so that a busy machine leaves some rounds alone. Ours: the Python pack with all limits armed.
The peer: Debian's CPython of the same version, which the judge of the pack fetches (tests/languages/cpython.py). They
take turns, so that both see the same machine.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import ringfence

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from languages import cpython  # noqa: E402

TURNS = 4
# Run by both: prints the best time of each snippet in milliseconds.
PROGRAM = """
import collections, decimal, hashlib, json, re, time, random

def calls():
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)
    fib(19)

def floats():
    def a(i, j):
        return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1)
    n = 60
    u = [1.0] * n
    for _ in range(2):
        u = [sum(a(i, j) * u[j] for j in range(n)) for i in range(n)]

def integers():
    sieve = bytearray([1]) * 3000
    for n in range(2, 55):
        if sieve[n]:
            for m in range(n * n, 3000, n):
                sieve[m] = 0

def big_integers():
    pow(3, 20011) % (10 ** 300 + 7) * 7 ** 4000
    str(3 ** 6000)

class Body:
    __slots__ = ("x", "v")
    def __init__(self, x, v):
        self.x, self.v = x, v
    def step(self, dt):
        self.x += self.v * dt
        return self.x

def objects():
    bodies = [Body(i, 1.5) for i in range(100)]
    for _ in range(60):
        for body in bodies:
            body.step(0.1)

def generators():
    def tree(n):
        if n:
            yield from tree(n - 1)
            yield n
            yield from tree(n - 1)
    sum(tree(11))

WORDS = [f"word{i % 997}" for i in range(8000)]
def dicts():
    counted = collections.Counter(WORDS)
    groups = {}
    for word, n in counted.items():
        groups.setdefault(n, []).append(word)
    sorted(counted, key=counted.get)

TEXT = "the quick brown fox <a href='x'>jumps</a> over 12345 lazy dogs; " * 60
def regexes():
    re.findall(r"[a-z]+\\s+\\d+|<(\\w+)[^>]*>", TEXT)
    re.sub(r"(\\w+) (\\w+)", r"\\2 \\1", TEXT)

DATA = [{"id": i, "name": f"n{i}", "tags": ["a", "b", None], "score": i / 7} for i in range(150)]
def json_both():
    json.loads(json.dumps(DATA))

def hashing():
    for i in range(20):
        hashlib.sha256(b"x" * 4000).digest()

SNIPPETS = [calls, floats, integers, big_integers, objects, generators, dicts, regexes, json_both, hashing]
best = {}
for snippet in SNIPPETS:
    snippet()
    times = []
    for _ in range(40):
        begun = time.perf_counter()
        snippet()
        times.append(time.perf_counter() - begun)
    best[snippet.__name__] = min(times) * 1000
print(json.dumps(best))
"""


def main() -> None:
    """Take turns; print each snippet with its best times and their ratio."""
    python = cpython.place() / "native" / "usr" / "bin" / "python3.13"
    # A guest's clock is coarse unless it is granted a precise one.
    policy = ringfence.Policy(clock="precise", limits=ringfence.Limits(wall="300s"))
    sandbox = ringfence.Sandbox(code=PROGRAM, language="python", policy=policy)
    ours: list[dict[str, float]] = []
    native: list[dict[str, float]] = []
    for _ in range(TURNS):
        ours.append(json.loads(sandbox.run().check().text))
        ended = subprocess.run([python, "-c", PROGRAM], capture_output=True, check=True, text=True)  # noqa: S603
        native.append(json.loads(ended.stdout))
    print("| snippet | native, ms | sandbox, ms | ratio |\n|---|---:|---:|---:|")
    ratios = []
    for name in native[0]:
        theirs, mine = (min(turn[name] for turn in turns) for turns in (native, ours))
        ratios.append(mine / theirs)
        print(f"| {name.replace('_', ' ')} | {theirs:.2f} | {mine:.2f} | {mine / theirs:.1f} |")
    print(f"| geometric mean | | | {math.prod(ratios) ** (1 / len(ratios)):.1f} |")


if __name__ == "__main__":
    main()
