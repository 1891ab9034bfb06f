"""`ringfence cache`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command
    from shelf import Shelf


def test_cache_is_shown_and_pruned(ringfence: Command, tmp_path: Path) -> None:
    """Where it is, how much it holds; pruned, it holds nothing."""
    cache = {"RINGFENCE_CACHE": str(tmp_path / "cache")}
    ringfence("compile", "guests/hello.wat", "guests/cat.wat", env=cache)

    assert ringfence("cache", env=cache).stdout.startswith(f"{tmp_path / 'cache'}: 2 programs, ")
    assert ringfence("cache", "prune", env=cache).stdout.startswith("removed 2 programs, ")
    assert f"{tmp_path / 'cache'}: 0 programs, 0 B\n" == ringfence("cache", env=cache).stdout


def test_packages_are_shown_and_pruned_with_programs(ringfence: Command, shelf: Shelf, compiled: Path) -> None:
    """They have a place of their own; with `--keep` they stay."""
    shelf.wheel("one")
    ringfence("run", "--language", "python", "--with", "one", "-c", "pass")
    cache = {"RINGFENCE_CACHE": f"{compiled}-none"}
    place = f"{shelf.folder.parent / 'packages'}"

    assert f"{place}: 1 sets of packages, " in ringfence("cache", env=cache).stdout
    assert 1 == json.loads(ringfence("cache", "--json", env=cache).stdout)["packages"]["entries"]
    assert "packages" not in ringfence("cache", "prune", "--keep", "1GiB", env=cache).stdout
    assert "removed 1 sets of packages, " in ringfence("cache", "prune", env=cache).stdout
    assert "packages" not in ringfence("cache", env=cache).stdout


def test_pruning_keeps_what_fits(ringfence: Command, tmp_path: Path) -> None:
    """`--keep` is how much may stay."""
    cache = {"RINGFENCE_CACHE": str(tmp_path / "cache")}
    ringfence("compile", "guests/hello.wat", env=cache)

    assert "removed 0 programs, 0 B\n" == ringfence("cache", "prune", "--keep", "1GiB", env=cache).stdout


@pytest.mark.parametrize("words", [("prune", "--keep", "1GB"), ("show", "--keep", "1GiB"), ("clear",)])
def test_wrong_words_are_2(ringfence: Command, words: tuple[str, ...]) -> None:
    """Nothing is removed on a guess."""
    ended = ringfence("cache", *words)

    assert (2, "") == (ended.exit_code, ended.stdout)
