"""What is the same in each stub."""

from __future__ import annotations

import pytest

from ringfence._bindings_text import function_classes, given_mapping, headed, items


def test_interface_is_given_under_every_name_that_is_its_own() -> None:
    """Whole, without the version, short: none that two interfaces have; in each combination."""
    written = given_mapping("Given", [("a:b/c@1.0.0", "C"), ("a:b/d@1.0.0", "D"), ("x:y/d@1.0.0", "E")], [("go", "Go")])

    assert 3 * 2 * 2 + 1 == len(written)
    assert (
        "_Given0 = _TypedDict(\"_Given0\", {'a:b/c@1.0.0': C, 'a:b/d@1.0.0': D, 'x:y/d@1.0.0': E, 'go': Go})"
        == written[0]
    )
    assert "{'c': C, 'a:b/d': D, 'x:y/d': E, 'go': Go})" in written[-2]
    assert not any("'d'" in line for line in written)
    assert "Given = _Given0 | _Given1 | " in written[-1]


def test_many_interfaces_are_one_mapping_of_what_may_be_there() -> None:
    """The types that say what has to be there would be too many."""
    (written,) = given_mapping("Given", [(f"a:b/i{at}@1.0.0", f"I{at}") for at in range(9)], [("go", "Go")])

    assert "'a:b/i0@1.0.0': _NotRequired[I0], 'a:b/i0': _NotRequired[I0], 'i0': _NotRequired[I0]" in written
    assert "'go': Go" in written


@pytest.mark.parametrize("others", [[], [("go", "Go")]])
def test_host_that_gives_no_interface_has_one_mapping(others: list[tuple[str, str]]) -> None:
    """Of what is given by itself, or of nothing."""
    assert 1 == len(given_mapping("Given", [], others))


def test_what_is_not_mentioned_is_not_imported() -> None:
    """Of modules and of names."""
    text = headed(items([("a:b/c", "C")], ""), "us")

    assert "from collections.abc import Iterator as _Iterator\n" in text
    assert "from typing import Any as _Any, Literal as _Literal, overload as _overload\n" in text
    assert "ringfence" not in text


def test_memories_and_globals_have_classes_where_there_are_some() -> None:
    """Named as nothing of a plugin's is."""
    both = "\n".join(function_classes("_builtins.", with_memory=True, with_global=True))

    assert "class _Memory(_Protocol):\n    @_builtins.property" in both
    assert "class _Global(_Protocol):\n    value: _builtins.int | _builtins.float" in both
    assert "_Memory" not in "\n".join(function_classes("", with_memory=False, with_global=True))
