"""Frozen values."""

import copy
import pickle

import pytest

from ringfence import Denial, Dir, Limits, Usage
from ringfence._value import Value

VALUES = [
    Dir("data", at="/data", mode="rw"),
    Limits(wall="5s", memory="1MiB"),
    Usage(0.5, 0.25, 65536, 6, None),
    Denial("read", "/etc/passwd", 2, 0.1),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_value_is_frozen(value: Value) -> None:
    """Nothing can be set, deleted or added."""
    for name in (value.__slots__[0], "other"):
        with pytest.raises(AttributeError, match="frozen"):
            setattr(value, name, 1)
        with pytest.raises(AttributeError, match="frozen"):
            delattr(value, name)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_copies_are_equal_and_hash_equal(value: Value) -> None:
    """A value is what is in it, after pickling and copying too."""
    for copied in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
        assert (value, hash(value)) == (copied, hash(copied))


def test_different_values_differ() -> None:
    """Values of other content or another kind are not equal."""
    assert Dir("a") != Dir("b")
    assert Dir("a") != "a"


def test_value_shows_its_fields() -> None:
    """The repr names every field."""
    assert "Dir(host='data', at='/data', mode='ro')" == repr(Dir("data", at="/data"))
