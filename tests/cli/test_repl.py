"""`ringfence repl`, from a pipe and at a real terminal."""

from __future__ import annotations

import os
import pty
import select
import shlex
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from waiting import late

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Command

for pack in ("ringfence_language_javascript", "ringfence_language_python"):
    pytest.importorskip(pack, reason="the language packs are not installed")

PATIENCE_SECONDS = 60
# The terminal becomes the one that Ctrl-C comes from, as a shell has it.
PROGRAM = """
import fcntl, signal, termios
signal.signal(signal.SIGINT, signal.default_int_handler)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from ringfence.cli import main
main()
"""
pytestmark = pytest.mark.usefixtures("compiled")


class Terminal:
    """A person at a terminal: types, and waits for words."""

    def __init__(self, *args: str, home: Path) -> None:
        self.end, theirs = pty.openpty()
        environment = {**os.environ, "XDG_STATE_HOME": str(home), "TERM": "dumb", "INPUTRC": os.devnull}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "repl", *args],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""

    def wait_for(self, words: str) -> str:
        """Read until the words are there; give what came with them, and go on after them."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while words not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if not select.select([self.end], [], [], 1)[0]:
                continue
            try:
                self.seen += os.read(self.end, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"it ended without {words!r}: {self.seen!r}") from None
        before, _, self.seen = self.seen.partition(words)
        return before

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.end, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C, as often as it takes: Python's own prompt does not see one that comes while it draws."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "interrupted\r\n>>> " not in self.seen:
            assert time.monotonic() < deadline, self.seen
            self.type("\x03")
            while select.select([self.end], [], [], 1)[0]:
                self.seen += os.read(self.end, 4096).decode(errors="replace")
        self.wait_for("interrupted\r\n>>> ")

    def close(self) -> int:
        """Wait for its end."""
        try:
            return self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.end)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """Start it, and see it end."""
    started = Terminal(home=tmp_path)
    started.wait_for(">>> ")
    yield started
    if started.process.poll() is None:
        started.type("\x04")
        assert 0 == started.close()


def test_pieces_from_a_pipe_are_run_one_after_the_other(ringfence: Command) -> None:
    """Values as the language writes them, no prompts, and the guest's own exit code."""
    ended = ringfence("repl", input=b"x = 20\ndef f(a):\n  return a * 2\n\nf(x + 1)\n'\\x1b'\nraise SystemExit(7)\n1\n")

    assert (7, "42\n'\\x1b'\n", "") == (ended.exit_code, ended.stdout, ended.stderr)


def test_javascript_writes_values_as_its_own(ringfence: Command) -> None:
    """And a piece may have many lines."""
    ended = ringfence("repl", "javascript", input=b"function f(a) {\n\n  return {a, b: [true, null]}\n}\nf('x')\n")

    assert (0, '{"a": "x", "b": [true, null]}\n') == (ended.exit_code, ended.stdout), ended


def test_error_is_shown_and_the_session_goes_on(ringfence: Command) -> None:
    """With the lines of the source."""
    ended = ringfence("repl", input=b"x = 1\n1/0\nx\n")

    assert "1/0\n    ~^~\nZeroDivisionError: division by zero\n" in ended.stderr
    assert (0, "1\n") == (ended.exit_code, ended.stdout)


def test_piece_that_ends_too_early_is_an_error_of_its_language(ringfence: Command) -> None:
    """The end of input ends it."""
    assert "SyntaxError: '(' was never closed" in ringfence("repl", input=b"print(1,\n").stderr


def test_refusal_names_the_flag(ringfence: Command) -> None:
    """As `ringfence run` does."""
    ended = ringfence("repl", input=b"open('/data/a.txt')\n")

    assert "FileNotFoundError" in ended.stderr
    assert "`--dir HOST:GUEST`" in ended.stderr


def test_limit_is_that_of_each_turn(ringfence: Command) -> None:
    """The guest hears of it, the session goes on, and the flag to raise it is named."""
    ended = ringfence("repl", "--wall", "1s", input=b"x = 5\nwhile True:\n  pass\n\nx\n")

    assert "TimeoutError" in ended.stderr
    assert "`--wall 2s`" in ended.stderr
    assert (0, "5\n") == (ended.exit_code, ended.stdout)


