"""Seconds and bytes for people."""

import pytest

from ringfence import Limits
from ringfence._units import about, seconds, size, to_size


@pytest.mark.parametrize("value", [0.001, 0.5, 1.0, 1.5, 90.0, 3600.0])
def test_written_seconds_are_read_back_by_a_policy(value: float) -> None:
    """What we print can be pasted into a policy and means the same."""
    assert value == Limits(wall=seconds(value)).wall


@pytest.mark.parametrize("value", [1, 1500, 1024, 65536, 1 << 20, 3 << 30])
def test_written_sizes_are_read_back_by_a_policy(value: int) -> None:
    """What we print can be pasted into a policy and means the same, and our own reader agrees."""
    assert (value, value) == (Limits(output=size(value)).output, to_size(size(value)))


@pytest.mark.parametrize("text", ["", "MiB", "1MB", "1.5MiB", "-1B", "1 KiB", "1KiBKiB"])
def test_other_units_are_not_sizes(text: str) -> None:
    """Decimal units, fractions and signs are refused, as in a policy."""
    with pytest.raises(ValueError, match="not an amount of memory"):
        to_size(text)


def test_reports_round_to_three_digits() -> None:
    """A report shows about how much."""
    assert ["20 B", "1.46 KiB", "256 MiB", "1.5 GiB"] == [about(n) for n in (20, 1500, 256 << 20, 3 << 29)]
