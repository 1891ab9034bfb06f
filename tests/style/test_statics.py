"""What a child made by `fork` inherits of ours: no lock that another thread may have held."""

import re
from pathlib import Path

CRATES = Path(__file__).parents[2] / "crates"
STATIC = re.compile(r"^\s*(?:pub(?:\([a-z]+\))? )?static (\w+): (?:[\w:]+::)?(\w+)\b", re.MULTILINE)
LOCKS = {"OnceLock", "LazyLock", "Once", "Mutex", "RwLock", "Condvar"}

# Those that need not be `PerProcess`, and why. Python's own (`PyOnceLock`) are made as its modules are imported.
SOUND = {
    "INSTALLED": "it is made in a section that no fork falls into",
    "PLANTED": "a test sets it, before anything runs",
    "COMPILER": "it is written when the package is imported, and readers do not wait for each other",
    "WORKER": "the same",
    "ALIVE": "it is taken with the interpreter's lock, which `os.fork` needs too",
}


def test_no_lock_is_inherited() -> None:
    """A child would wait for ever: what is made once is made by each process, or named here with its reason."""
    sources = [file for file in CRATES.glob("*/src/**/*.rs") if "tests" not in file.stem]
    found = [(name, kind) for file in sources for name, kind in STATIC.findall(file.read_text(encoding="utf-8"))]

    assert ("POOL", "PerProcess") in found
    assert SOUND.keys() == {name for name, kind in found if kind in LOCKS}
