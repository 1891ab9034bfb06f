"""Limits of each turn, in a session without end."""

from __future__ import annotations

from ringfence import Limits, Policy
from ringfence._shares import shares


def test_limits_of_time_and_output_are_those_of_a_turn() -> None:
    """A session lives for as long as somebody uses it, and no turn uses more than its share."""
    session, turn = shares(Policy(limits=Limits(wall=2, cpu=1, fuel=1000, output="1KiB", memory="32MiB")))

    assert (2.0, 1.0, 1000, 1024, None) == (turn.wall, turn.cpu, turn.fuel, turn.output, turn.memory)
    assert session.limits.memory == 32 << 20
    for name in ("wall", "cpu", "fuel", "output"):
        assert getattr(session.limits, name) > 1000 * getattr(turn, name)


def test_limits_that_are_off_stay_off() -> None:
    """Counting instructions costs."""
    session, turn = shares(Policy())

    assert (None, None, None, None) == (session.limits.cpu, session.limits.fuel, turn.cpu, turn.fuel)
