"""What is shown of a turn; whole conversations are in test_repl.py."""

from __future__ import annotations

import pytest

from ringfence import Policy, Session
from ringfence.cli._showing import show

pytest.importorskip("ringfence_language_python", reason="the language packs are not installed")


@pytest.mark.usefixtures("compiled")
def test_what_a_guest_says_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a value nor an error; lines and columns stay."""
    with Session("python") as session:
        for source in (
            "class A:\n  def __repr__(self): return '\\x1b[2J\\ta\\nb'",
            "A()",
            "raise ValueError('\\x1b]0;')",
        ):
            show(session.eval(source), "python", Policy())
    shown = capsys.readouterr()

    assert "\\x1b[2J    a\nb\n" == shown.out
    assert shown.err.endswith("ValueError: \\x1b]0;\n")
