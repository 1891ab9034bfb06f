"""Limits as people read them."""

from __future__ import annotations

from ringfence import Limits
from ringfence.cli._amounts import amounts


def test_limits_are_written_with_their_units_and_those_that_are_off_are_left_out() -> None:
    """As a flag takes them."""
    limits = Limits(wall=0.5, memory="64MiB", files=3)

    assert "wall 500ms, memory 64MiB, files 3" == amounts(limits._fields())
