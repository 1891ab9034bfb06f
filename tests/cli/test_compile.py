"""`ringfence compile`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command


def test_compiled_program_is_in_the_cache(ringfence: Command, tmp_path: Path) -> None:
    """The first run of it finds it there; compiling says nothing unless asked."""
    cache = {"RINGFENCE_CACHE": str(tmp_path / "cache")}

    assert "exit: 0\n--- stdout\n--- stderr\n" == str(ringfence("compile", "guests/hello.wat", env=cache))
    assert 1 == json.loads(ringfence("cache", "--json", env=cache).stdout)["entries"]
    [again] = json.loads(ringfence("compile", "--json", "guests/hello.wat", env=cache).stdout)
    assert {"program": "guests/hello.wat", "cached": True} == again


def test_program_that_is_none_is_2(ringfence: Command, tmp_path: Path) -> None:
    """As for a run."""
    (tmp_path / "empty.wasm").touch()

    assert 2 == ringfence("compile", "empty.wasm").exit_code
