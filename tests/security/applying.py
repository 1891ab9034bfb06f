"""A host that applies the changes of one run after another, until it is killed: a file for each, others come and go."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import ringfence
from files.wasi01 import Wasi01

NAMES = [f"{number:02}" for number in range(10)]
LENGTH = 50_000


def main(source: str, rounds: int) -> None:
    """Apply so many rounds; each writes every file with a letter of its own, and makes or removes others."""
    sandbox = ringfence.Sandbox(
        Wasi01.guest(), policy=ringfence.Policy(dirs=[ringfence.Dir(source, at="/src", mode="overlay")])
    )
    for number in range(rounds):
        script = Wasi01()
        for name in NAMES:
            script.open(3, f"src/{name}", write=True, create=True, truncate=True)
            script.write(3, 0, bytes([ord("a") + number % 26]) * LENGTH)
        for name in NAMES[:5]:
            script.unlink(f"src/link-{name}")
            if number % 2:
                script.symlink(name, f"src/link-{name}")
            script.unlink(f"src/some-{name}")
            script.open(3, f"src/some-{name}", write=True, create=True)
        for name in NAMES[5:]:
            (script.unlink if number % 2 else script.mkdir)(f"src/some-{name}")
            script.rmdir(f"src/some-{name}")
        changes = script.run(sandbox).result.changes
        print("applying", flush=True)  # noqa: T201 - whoever kills it waits for this
        changes.apply()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
