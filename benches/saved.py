#!/usr/bin/env python3
# ruff: noqa: T201
"""
What does it cost to save the state of a session to a file, and to load it again?

A session holds about 10 MB: dicts of texts, numbers and lists. It is saved and loaded, here with the key of a caller.
Beside it: the same state of a native interpreter through `pickle`, and through `dill` where that is installed, to a
file and back. Those write plain data, say nothing of who wrote it, and run what they load.
"""

from __future__ import annotations

import os
import pickle
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import ringfence

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, OBJECTS, KEY = 30, 29_000, bytes(32)
PREPARE = (
    "state = {f'key-{i}': {'id': i, 'name': f'user {i}', 'score': i * 1.5, 'tags': ['a', 'b', str(i % 7)]}"
    f" for i in range({OBJECTS})}}"
)


def main() -> None:
    """Take turns, so that all see the same machine."""
    native: dict[str, object] = {}
    exec(PREPARE, native)  # noqa: S102 - a constant of ours
    state = native["state"]
    with tempfile.TemporaryDirectory() as folder, ringfence.Session(language="python") as session:
        before = session.snapshot()
        before.save(f"{folder}/before", key=KEY)
        session.eval(PREPARE)
        snapshot = session.snapshot()
        path = Path(folder) / "state"
        works: dict[str, Callable[[], object]] = {
            "save + load": lambda: (snapshot.save(path, key=KEY), ringfence.Snapshot.load(path, key=KEY)),
            "save": lambda: snapshot.save(path, key=KEY),
            "load": lambda: ringfence.Snapshot.load(path, key=KEY),
            "load, fork, one turn": lambda: turned(ringfence.Snapshot.load(path, key=KEY)),
            "pickle to a file and back": lambda: through(pickle, state, Path(folder) / "pickle"),
        }
        try:
            import dill
        except ImportError:
            pass
        else:
            works["dill to a file and back"] = lambda: through(dill, state, Path(folder) / "dill")
        taken: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(ROUNDS):
            for name, work in works.items():
                begun = time.perf_counter()
                work()
                taken[name].append(time.perf_counter() - begun)
        more = session.eval("import gc; 0").usage.memory_bytes
        print(f"memory of {more / 1e6:.1f} MB; files of {sizes(Path(folder))}")
    for name, each in taken.items():
        print(f"  {name:<26} {min(each) * 1e3:6.1f} ms at least, {statistics.median(each) * 1e3:6.1f} ms")


def turned(snapshot: ringfence.Snapshot) -> None:
    """Go on from what was loaded."""
    with snapshot.fork() as fork:
        fork.eval("len(state)").check()


def through(module: object, state: object, path: Path) -> None:
    """Do the same with a library, as safely for the disk."""
    with path.open("wb") as file:
        module.dump(state, file)  # type: ignore[attr-defined]
        file.flush()
        os.fdatasync(file.fileno())
    with path.open("rb") as file:
        module.load(file)  # type: ignore[attr-defined]


def sizes(folder: Path) -> str:
    """Tell how large each is."""
    return ", ".join(f"{file.name} {file.stat().st_size / 1e6:.2f} MB" for file in sorted(folder.iterdir()))


if __name__ == "__main__":
    main()
