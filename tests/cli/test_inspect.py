"""`ringfence inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence import Program

if TYPE_CHECKING:
    from conftest import Command

RENDERER = str(Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat")


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


def test_component_shows_its_world_in_wit(ringfence: Command) -> None:
    """In the report, in the document, and alone."""
    told = ringfence("inspect", RENDERER).stdout
    document = json.loads(ringfence("inspect", "--json", RENDERER).stdout)
    alone = ringfence("inspect", "--wit", RENDERER).stdout

    assert "    parse: func(text: string) -> result<page, parse-error>;" in alone.splitlines()
    assert alone == document["wit"]
    assert all(f"  {line}".rstrip() in told.splitlines() for line in alone.splitlines())


def test_wit_of_a_module_is_an_error(ringfence: Command) -> None:
    """Only components have it; the report of a module goes without."""
    assert 2 == ringfence("inspect", "--wit", "guests/hello.wat").exit_code
