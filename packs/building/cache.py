"""What was built is kept, outside the tree, under the hash of what it was built from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from packs.building.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).resolve().parents[2]
COMPLETE = "complete"


def directory() -> Path:
    """Give the folder of all packs."""
    base = os.environ.get("XDG_CACHE_HOME")
    # XDG: a relative path is to be ignored.
    home = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return home / "ringfence" / "packs"


def digest(*parts: str | Path) -> str:
    """Hash inputs: text as it is, files and folders by their names and bytes, wherever the tree stands."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(f"text {len(part.encode())}\n{part}\n".encode())
            continue
        for file in files(part):
            held = file.read_bytes()
            total.update(f"file {file.relative_to(ROOT)} {len(held)}\n".encode())
            total.update(held)
    return total.hexdigest()


def files(part: Path) -> Iterable[Path]:
    """Give a file, or the files of a folder in one order; what Python compiled is none."""
    if part.is_file():
        return [part]
    found = sorted(file for file in part.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    if not found:
        raise Failure(f"no inputs at {part}", "there is no such file or folder", "restore it: `git checkout packs`")
    return found


def entry(key: str, make: Callable[[Path], None], check: Callable[[Path], bool] | None = None) -> Path:
    """
    Give the folder of a key, made by `make` unless it is there, whole and passes `check`.

    What is half made is never seen: it is made beside its place, and moved when it is complete. Two builds of one key
    wait for each other.
    """
    place = directory() / key
    if sound(place, check):
        return place
    with lock(key):
        if sound(place, check):  # made while we waited
            return place
        discard(key)
        half = Path(tempfile.mkdtemp(prefix=f"{key}.half-", dir=directory()))
        try:
            make(half)
            (half / COMPLETE).touch()
            half.rename(place)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    return place


def sound(place: Path, check: Callable[[Path], bool] | None) -> bool:
    """Tell whether an entry is complete and passes its check; a damaged one is made again."""
    return (place / COMPLETE).exists() and (check is None or check(place))


def discard(key: str) -> None:
    """Remove an entry, and what builds that were killed left of it."""
    for rest in [directory() / key, *directory().glob(f"{key}.half-*")]:
        shutil.rmtree(rest, ignore_errors=True)


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold a lock that ends with its process."""
    locks = directory() / "locks"
    locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (locks / name).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("    another build of the same is under way: waiting for it", flush=True)  # noqa: T201
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sha256(file: Path) -> str:
    """Hash a file."""
    with file.open("rb") as held:
        return hashlib.file_digest(held, "sha256").hexdigest()


def verify(file: Path, wanted: str) -> None:
    """Refuse a file that is not the pinned one, and forget it."""
    found = sha256(file)
    if found != wanted:
        file.unlink()
        raise Failure(
            f"{file.name} is not the file that was pinned",
            f"its sha256 is {found}, not {wanted}",
            "run `make packs` again: it was removed, and is fetched anew; if that does not help, do not use it",
        )
