"""`ringfence inspect`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ringfence import Program

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command


def test_report_is_in_plain_words(ringfence: Command, guests: Path) -> None:
    """What a program may ask for, what it offers, and the least policy, without running it."""
    program = Program.from_file(guests / "hello.wat")
    expected = f"""\
exit: 0
--- stdout
hello.wat: module, WASI 0.1, {program.size} B
sha256 {program.digest}

it may ask to
  read and write its open files and streams
    fd_write

it offers
  memory, _start

the least policy
  # nothing to grant: it asks for nothing
--- stderr
"""
    assert expected == str(ringfence("inspect", "guests/hello.wat"))


def test_json_says_the_same(ringfence: Command) -> None:
    """Everything in the report is in the document."""
    document = json.loads(ringfence("inspect", "--json", "guests/print_file.wat").stdout)

    assert ("module", "0.1") == (document["kind"], document["wasi"])
    assert ["path_open"] == document["permissions"]["open and change files"]
    assert "[[dirs]]" in document["least_policy"]


def test_missing_program_is_127(ringfence: Command) -> None:
    """As for a run."""
    assert 127 == ringfence("inspect", "no-such.wasm").exit_code
