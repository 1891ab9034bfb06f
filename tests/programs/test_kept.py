"""Programs that are kept from one run of the tests to the next are proven like any other entry of a cache."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

import kept

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Command


@pytest.fixture
def is_cached(ringfence: Command) -> Callable[[Path], bool]:
    """Tell whether a cache has the program, which it has afterwards."""

    def ask(cache: Path) -> bool:
        told = ringfence("compile", "--json", "guests/hello.wat", env={"RINGFENCE_CACHE": str(cache)})
        [program] = json.loads(told.stdout)
        return bool(program["cached"])

    return ask


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Give the caches of some runs, for which every program is large, and keep what is kept apart."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kept, "LARGE_BYTES", 1)
    made = [tmp_path / f"run{number}" for number in range(3)]
    for cache in made:
        cache.mkdir(mode=0o700)
        kept.lend(cache)
    return made


def test_kept_program_is_not_compiled_again(caches: list[Path], is_cached: Callable[[Path], bool]) -> None:
    """The next run finds it; one that began before anything was kept does not, and its own is not taken."""
    first, second, third = caches
    assert not is_cached(first)
    kept.keep(first)
    (third / kept.LENT).unlink()
    kept.lend(third)

    assert not is_cached(second)
    assert is_cached(third)
    before = sorted(kept.place().iterdir())
    kept.keep(second)
    assert before == sorted(kept.place().iterdir())


def test_kept_program_that_changed_is_compiled_again(caches: list[Path], is_cached: Callable[[Path], bool]) -> None:
    """Its seal is that of the cache which compiled it."""
    first, _, third = caches
    is_cached(first)
    kept.keep(first)
    [code] = kept.place().glob("*.cwasm")
    data = bytearray(code.read_bytes())
    data[len(data) // 2] ^= 1
    code.write_bytes(data)
    (third / kept.LENT).unlink()
    kept.lend(third)

    assert not is_cached(third)


def test_least_recently_used_make_room(caches: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs and engines change, and their programs with them."""
    assert caches
    for number in range(4):
        for suffix in (".cwasm", ".seal"):
            (kept.place() / f"{number}{suffix}").write_bytes(bytes(100))
            os.utime(kept.place() / f"{number}{suffix}", (number, number))
    (kept.place() / "1.cwasm").touch()
    (caches[0] / kept.KEY).write_bytes(b"")
    monkeypatch.setattr(kept, "ALL_BYTES", 250)

    kept.keep(caches[0])

    left = {file.name for file in kept.place().iterdir()} - {kept.KEY, "kept.lock"}
    assert 4 == len(left)
    assert {"1.cwasm", "1.seal"} < left
