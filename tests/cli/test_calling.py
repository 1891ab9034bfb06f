"""How plugins are loaded for a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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


def test_host_that_is_not_there_is_a_wrong_command_line(ringfence: Command) -> None:
    """And nothing is loaded."""
    for word in ("app:host/store=no_such_module:Store", "app:host/store"):
        assert 2 == ringfence("call", "--host", word, RENDERER, 'render("x")').exit_code
