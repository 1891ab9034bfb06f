"""How plugins are loaded for a command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plugins.resources import COUNTERS

if TYPE_CHECKING:
    from conftest import Command

RENDERER = str(Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat")


def test_imports_are_given_from_python_modules(ringfence: Command, tmp_path: Path) -> None:
    """A class is made an object of."""
    (tmp_path / "store.py").write_text("class Store:\n    def get(self, name):\n        return f'<{name}>'\n")
    ended = ringfence("call", "--host", "app:host/store=store:Store", RENDERER, 'render("x")')

    assert '"<p>x</p><footer>"\n' == ended.stdout, ended.stderr


def test_import_that_nobody_gives_is_named(ringfence: Command) -> None:
    """With its signature, as from Python."""
    ended = ringfence("call", RENDERER, 'render("x")')

    assert 2 == ended.exit_code
    assert "`app:host/store: get: func(name: string) -> option<string>` is missing" in ended.stderr


def test_result_that_has_no_text_is_refused_before_the_call(ringfence: Command, tmp_path: Path) -> None:
    """A call that nobody sees the result of needs none."""
    (tmp_path / "counters.wat").write_bytes(COUNTERS)
    ended = ringfence("call", "--json", "counters.wat", "many(2)")
    measured = ringfence("profile", "counters.wat", "many(2)")

    assert 2 == ended.exit_code
    assert "resources have no text; it is `many: func(count: u32) -> list<counter>`" in ended.stdout + ended.stderr
    assert "`ringfence.Plugin('counters.wat')`" in ended.stdout + ended.stderr
    assert 0 == measured.exit_code, measured.stderr


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_bytes_that_are_no_text_are_refused_as_such(ringfence: Command, tmp_path: Path, flags: list[str]) -> None:
    """Where they are read; nobody's function has anything to do with it."""
    (tmp_path / "store.py").write_text("def get(name): pass\n")
    ended = ringfence("call", *flags, "--host", "app:host/store=store", RENDERER, os.fsdecode(b'render("\xff")'))

    assert 2 == ended.exit_code
    assert "the byte 0xff is no character: text is UTF-8" in ended.stdout + ended.stderr
