#!/usr/bin/env python3
# ruff: noqa: T201
"""
An agent has ten ideas: each is tried in a fork of one prepared session, and a table compares what came of them.

The forks share what was prepared and nothing else: the bad ideas cost the good ones nothing. Any broken promise makes
the exit code 1.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stage import GREEN, RED, paint, title, told

from ringfence import Limits, Policy, Session, Turn

POLICY = Policy(limits=Limits(wall="1m", memory="96MiB"))
TURN = Limits(wall="1s")

# What takes time once: 2,000 delivery times in minutes, some missing, some wrong, and the last 200 kept for the end.
PREPARE = """
import math, random, statistics
draw = random.Random(7)
times = [30 + 10 * math.sin(day / 7) + draw.gauss(0, 3) for day in range(2000)]
for day in draw.sample(range(2000), 150):
    times[day] = None if day % 2 else 999.0
seen, hidden = times[:1800], times[1800:]

def score(predict):
    pairs = [(predict(day), t) for day, t in enumerate(hidden, 1800) if t is not None and t < 900]
    return round(sum(abs(guess - t) for guess, t in pairs) / len(pairs), 2)
"""

IDEAS = {
    "mean of all": "known = [t for t in seen if t is not None]\nmean = statistics.mean(known)\nscore(lambda day: mean)",
    "mean without 999": (
        "good = [t for t in seen if t and t < 900]\nmean = statistics.mean(good)\nscore(lambda day: mean)"
    ),
    "median": "median = statistics.median(t for t in seen if t is not None)\nscore(lambda day: median)",
    "last value": "last = [t for t in seen if t and t < 900][-1]\nscore(lambda day: last)",
    "same day of a cycle": (
        "by = {}\nfor day, t in enumerate(seen):\n    if t and t < 900: by.setdefault(day % 44, []).append(t)\n"
        "score(lambda day: statistics.mean(by[day % 44]))"
    ),
    "fit a wave": (
        "def wave(day, a, b, c): return a + b * math.sin(day / 7) + c * math.cos(day / 7)\n"
        "good = [(day, t) for day, t in enumerate(seen) if t and t < 900]\n"
        "n = len(good)\na = sum(t for _, t in good) / n\n"
        "b = 2 * sum(t * math.sin(day / 7) for day, t in good) / n\n"
        "c = 2 * sum(t * math.cos(day / 7) for day, t in good) / n\nscore(lambda day: wave(day, a, b, c))"
    ),
    "divide by what is missing": "score(lambda day: sum(seen[:0]) / len(seen[:0]))",
    "search for ever": "best = 0\nwhile True:\n    best += 1",
    "keep everything": "keep = []\nwhile True:\n    keep.append(bytes(1 << 20))",
    "spoil the data": "seen[:] = hidden[:] = [0.0] * 200\nscore(lambda day: 0.0)",
}
GOOD, BEST, UNTOUCHED = 6, "fit a wave", "(len(seen), len(hidden), 'best' in globals(), 'wave' in globals())"


def main() -> int:
    """Try all ideas, compare them, and go on with the best."""
    title("ten forks of one prepared session")
    broken: list[str] = []

    def hold(promise: str, kept: bool) -> None:
        print(paint(f"  as promised: {promise}", GREEN) if kept else paint(f"  NOT AS PROMISED: {promise}", RED))
        if not kept:
            broken.append(promise)

    with Session("python", policy=POLICY, turn=TURN) as session:
        prepared = session.eval(PREPARE)
        before = session.eval(UNTOUCHED).value
        begun = time.perf_counter()
        forks = session.fork_many(len(IDEAS))
        took = time.perf_counter() - begun
        turns = {idea: fork.eval(code) for fork, (idea, code) in zip(forks, IDEAS.items(), strict=True)}
        print(f"\n  prepared in {prepared.usage.wall_seconds * 1e3:.1f} ms, forked ten times in {took * 1e3:.1f} ms\n")
        print(f"  {'idea':<26} {'error':>6}  {'took':>9}  what came of it")
        for idea, turn in turns.items():
            print(row(idea, turn))
        print()
        scores = {idea: turn.value for idea, turn in turns.items() if turn.ok and turn.value > 0}
        hold("an idea that never ends is over at its deadline", turns["search for ever"].limit == "wall")
        failed = turns["keep everything"].error
        hold("one that fills the memory gets a MemoryError", failed is not None and failed.type == "MemoryError")
        hold("one that spoils the data spoils its own", turns["spoil the data"].value == 0)
        hold("and the others' scores are right", len(scores) == GOOD)
        hold(f"the best idea is `{BEST}`", min(scores, key=lambda idea: scores[idea]) == BEST)
        hold("the session knows nothing of its forks", session.eval(UNTOUCHED).value == before)
        best = forks[list(IDEAS).index(BEST)]
        hold("the best one goes on from where it was", isinstance(best.eval("wave(2000, a, b, c)").value, float))
        for fork in forks:
            fork.close()
    return told(broken)


def row(idea: str, turn: Turn) -> str:
    """Write a line of the table."""
    error = f"{turn.value:.2f}" if turn.ok else "-"
    what = "" if turn.ok else turn.error.type if turn.error else turn.outcome
    return f"  {idea:<26} {error:>6}  {turn.usage.wall_seconds * 1e3:>6.1f} ms  {what}"


if __name__ == "__main__":
    sys.exit(main())