def test_session_that_was_lost_begins_anew(ringfence: Command) -> None:
    """And says so."""
    loop = b"while True:\n  try:\n    while True: pass\n  except BaseException: pass\n\n"
    ended = ringfence("repl", "--wall", "1s", input=b"x = 5\n" + loop + b"x\n")

    assert "begins anew" in ended.stderr
    assert "NameError" in ended.stderr
    assert (0, "") == (ended.exit_code, ended.stdout)


def test_unknown_language_says_how_it_is_installed(ringfence: Command) -> None:
    """Before anything is read."""
    ended = ringfence("repl", "cobol", input=b"1\n")

    assert 2 == ended.exit_code
    assert "hint:" in ended.stderr


def test_ctrl_c_interrupts_the_turn_and_not_the_session(terminal: Terminal) -> None:
    """Nor does one at the prompt."""
    terminal.type("x = 41\n")
    terminal.wait_for(">>> ")
    terminal.type("while True: pass\n\n")
    terminal.wait_for("... \r\n")
    time.sleep(late(0.3))  # it is at work, or the next lines would be about the prompt
    terminal.interrupt()
    terminal.type("x +")
    terminal.wait_for("x +")
    terminal.interrupt()
    terminal.type("x + 1\n")
    terminal.wait_for("42\r\n>>> ")


def test_guest_that_will_not_be_interrupted_is_ended_and_the_copies_before_it_are_there(terminal: Terminal) -> None:
    """Its session begins anew; what it was forked from goes on."""
    terminal.type("x = 41\n:fork\n")
    terminal.wait_for("goes on where it was forked\r\n>>> ")
    terminal.type("while True:\n  try:\n    while True: pass\n  except BaseException: pass\n\n")
    terminal.wait_for("... \r\n")
    time.sleep(late(0.3))  # it is at work
    terminal.type("\x03")
    terminal.wait_for("the session begins anew: what was defined is gone\r\n>>> ")
    terminal.type("x\n")
    terminal.wait_for("NameError")
    terminal.type(":back\n")
    terminal.wait_for("back at the first session\r\n>>> ")
    terminal.type("x + 1\n")
    terminal.wait_for("42\r\n>>> ")


def test_session_is_saved_listed_and_loaded_at_a_terminal(terminal: Terminal, tmp_path: Path) -> None:
    """As `:limits` is told, and a second terminal goes on from what the first one saved."""
    terminal.type("x = 41\n:limits\n")
    terminal.wait_for("the last turn: ")
    terminal.type(":save one\n")
    terminal.wait_for("`ringfence repl --load one` goes on from there\r\n>>> ")
    terminal.type("x = 0\n:load one\n")
    terminal.wait_for("as it was saved; `:back` leaves it\r\n>>> ")
    terminal.type("x + 1\n")
    terminal.wait_for("42\r\n>>> ")
    other = Terminal("--load", "one", home=tmp_path)
    other.wait_for(">>> ")
    other.type("x + 2\n")
    other.wait_for("43\r\n>>> ")
    other.type("\x04")
    assert 0 == other.close()


def test_what_was_typed_is_there_the_next_time(terminal: Terminal, tmp_path: Path) -> None:
    """In a file that only its owner reads; arrow up brings it back."""
    terminal.type("6 * 7\n")
    terminal.wait_for("42\r\n>>> ")
    terminal.type("\x04")
    assert 0 == terminal.close()
    history = tmp_path / "ringfence" / "history-python"
    assert 0o600 == stat.S_IMODE(history.stat().st_mode)
    assert "6 * 7\n" in history.read_text(encoding="utf-8")

    again = Terminal(home=tmp_path)
    again.wait_for(">>> ")
    again.type("\x1b[A")
    again.wait_for("6 * 7")
    again.type("\n")
    again.wait_for("42\r\n>>> ")
    again.type(":quit\n")
    assert 0 == again.close()


@pytest.mark.parametrize("line", ["1", "print('y' * 1000)"])
def test_reader_that_has_had_enough_ends_it(compiled: Path, line: str) -> None:
    """Quietly, though there are lines without an end, and whoever finds out: we, or the guest."""
    assert compiled.is_dir()
    command = f"yes {shlex.quote(line)} | timeout 60 {sys.executable} -m ringfence repl | head -n 1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, check=False)

    assert (b"", 1) == (ended.stderr.replace(b"yes: standard output: Broken pipe\n", b""), ended.stdout.count(b"\n"))
    assert 124 != ended.returncode, "it was ended for it"
