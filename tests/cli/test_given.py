"""What `--host` gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

RENDERER = str(Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat")
HOSTS = """
class Closed:
    def __init__(self):
        raise ValueError("cannot connect")

class Own(BaseException):
    pass

class Silent(Exception):
    def __str__(self):
        raise ValueError

class Raises:
    def __init__(self, error):
        self.error = error

    def get(self, name):
        raise self.error

own, silent, end, interrupt = map(Raises, (Own("mine"), Silent(), SystemExit(7), KeyboardInterrupt()))
"""


@pytest.mark.parametrize(
    ("source", "place", "why"),
    [
        ("def (", "theirs", "`theirs` raised SyntaxError: invalid syntax (theirs.py, line 1)"),
        ("1/0", "theirs", "`theirs` raised ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(7)", "theirs", "`theirs` raised SystemExit: 7"),
        ("import no_such", "theirs", "`theirs` raised ModuleNotFoundError: No module named 'no_such'"),
        (HOSTS, "theirs:Closed", "`theirs:Closed` raised ValueError: cannot connect"),
        (HOSTS, "theirs:Raises", "`theirs:Raises` raised TypeError: Raises.__init__() missing 1 required"),
    ],
)
def test_what_a_module_raises_is_told_as_its_own(
    ringfence: Command, tmp_path: Path, source: str, place: str, why: str
) -> None:
    """Whatever it is: it is no defect of ours, and no exit code of the guest's."""
    (tmp_path / "theirs.py").write_text(source)
    ended = ringfence("call", "--host", f"app:host/store={place}", RENDERER, 'render("x")')

    assert (2, "") == (ended.exit_code, ended.stdout)
    assert f"error: cannot give `app:host/store`: {why}" in ended.stderr
    assert "hint: mend it; `RINGFENCE_TRACEBACK=1` shows where it was raised\n" in ended.stderr


@pytest.mark.parametrize(("place", "why"), [("own", "Own: mine"), ("silent", "Silent"), ("end", "SystemExit: 7")])
def test_what_a_function_raises_is_told_as_its_own(ringfence: Command, tmp_path: Path, place: str, why: str) -> None:
    """What is no `Exception`, has no text or would end this process too."""
    (tmp_path / "theirs.py").write_text(HOSTS)
    ended = ringfence("call", "--host", f"app:host/store=theirs:{place}", RENDERER, 'render("x")')

    assert (2, "") == (ended.exit_code, ended.stdout)
    assert f"error: no result of `render`: a function that `--host` gave it raised {why}\n" in ended.stderr


def test_interrupt_in_a_function_stays_one(ringfence: Command, tmp_path: Path) -> None:
    """Ctrl-C may arrive there."""
    (tmp_path / "theirs.py").write_text(HOSTS)

    assert 130 == ringfence("call", "--host", "app:host/store=theirs:interrupt", RENDERER, 'render("x")').exit_code


def test_where_it_was_raised_is_shown_when_asked_for(ringfence: Command, tmp_path: Path) -> None:
    """And the exit code is the same."""
    (tmp_path / "theirs.py").write_text(HOSTS)
    words = ("call", "--host", "app:host/store=theirs:own", RENDERER, 'render("x")')
    ended = ringfence(*words, env={"RINGFENCE_TRACEBACK": "1"})

    assert 2 == ended.exit_code
    assert 'theirs.py", line' in ended.stderr


@pytest.mark.parametrize("place", ["no_such", "no_such.part", "theirs:Rases", "theirs:Raises.part", "theirs.part"])
def test_name_that_is_not_there_is_said_to_be_one(ringfence: Command, tmp_path: Path, place: str) -> None:
    """There is nothing in the module to mend."""
    (tmp_path / "theirs.py").write_text(HOSTS)
    ended = ringfence("call", "--host", f"app:host/store={place}", RENDERER, 'render("x")')

    assert 2 == ended.exit_code
    assert "hint: name a module of the current directory, and an object that it has\n" in ended.stderr


def test_module_may_change_where_modules_are_looked_for(ringfence: Command, tmp_path: Path) -> None:
    """What it took away is not taken away again."""
    (tmp_path / "theirs.py").write_text("import sys\nsys.path.remove('')\ndef get(name): pass\n")

    assert 0 == ringfence("call", "--host", "app:host/store=theirs", RENDERER, 'render("x")').exit_code


@pytest.mark.parametrize("word", ["app:host/store", "=theirs", "app:host/store=.theirs"])
def test_words_that_name_no_module_are_a_wrong_command_line(ringfence: Command, word: str) -> None:
    """And nothing is imported."""
    ended = ringfence("call", "--host", word, RENDERER, 'render("x")')

    assert 2 == ended.exit_code
    assert f"error: `--host {word}` is not NAME=MODULE:OBJECT" in ended.stderr
