"""`ringfence profile`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

RENDERER = str(Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat")


def test_calls_are_repeated_and_measured(ringfence: Command, tmp_path: Path) -> None:
    """In a table, and in full as JSON."""
    (tmp_path / "store.py").write_text("def get(name):\n    return None\n")
    words = ("profile", "--host", "app:host/store=store", "--repeat", "5")
    table = ringfence(*words, RENDERER, 'render("x")', 'parse("y")').stdout.splitlines()
    rows = json.loads(ringfence(*words, "--json", RENDERER, 'render("x")').stdout)

    assert ["calls", "time", "each", "to", "guest", "from", "guest", "function"] == table[0].split()
    assert {"render", "host: app:host/store.get", "app:markdown/content@1.0.0.parse"} == {
        line.split("  ")[-1] for line in table[1:]
    }
    assert {("render", 5, 5 * 9), ("app:host/store.get", 5, 5)} == {
        (row["function"], row["calls"], row["sent_bytes"]) for row in rows
    }


@pytest.mark.parametrize("number", ["0", "-1", "²", "٣", "1.5", "9" * 5000])
def test_number_of_repetitions_is_checked(ringfence: Command, number: str) -> None:
    """Before anything is loaded."""
    ended = ringfence("profile", f"--repeat={number}", "no-such.wat", 'render("x")')

    assert 2 == ended.exit_code
    assert "it is no number from 1 to 999999999999999999\n" in ended.stderr
