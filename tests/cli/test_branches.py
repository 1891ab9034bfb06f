"""Copies of a session that one person types into, and sessions that were saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command

for pack in ("ringfence_language_javascript", "ringfence_language_python"):
    pytest.importorskip(pack, reason="the language packs are not installed")
pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Keep the sessions of each test apart."""
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def test_copy_is_left_where_it_was_forked(ringfence: Command) -> None:
    """What is done in it stays there; the first session has no way back."""
    ended = ringfence("repl", input=b"x = 1\n:fork\nx = 2\n:fork\nx = 3\nx\n:back\nx\n:back\nx\n:back\nx\n")

    assert (0, "3\n2\n1\n1\n") == (ended.exit_code, ended.stdout)
    assert "back; 1 more to leave" in ended.stderr
    assert "back at the first session\nerror: there is no way back" in ended.stderr


def test_session_that_was_saved_goes_on(ringfence: Command, home: dict[str, str], tmp_path: Path) -> None:
    """In another process, by its name or a path, from the beginning or in the middle."""
    ended = ringfence("repl", input=b"x = 41\n:save first\n:save ./file\nx = 0\n:load first\nx\n:back\nx\n", env=home)
    assert (0, "41\n0\n") == (ended.exit_code, ended.stdout)
    assert "`ringfence repl --load first` goes on from there" in ended.stderr

    for word in ("first", f"{tmp_path}/state/ringfence/sessions/first.snapshot"):
        assert "42\n" == ringfence("repl", "--load", word, input=b"x + 1\n", env=home).stdout
    assert "42\n" == ringfence("repl", "--load", "./file", input=b"x + 1\n", env=home).stdout
    mixed = ringfence("repl", "javascript", input=b"globalThis.y = 7; 0\n:load first\nx\n:back\ny\n", env=home)
    assert "0\n41\n7\n" == mixed.stdout


def test_session_may_do_what_the_command_grants_and_no_more(
    ringfence: Command, home: dict[str, str], tmp_path: Path
) -> None:
    """Whatever it was granted when it was saved."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("a")
    flags, read = ("--dir", f"{data}:/data"), b"open('/data/a.txt').read()\n"
    assert "'a'\n" == ringfence("repl", *flags, input=read + b":save ./file\n", env=home).stdout

    assert "FileNotFoundError" in ringfence("repl", "--load", "./file", input=read, env=home).stderr
    assert "'a'\n" == ringfence("repl", "--load", "./file", *flags, input=read, env=home).stdout


def test_what_cannot_be_is_told_and_the_session_goes_on(ringfence: Command, home: dict[str, str]) -> None:
    """A name that is none, a file that is none, a place that is none."""
    lines = b"x = 5\n:load nothing\n:load ./nothing\n:save\n:save a b\n:save /nowhere/at/all\n:fork now\nx\n"
    ended = ringfence("repl", input=lines, env=home)
    assert (0, "5\n") == (ended.exit_code, ended.stdout)
    for words in ("no saved session `nothing`", "no such file", "`:save` was given alone", "is no name of a session"):
        assert words in ended.stderr
    assert "not saved at `/nowhere/at/all`" in ended.stderr
    assert "`:fork now` has a word too many" in ended.stderr


def test_saved_session_is_where_it_was_or_where_the_command_says(ringfence: Command, home: dict[str, str]) -> None:
    """In a process of its own again; or in one for the first time."""
    code = b"import os; os._exit(3)\n"
    apart = ringfence("repl", "--isolation", "process", input=b"x = 5\n:save one\n:fork\nx\n", env=home)
    here = ringfence("repl", input=b"x = 6\n:save two\n:load one\nx\n:back\nx\n", env=home)
    assert [(0, "5\n"), (0, "5\n6\n")] == [(ended.exit_code, ended.stdout) for ended in (apart, here)]
    for name, words in (("one", ()), ("one", ("--isolation", "process")), ("two", ("--isolation", "process"))):
        assert 3 == ringfence("repl", "--load", name, *words, input=code, env=home).exit_code


def test_saved_session_has_its_language(ringfence: Command) -> None:
    """Contradictions are refused."""
    ended = ringfence("repl", "--load", "one", "javascript")

    assert 2 == ended.exit_code
    assert "`--load` were both given" in ended.stderr
