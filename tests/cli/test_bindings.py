"""`ringfence bindings`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Command

RENDERER = str(Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat")


def test_stub_is_printed_or_written_to_a_file(ringfence: Command, tmp_path: Path) -> None:
    """The same text."""
    printed = ringfence("bindings", RENDERER)
    written = ringfence("bindings", RENDERER, "-o", tmp_path / "markdown.pyi")

    assert (0, "") == (written.exit_code, written.stdout)
    assert printed.stdout == (tmp_path / "markdown.pyi").read_text()
    assert "class Store(_Protocol):" in ringfence("bindings", "--host", RENDERER).stdout


def test_file_that_cannot_be_written_is_an_error(ringfence: Command, tmp_path: Path) -> None:
    """Of three parts."""
    ended = ringfence("bindings", RENDERER, "-o", tmp_path / "no" / "such.pyi")

    assert 125 == ended.exit_code
    assert "hint: name another file" in ended.stderr
