"""Compiled programs that outlive a run of the tests: what takes long to compile is compiled once on a machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from packs.building import cache

if TYPE_CHECKING:
    from collections.abc import Iterator

# Smaller programs are compiled in every run: whether the compiler works is seen there too.
LARGE_BYTES = 1 << 20
# The least recently used make room: packs and engines change.
ALL_BYTES = 2 << 30
KEY = "key"
LENT = "lent"


def place() -> Path:
    """Give the folder they are kept in."""
    kept = cache.directory() / "tests"
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    return kept


def lend(to: Path) -> None:
    """Put them into a cache that is to be used, once, whoever asks; its seals are proven there as anywhere."""
    with _locked(to):
        if (to / LENT).exists():
            return
        if (place() / KEY).exists():
            _copy(place() / KEY, to)
            for code in _large(place()):
                _copy_entry(code, to)
        (to / LENT).touch()


def keep(of: Path) -> None:
    """Take the large ones of a cache, unless another key has sealed what is kept."""
    with _locked(place()):
        key = place() / KEY
        if not (of / KEY).exists():
            return
        if not key.exists():
            _copy(of / KEY, place())
        if key.read_bytes() != (of / KEY).read_bytes():
            return
        for code in _large(of):
            if code.with_suffix(".seal").exists() and not (place() / code.name).exists():
                _copy_entry(code, place())
            elif (place() / code.name).exists():
                (place() / code.name).touch()  # it was used
        _prune()


def _large(folder: Path) -> list[Path]:
    return [code for code in folder.glob("*.cwasm") if code.stat().st_size >= LARGE_BYTES]


def _copy_entry(code: Path, to: Path) -> None:
    """Copy a program and its seal, which comes first: one without the other is compiled again."""
    with contextlib.suppress(FileNotFoundError):  # pruned meanwhile
        _copy(code.with_suffix(".seal"), to)
        _copy(code, to)


def _copy(file: Path, to: Path) -> None:
    """Copy a file such that nobody sees half of it."""
    descriptor, half = tempfile.mkstemp(prefix="half-", dir=to)
    os.close(descriptor)
    try:
        shutil.copyfile(file, half)
        Path(half).rename(to / file.name)
    except BaseException:
        Path(half).unlink()
        raise


def _prune() -> None:
    """Remove those that were not used for longest."""
    total = 0
    for code in sorted(_large(place()), key=lambda code: code.stat().st_mtime, reverse=True):
        total += code.stat().st_size
        if total > ALL_BYTES:
            code.with_suffix(".seal").unlink(missing_ok=True)
            code.unlink()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "kept.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
