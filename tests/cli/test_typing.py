"""Lines from a file: the terminal is in test_repl.py."""

from __future__ import annotations

import io
import sys

import pytest

from ringfence.cli._typing import Typing


def test_lines_come_without_prompts_where_nobody_sits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is no text is replaced, not refused."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\n\xff\n"), encoding="ascii"))
    typing = Typing()

    assert not typing.is_terminal
    assert ["one", "\ufffd"] == [typing.line(">>> "), typing.line(">>> ")]
    with pytest.raises(EOFError):
        typing.line(">>> ")
    assert not capsys.readouterr().out
