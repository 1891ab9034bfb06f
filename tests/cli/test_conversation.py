"""What a person says to us and not to the guest; the rest is in test_repl.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

pytest.importorskip("ringfence_language_python", reason="the language packs are not installed")
pytestmark = pytest.mark.usefixtures("compiled")


def test_commands_begin_with_a_colon(ringfence: Command) -> None:
    """And are no source; what is none of them is told."""
    ended = ringfence("repl", "--memory", "64MiB", input=b"x = 1\n:limits\n:restart\nx\n:nope\n:help\n:quit\n2\n")

    assert "each turn: wall 30s, output 16MiB\nthe session: memory 64MiB," in ended.stderr
    assert re.search(r"the last turn: .* of processor; .* MiB of memory; 0 bytes written\n", ended.stderr)
    assert "NameError" in ended.stderr
    assert "there is no `:nope`" in ended.stderr
    assert ":restart   begin anew" in ended.stderr
    assert (0, "") == (ended.exit_code, ended.stdout)
