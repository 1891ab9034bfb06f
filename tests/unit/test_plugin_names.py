"""Names of components as Python spells them."""

import pytest

from ringfence._plugin_names import camel, member, short, snake, spelled, upper


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        ("get-item", ("get_item", "GetItem", "GET_ITEM")),
        ("x", ("x", "X", "X")),
        ("class", ("class_", "Class", "CLASS")),
        ("none", ("none", "None_", "NONE")),
        ("HTTP-error", ("HTTP_error", "HTTPError", "HTTP_ERROR")),
        ("[method]thing.get", ("method_thing_get", "MethodThingGet", "METHOD_THING_GET")),
        ("__class__", ("class_", "Class", "CLASS")),
        ("1st", ("_1st", "_1st", "_1ST")),
        ("", ("_", "_", "_")),
    ],
)
def test_name_is_spelled_as_python_would(name: str, spellings: tuple[str, str, str]) -> None:
    """Keywords get a line at their end, and nothing is a dunder."""
    assert spellings == (snake(name), camel(name), upper(name))


def test_no_two_names_are_the_same() -> None:
    """The later of two gets a line at its end, or several."""
    assert ["a_b", "a_b_", "self_", "a_b__"] == spelled(["a-b", "a.b", "self", "a b"], "snake", ["self"])


def test_names_without_a_letter_do_not_begin_with_two_lines() -> None:
    """And thousands that are spelled alike have numbers, not as many lines."""
    assert ["_", "_1", "_2", "_2_"] == spelled(["", "-", "+", "2"], "snake")
    alike = spelled(["a" + sign * count + "b" for count in range(1, 30) for sign in "-. "], "snake")
    assert len(alike) == len(set(alike))
    assert ["a_b", "a_b_", "a_b_86"] == [alike[0], alike[1], alike[-1]]


@pytest.mark.parametrize(
    ("interface", "own"),
    [("app:markdown/content@1.0.0", "content"), ("wasi:io/streams", "streams"), ("plain", "plain")],
)
def test_interface_is_known_by_the_last_part_of_its_name(interface: str, own: str) -> None:
    """Without package and version."""
    assert own == short(interface)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("[method]blob.write-all", ("method", "blob", "write-all")),
        ("[static]blob.join", ("static", "blob", "join")),
        ("[constructor]blob", ("constructor", "blob", "blob")),
        ("[other]blob.x", None),
        ("write", None),
    ],
)
def test_function_of_a_resource_is_known_by_its_name(name: str, parts: tuple[str, str, str] | None) -> None:
    """Its kind, its resource, and its own name."""
    assert parts == member(name)
