"""What we print."""

from __future__ import annotations

import io
import json
import sys

import pytest

from ringfence.cli import _output
from ringfence.cli._verbs import UsageError


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def terminal_for(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put a terminal behind stderr; not a fixture, for pytest puts its own back between set-up and test."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stream


def test_errors_are_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The word is there in any case: colour is never the only signal."""
    terminal = terminal_for(monkeypatch)
    _output.error("what", "why", "fix")
    assert "\x1b[31merror:\x1b[0m what: why\n\x1b[36mhint:\x1b[0m fix\n" == terminal.getvalue()

    plain = io.StringIO()
    monkeypatch.setattr(sys, "stderr", plain)
    _output.error("what", "why", "fix")
    assert "error: what: why\nhint: fix\n" == plain.getvalue()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_can_be_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """`NO_COLOR` and dumb terminals get none."""
    terminal = terminal_for(monkeypatch)
    monkeypatch.setenv(name, value)
    _output.hint("fix")

    assert "hint: fix\n" == terminal.getvalue()


def test_progress_is_a_line_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a program compiles a terminal shows how long; afterwards nothing is left of it."""
    terminal = terminal_for(monkeypatch)
    with _output.Progress("tool.wasm") as progress:
        progress(1.0)

    assert "compiling tool.wasm: 1 s" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_progress_is_silent_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log gets no lines that move."""
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stderr", plain)
    with _output.Progress("tool.wasm") as progress:
        progress(1.0)

    assert "" == plain.getvalue()


def test_closed_stderr_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a stderr there is nobody to tell."""
    monkeypatch.setattr(sys, "stderr", None)
    _output.error("what", "why", "fix")
    _output.Progress("tool.wasm")(1.0)

    assert sys.stderr is None


def test_error_for_machines_is_json_whatever_is_in_it(capfd: pytest.CaptureFixture[str]) -> None:
    """Also of a wrong command line, with a byte in it that is no UTF-8."""
    _output.failure(UsageError("no \udcff", "why", "fix"), as_json=True)

    told = {"code": "usage", "what": "no \udcff", "why": "why", "fix": "fix"}
    assert {"error": told} == json.loads(capfd.readouterr().out)
