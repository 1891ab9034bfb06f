"""`ringfence run --with`: packages for a script."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command
    from shelf import Shelf

pytestmark = pytest.mark.usefixtures("compiled")
SCRIPT = "# /// script\n# dependencies = ['one']\n# ///\nimport one\nprint(one.VERSION)\n"
HINT = "hint: the script asks for `one`, which was not brought in: add `--with-inline`, or leave it so\n"


@pytest.fixture
def script(shelf: Shelf, tmp_path: Path) -> Path:
    """Write a script that asks for a package."""
    shelf.wheel("one")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    return script


@pytest.mark.parametrize("flags", [("--with", "one"), ("--with", "one==1.0"), ("--with-inline",), ("--with-file", "l")])
def test_package_is_there_for_the_script(
    ringfence: Command, script: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """Named, listed, or asked for."""
    (tmp_path / "l").write_text("one  # the only one\n", encoding="utf-8")

    assert (0, "1.0\n", "") == (
        ended := ringfence("run", *flags, script.name),
        ended.exit_code,
        ended.stdout,
        ended.stderr,
    )[1:]


def test_script_gets_nothing_by_asking(ringfence: Command, script: Path) -> None:
    """It is not trusted with the choice; the hint names the flag."""
    ended = ringfence("run", script.name)

    assert 1 == ended.exit_code
    assert ended.stderr.endswith(HINT)


@pytest.mark.parametrize(("answer", "says"), [("y\n", "1.0"), ("\n", "No module named 'one'"), ("n\n", "No module")])
def test_somebody_at_the_terminal_is_asked(script: Path, answer: str, says: str) -> None:
    """Unless they agree, nothing is fetched."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ringfence", "run", script.name]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=script.parent) as running:
        os.close(theirs)
        os.write(ours, answer.encode())
        shown = b""
        while piece := _read(ours):
            shown += piece
    os.close(ours)

    assert "script.py asks for `one`: fetch it from the package index? [y/N]" in shown.decode()
    assert says in shown.decode()
    assert ("1.0" == says) == (0 == running.returncode)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--with", "none"), 2, "No matching distribution found for none"),
        (("--with", "https://example.org/one.whl"), 2, "write a name of the index"),
        (("--with-file", "missing"), 2, "cannot read `--with-file missing`: No such file or directory"),
    ],
)
def test_wrong_packages_are_told(
    ringfence: Command, script: Path, flags: tuple[str, ...], code: int, words: str
) -> None:
    """With what is wrong with them."""
    ended = ringfence("run", *flags, script.name)

    assert (code, "") == (ended.exit_code, ended.stdout)
    assert words in ended.stderr


def test_inline_without_a_list_is_told(ringfence: Command, script: Path) -> None:
    """A flag that does nothing was a mistake."""
    script.write_text("print(1)", encoding="utf-8")

    assert (
        "there is no list of packages in the script's comments" in ringfence("run", "--with-inline", script.name).stderr
    )


@pytest.mark.parametrize("metadata", ['requires-python = ">=3.14"', "dependencies = [six", "dependencies = 'six'"])
def test_metadata_that_nobody_asked_about_is_a_comment(ringfence: Command, script: Path, metadata: str) -> None:
    """Whatever is wrong with it: a script that is run without packages is run as Python runs it."""
    script.write_text(f"# /// script\n# {metadata}\n# ///\nprint(1)\n", encoding="utf-8")
    ended = ringfence("run", script.name)

    assert (0, "1\n", "") == (ended.exit_code, ended.stdout, ended.stderr)
    assert "the script's metadata cannot be used" in ringfence("run", "--with-inline", script.name).stderr


@pytest.mark.parametrize("source", [("-",), ("-c", SCRIPT)])
def test_inline_is_for_scripts_in_files(ringfence: Command, script: Path, source: tuple[str, ...]) -> None:
    """What comes from standard input has a list, perhaps, at which nobody looks."""
    flags = ("run", "--with-inline", "--language", "python")
    ended = ringfence(*flags, *source, input=script.read_bytes())

    assert 2 == ended.exit_code
    assert "only a script in a file is looked at, and what is run here is none" in ended.stderr


def test_packages_for_a_program_are_refused(ringfence: Command) -> None:
    """It is no Python."""
    ended = ringfence("run", "--with", "one", "guests/hello.wat")

    assert "leave packages out" in ended.stderr
    assert (2, "") == (ended.exit_code, ended.stdout)
