"""What wraps a value to say which case it is."""

from __future__ import annotations

import copy
import pickle
from typing import Any, get_args, get_origin

import pytest

from ringfence import Err, Ok, Some


def test_wrappers_compare_by_what_is_in_them() -> None:
    """And are not what is in them."""
    wrapped: list[object] = [Ok(1), Err(1), Some(1), 1]

    assert [True, False, False, False] == [Ok(1) == other for other in wrapped]
    assert Some(None) != None  # noqa: E711 - that is the point
    assert hash(Ok(1)) == hash(Ok(1))


def test_wrappers_are_frozen_shown_matched_copied_and_pickled() -> None:
    """As dataclasses are."""
    wrapped: Any
    for wrapped in (Ok([1]), Err(), Some(Ok(None))):
        assert wrapped == pickle.loads(pickle.dumps(wrapped)) == copy.deepcopy(wrapped)
        assert wrapped == eval(repr(wrapped))  # noqa: S307 - our own text
        with pytest.raises(AttributeError):
            wrapped.value = 1
    match Ok(3):
        case Ok(value):
            assert 3 == value


def test_wrappers_are_generic_and_remember_nothing_that_they_were_asked_for() -> None:
    """What `typing` has made of a class it keeps, and with a class of a plugin's the plugin."""

    class Page:
        pass

    assert (Ok, (Page,)) == (get_origin(Ok[Page]), get_args(Ok[Page]))
    assert Ok[Page] is not Ok[Page]
    assert Ok(1) == Ok[int](1)
