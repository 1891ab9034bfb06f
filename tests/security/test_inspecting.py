"""Attacks on who looks at a component before running it: by names, by types, by their number."""

from __future__ import annotations

import resource
import time

import pytest

from ringfence import LoadError, Program


def test_type_that_doubles_itself_is_cut_where_it_is_written() -> None:
    """A quarter of a million words, twice, are a megabyte of them, and a line that says so."""
    doubled = "".join(f"(type $t{at} (tuple $t{at - 1} $t{at - 1}))\n" for at in range(1, 17))
    program = Program.from_bytes(
        f"""(component (type $t0 (tuple u8 u8)) {doubled}
          {"".join(f'(import "f{at}" (func (param "p" $t16)))' for at in range(2))})""".encode()
    )
    began = time.monotonic()
    text = program.wit()

    assert len(text) < 4 << 20
    assert "left out here" in text.splitlines()[-1]
    assert time.monotonic() - began < 20


def test_name_of_a_hundred_thousand_letters_is_cut() -> None:
    """A line of a report is no longer than a line."""
    name = "a" * 90_000
    program = Program.from_bytes(f'(component (import "{name}" (func (param "{name}" u8))))'.encode())

    assert max(map(len, program.wit().splitlines())) < 600


def test_name_with_escape_codes_forges_nothing() -> None:
    """Neither a line nor a colour: it is no name of a component, and what is said of it is escaped."""
    program = Program.from_bytes(b'(component (import "a\\1b[31m\\0apackage b:c;" (func)))')
    with pytest.raises(LoadError) as refused:
        program.wit()

    assert "\x1b" not in str(refused.value)
    assert "\n" not in refused.value.why


def test_types_without_end_are_read_by_a_child() -> None:
    """What they cost is not the memory of who looks."""
    types = "".join(f'(type (record (field "a{at}" u8) (field "b" u16)))' for at in range(20_000))
    program = Program.from_bytes(f"(component {types})".encode())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    program.wit()

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10
