"""`ringfence profile`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

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


def test_number_of_repetitions_is_checked(ringfence: Command) -> None:
    """Before anything is loaded."""
    assert 2 == ringfence("profile", "--repeat", "0", RENDERER, 'render("x")').exit_code
