"""`ringfence cache`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command


def test_cache_is_shown_and_pruned(ringfence: Command, tmp_path: Path) -> None:
    """Where it is, how much it holds; pruned, it holds nothing."""
    cache = {"RINGFENCE_CACHE": str(tmp_path / "cache")}
    ringfence("compile", "guests/hello.wat", "guests/cat.wat", env=cache)

    assert ringfence("cache", env=cache).stdout.startswith(f"{tmp_path / 'cache'}: 2 programs, ")
    assert ringfence("cache", "prune", env=cache).stdout.startswith("removed 2 programs, ")
    assert f"{tmp_path / 'cache'}: 0 programs, 0 B\n" == ringfence("cache", env=cache).stdout


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
