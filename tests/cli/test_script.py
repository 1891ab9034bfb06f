"""Source text on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence.cli._parser import parser
from ringfence.cli._script import source_of
from ringfence.cli._verbs import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command

pytestmark = pytest.mark.usefixtures("shout")


def test_script_runs_by_its_name(ringfence: Command, tmp_path: Path) -> None:
    """What follows it belongs to it, and nothing of ours is printed."""
    (tmp_path / "hello.shout").write_text("hello\n", encoding="utf-8")

    assert "exit: 0\n--- stdout\nHELLO\n--- stderr\n" == str(ringfence("run", "hello.shout", "--wall", "-c"))


def test_script_runs_by_its_first_line(ringfence: Command, tmp_path: Path) -> None:
    """Or by the language that is said."""
    (tmp_path / "hello").write_text("#!/usr/bin/env shout\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("hello\n", encoding="utf-8")

    assert "#!/USR/BIN/ENV SHOUT\n" == ringfence("run", "hello").stdout
    assert "HELLO\n" == ringfence("run", "--language", "shout", "notes.txt").stdout


def test_code_and_what_follows_it(ringfence: Command) -> None:
    """Flags after it are the guest's."""
    ended = ringfence("run", "--language", "shout", "--wall", "5s", "-c", "hello", "--help", "--wall", "1s")

    assert "exit: 0\n--- stdout\nHELLO--- stderr\n" == str(ended)


def test_source_on_standard_input(ringfence: Command) -> None:
    """`-` stands for it, as the interpreters have it."""
    assert "HELLO" == ringfence("run", "--language", "shout", "-", input=b"hello").stdout


def test_code_without_a_language_is_never_guessed(ringfence: Command) -> None:
    """Nor is what comes on standard input."""
    expected = """\
exit: 2
--- stdout
--- stderr
error: `-c` was given without a language: text is never guessed to be in one
hint: write `ringfence run --language python -c CODE`
"""
    assert expected == str(ringfence("run", "-c", "print(1)"))
    assert "`-` was given without a language" in ringfence("run", "-").stderr


def test_language_that_is_not_installed_names_the_command(ringfence: Command, tmp_path: Path) -> None:
    """What, why, and what to paste; the exit code is that of what cannot be loaded."""
    expected = """\
exit: 2
--- stdout
--- stderr
error: there is no language `whisper`: installed are …
hint: `ringfence languages install whisper`, if there is such a pack
"""
    (tmp_path / "hello").write_text("x", encoding="utf-8")
    before, _, after = expected.partition("…")
    ended = str(ringfence("run", "--language", "whisper", "hello"))

    assert ended.startswith(before)
    assert ended.endswith(after)


def test_missing_script_is_127(ringfence: Command) -> None:
    """As for any program."""
    ended = ringfence("run", "--language", "shout", "no-such-script")

    assert (127, "") == (ended.exit_code, ended.stdout)
    assert ended.stderr.startswith("error: no such program: `no-such-script`: ")


def test_language_without_modules_says_so(ringfence: Command) -> None:
    """A pack says what its command line has."""
    expected = """\
exit: 2
--- stdout
--- stderr
error: `-m` is nothing that SHOUT 1 has: its interpreter does not take it
hint: write the source to a file, and give its path
"""
    assert expected == str(ringfence("run", "--language", "shout", "-m", "module"))


def test_limits_hold_for_scripts(ringfence: Command, tmp_path: Path) -> None:
    """A policy is the same for every language."""
    (tmp_path / "long.shout").write_text("hello " * 1000, encoding="utf-8")
    ended = ringfence("run", "--output", "1KiB", "long.shout")

    assert (124, 1024) == (ended.exit_code, len(ended.stdout))
    assert "raise it with `--output 2KiB`" in ended.stderr


def test_flag_that_stands_for_the_program_needs_its_value() -> None:
    """And takes all that follows."""
    with pytest.raises(UsageError, match="without a value"):
        parser("run").parse_args(["--language", "shout", "-c"])

    source = source_of(parser("run").parse_args(["--language", "shout", "-c", "x", "-m", "--", "y"]))
    assert (None, "x", "shout", ["-m", "--", "y"]) == (source.program, source.code, source.language, source.args)


def test_programs_keep_their_arguments() -> None:
    """`-c` after PROGRAM is its own."""
    source = source_of(parser("run").parse_args(["tool.wasm", "-c", "-m"]))

    assert ("tool.wasm", None, None, ["-c", "-m"]) == (source.program, source.code, source.language, source.args)


def test_switches_of_a_language_come_after_two_dashes() -> None:
    """With the language said; without, that is a file of such a name."""
    source = source_of(parser("run").parse_args(["--language", "shout", "--", "-ne", "x", "--", "y"]))
    assert (None, None, "shout", ["-ne", "x", "--", "y"]) == (source.program, source.code, source.language, source.args)

    source = source_of(parser("run").parse_args(["--", "-ne", "x"]))
    assert ("-ne", None, ["x"]) == (source.program, source.language, source.args)
    source = source_of(parser("run").parse_args(["--language", "shout", "--", "./-ne"]))
    assert ("./-ne", "shout", []) == (source.program, source.language, source.args)
