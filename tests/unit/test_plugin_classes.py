"""Classes that are made for a plugin's types."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import pytest

from ringfence import ResultError
from ringfence._plugin_classes import Classes

TYPES = [
    ("u8",),
    ("record", [("class", 0), ("self", 0), ("a-b", 0)]),
    ("variant", [("none", None), ("some-thing", 0)]),
    ("enum", ["read-only", "mro"]),
    ("flags", ["r", "w"]),
    ("result", 0, 2),
    ("record", [("x", 0)]),
]
NAMES: list[tuple[str, list[Any], list[tuple[str, int]]]] = [
    ("app:x/y", [], [("thing", 1), ("state", 2), ("mode", 3), ("rights", 4), ("alias", 1)])
]


@pytest.fixture
def classes() -> Classes:
    """Make those of a few types."""
    return Classes(TYPES, NAMES)


def test_record_is_a_frozen_dataclass(classes: Classes) -> None:
    """Its fields are spelled as Python can."""
    thing = classes.of(1)
    assert isinstance(thing, type)
    made = thing(1, 2, 3)

    assert ("Thing", "ringfence.plugin.app:x/y") == (thing.__name__, thing.__module__)
    assert ["class_", "self_", "a_b"] == [field.name for field in dataclasses.fields(made)]
    assert thing(1, 2, 3) == made
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.a_b = 4


def test_cases_of_a_variant_are_matched(classes: Classes) -> None:
    """Each is a class inside that of the variant."""
    state = classes.of(2)
    assert isinstance(state, type)
    match state.SomeThing(5):  # type: ignore[attr-defined]
        case state.None_():  # type: ignore[attr-defined]
            found = None
        case state.SomeThing(value):  # type: ignore[attr-defined]
            found = value

    assert 5 == found
    assert isinstance(state.None_(), state)  # type: ignore[attr-defined]


def test_enum_and_flags_are_pythons_own(classes: Classes) -> None:
    """A member's value is its name in the component; flags are joined by `|`."""
    mode, rights = classes.of(3), classes.of(4)
    assert isinstance(mode, enum.EnumMeta)
    assert isinstance(rights, enum.EnumMeta)

    assert ["read-only", "mro"] == [mode[name].value for name in ("READ_ONLY", "MRO")]
    assert 3 == (rights["R"] | rights["W"]).value


def test_error_of_a_function_has_a_class_of_its_own(classes: Classes) -> None:
    """It is named for the type, and is a `ResultError` with the value."""
    error = classes.error("app:x/y", "parse", classes.error_of(5))
    assert isinstance(error, type)

    assert ("StateError", True) == (error.__name__, issubclass(error, ResultError))
    assert 7 == error("parse", 7).value
    assert (True, False) == (classes.is_result(5), classes.is_result(None))


def test_types_without_a_name_are_known_by_number(classes: Classes) -> None:
    """They have classes too."""
    assert [("type-6", 6)] == classes.unlisted()
    assert None is classes.of(0)
    assert "Error" == classes.name(6, "Error")


def test_type_is_called_what_the_interface_that_defines_it_calls_it() -> None:
    """Wherever it is listed, and where it is not; one that is listed nowhere is there by that name."""
    names = [None, ("app:x/z", "other"), None, None, None, None, ("wasi:clocks/wall", "date-time")]
    classes = Classes(TYPES, NAMES, names=names)
    other, time = classes.of(1), classes.of(6)

    assert isinstance(other, type)
    assert isinstance(time, type)
    assert ("Other", "ringfence.plugin.app:x/z") == (other.__name__, other.__module__)
    assert ("DateTime", "ringfence.plugin.wasi:clocks/wall") == (time.__name__, time.__module__)
    assert [("DateTime", 6)] == classes.unlisted()


def test_signature_says_what_is_given_and_what_comes_back(classes: Classes) -> None:
    """The good case of a result: the other is raised."""
    signature = classes.signature(["mode", "thing"], [3, 1], 5)

    assert [classes.of(3), classes.of(1), int] == list(classes.annotations(signature).values())
    assert ["mode", "thing", "return"] == list(classes.annotations(signature))
    assert None is classes.signature([], [], None).return_annotation


def test_class_is_one_whoever_has_the_type(classes: Classes) -> None:
    """While somebody has it; what is another type has another."""
    again = Classes(TYPES, NAMES)
    other = Classes([("u16",), *TYPES[1:]], NAMES)

    assert [classes.of(at) for at in range(7)] == [again.of(at) for at in range(7)]
    assert [False, True] == [classes.of(1) is other.of(1), classes.of(3) is other.of(3)]
    assert classes.error("i", "f", 2) is again.error("i", "f", 2)
    assert classes.error("i", "f", 2) is not classes.error("i", "g", 2)
