#!/usr/bin/env python3
# ruff: noqa: T201
"""
What do forks of a warm pandas session cost?

A session of `python-data` that holds a DataFrame is captured once. Then: a fork and its end; with a turn that computes
a mean; with a turn that describes the whole frame; the same turn in one session that stays; runs from the pack's
beginning in new stores, and in one that is rewound; and for as many forks as are asked for, alive at one time, what
each holds of its own.

    benches/python_data.py [LIVE]
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import ringfence
from ringfence import Limits, Policy

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, TIMES = 10, 20
PREPARE = "import numpy as np, pandas as pd\ndf = pd.DataFrame({'a': range(1000), 'b': np.arange(1000.0)})\ndf.a.mean()"
MEAN = "import pandas as pd; print(pd.Series(range(1000)).mean())"
LIVE = 1000
SMAPS = Path("/proc/self/smaps_rollup")


def main() -> None:
    """Take turns, so that all see the same machine."""
    policy = Policy(limits=Limits(compile=900))
    with ringfence.Session("python-data", policy=policy, progress=told) as session:
        session.eval(PREPARE)
        snapshot = session.snapshot()
        sandbox = ringfence.Sandbox(language="python-data", policy=policy)
        rewound = ringfence.Sandbox(language="python-data", policy=policy, reuse="tenant", tenant="bench")
        compare({
            "snapshot.fork(), closed": lambda: snapshot.fork().close(),
            "snapshot.fork(), df.a.mean(), closed": lambda: turned(snapshot.fork(), "df.a.mean()"),
            "snapshot.fork(), df.describe(), closed": lambda: turned(snapshot.fork(), "df.describe()"),
            "df.a.mean() in a session that stays": lambda: session.eval("df.a.mean()"),
            'run(code="print(1)")': lambda: sandbox.run(code="print(1)"),
            'run(code="print(1)"), rewound': lambda: rewound.run(code="print(1)"),
            "run(code=a mean of a new series)": lambda: sandbox.run(code=MEAN),
            "run(code=a mean of a new series), rewound": lambda: rewound.run(code=MEAN),
        })  # fmt: skip
        live(snapshot, int(sys.argv[1]) if len(sys.argv) > 1 else LIVE)


def told(seconds: float) -> None:
    """Say that it compiles."""
    print(f"\rcompiling, {seconds:.0f} s", end="", file=sys.stderr)


def turned(fork: ringfence.Session, source: str) -> None:
    """Run one turn in a fork, and end it."""
    fork.eval(source)
    fork.close()


def compare(works: dict[str, Callable[[], object]]) -> None:
    """Print the least, the median and p99 of each."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            work()
            for _ in range(TIMES):
                begun = time.perf_counter()
                work()
                taken[name].append(time.perf_counter() - begun)
    for name, each in taken.items():
        middle, late = statistics.median(each), sorted(each)[int(len(each) * 0.99)]
        print(f"  {name:<42} {min(each) * 1e6:9.1f} at least, {middle * 1e6:9.1f} µs, p99 {late * 1e6:9.1f} µs")


def live(snapshot: ringfence.Snapshot, count: int) -> None:
    """Print what a fork holds of its own after a turn."""
    before, begun = private(), time.perf_counter()
    forks = snapshot.fork_many(count)
    for at, fork in enumerate(forks):
        fork.eval(f"x = df.a.mean() + {at}; print(x)")
    each, seconds = (private() - before) / count, time.perf_counter() - begun
    print(f"  {count} live forks, a turn in each: {each:.0f} KiB private each, {seconds / count * 1e3:.2f} ms each")
    for fork in forks:
        fork.close()


def private() -> int:
    """Tell how many KiB this process holds that it shares with none."""
    return int(re.search(r"Private_Dirty: *(\d+)", SMAPS.read_text(encoding="utf-8"))[1])  # type: ignore[index]


if __name__ == "__main__":
    main()
