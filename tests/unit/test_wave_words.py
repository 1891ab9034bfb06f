"""Words of WAVE."""

from __future__ import annotations

import math
import struct

import pytest

from ringfence._wave_words import WaveError, escaped, of_float, one_of, to_float, to_whole, unescaped

LARGEST = struct.unpack("f", b"\xff\xff\x7f\x7f")[0]


@pytest.mark.parametrize(
    ("word", "name"), [("1e300", "f32"), ("-1e39", "f32"), ("3.4028236e38", "f32"), ("1e999", "f64"), ("-1e309", "f64")]
)
def test_number_that_is_too_large_is_not_taken_for_one_without_end(word: str, name: str) -> None:
    """As from Python; whoever means that one writes it."""
    with pytest.raises(WaveError, match=f"{word} is too large for {name}"):
        to_float(word, name)

    assert (math.inf, -math.inf) == (to_float("inf", name), to_float("-inf", name))


def test_largest_number_is_read_and_written() -> None:
    """Fewer digits of it are a number that is too large."""
    assert LARGEST == to_float(of_float(LARGEST, "f32"), "f32")


def test_whole_numbers_have_the_range_of_their_type() -> None:
    """Of which the error tells."""
    assert (-128, 255) == (to_whole("-128", "s8"), to_whole("255", "u8"))
    with pytest.raises(WaveError, match="256 is not from 0 to 255, as u8 is"):
        to_whole("256", "u8")


def test_text_is_written_so_that_it_is_read_the_same() -> None:
    """What cannot be printed is escaped."""
    text = "a\"'\\\t\r\n\x00\u200fé"

    assert text == unescaped(escaped(text))
    assert "\\u{200f}" in escaped(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\udcff", "the byte 0xff is no character"),
        ("\ud800", r"\\u{d800} is no character"),
        ("\\u{d800}", "no character"),
    ],
)
def test_text_of_what_is_no_character_is_refused(text: str, why: str) -> None:
    """Python has bytes of a command line that are no UTF-8 as such."""
    with pytest.raises(WaveError, match=why):
        unescaped(text)


def test_names_of_cases_are_told_as_they_are_written() -> None:
    """The first of very many."""
    assert "one of red, %none" == one_of(["red", "none"])
    assert one_of([f"c{at}" for at in range(25)]).endswith(", c19 and 5 more")
