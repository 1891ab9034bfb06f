"""Values of every type go into a guest and come out of it as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.conftest import CASES
from plugins.typed import Echo, kinds, plugin_of, round_trips, values

if TYPE_CHECKING:
    from ringfence import Plugin


@settings(max_examples=100)
@given(data=st.data())
def test_value_of_any_type_comes_back_as_it_was(cases: tuple[Echo, Plugin], data: st.DataObject) -> None:
    """Through memory and through numbers, to the guest and to a function of the host."""
    echo, plugin = cases
    at = data.draw(st.integers(0, len(CASES) - 1))
    value = data.draw(values(echo, plugin, CASES[at]))

    assert [value, value] == round_trips(echo, plugin, at, value)


@settings(max_examples=6)
@given(types=st.lists(kinds(), min_size=2, max_size=4), data=st.data())
def test_type_of_any_shape_has_values_that_come_back(types: list[object], data: st.DataObject) -> None:
    """Types inside one another, in any combination."""
    echo = Echo(*types)
    with plugin_of(echo) as plugin:
        for at, kind in enumerate(types):
            value = data.draw(values(echo, plugin, kind))

            assert [value, value] == round_trips(echo, plugin, at, value)
