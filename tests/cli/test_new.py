"""`ringfence new`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Command


def test_folder_is_written_once(ringfence: Command) -> None:
    """One that is there is left alone."""
    ended = ringfence("new", "greeter", "--language", "c")

    assert 0 == ended.exit_code
    assert "made greeter: `cd greeter && ringfence build`" in ended.stderr
    assert 2 == ringfence("new", "greeter", "--language", "python").exit_code


def test_name_is_one_of_wit(ringfence: Command) -> None:
    """It is the package's too, and no path."""
    for name in ("../greeter", "Greeter", "a--b", "", "-x"):
        assert 2 == ringfence("new", "--language", "c", "--", name).exit_code
