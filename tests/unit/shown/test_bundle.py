"""Forms of a value, by media type."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.shown import shown

GIF = "R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="


def test_forms_that_are_what_they_say_are_shown() -> None:
    """Each made anew; a picture by what its bytes are."""
    made = shown(
        {"text/plain": "1", "text/html": "<b>1", "image/png": GIF, "text/latex": "x", "application/json": {"a": [1]}},
        {"image/png": {"width": 5, "height": -1, "onload": 2}},
    )

    assert {"text/plain", "text/html", "image/gif", "text/latex", "application/json"} == set(made.data)
    assert {"image/gif": {"width": 5}} == made.metadata
    assert [] == made.left


def test_drawing_is_shown_where_there_is_no_page() -> None:
    """A page comes first, unless nothing of it is left."""
    svg = {"image/svg+xml": "<svg/>"}

    assert "svg" in shown(svg, {}).data["text/html"]
    assert "svg" in shown({**svg, "text/html": "<script>1</script>"}, {}).data["text/html"]
    assert "svg" not in shown({**svg, "text/html": "1"}, {}).data["text/html"]


@pytest.mark.parametrize(
    "bundle",
    [
        {"application/javascript": "1"}, {"text/html": 7}, {"text/html": "<script>1</script>"}, {7: "x"},
        {"application/json": {"a": float("nan")}}, {"application/json": {"a": b""}}, {"application/json": "x"},
        {"image/png": "x"}, {"text/latex": r"\href{x}"}, {"image/svg+xml": "<svg>"}, {"text/html\x1b[2J": "x"},
    ],
)  # fmt: skip
def test_what_is_left_behind_is_named(bundle: dict[Any, Any]) -> None:
    """Where nothing but text stays."""
    made = shown({"text/plain": "text", **bundle}, {})

    assert ({"text/plain": "text"}, [str(next(iter(bundle))).replace("\x1b", r"\x1b")]) == (made.data, made.left)


def test_markdown_is_its_text() -> None:
    """A page would load its pictures."""
    assert {"text/plain": "# one\n![](x)"} == shown({"text/plain": "o", "text/markdown": "# one\n![](x)"}, {}).data


def test_text_is_escaped_and_cut() -> None:
    """No control character but ends of lines, and not without end."""
    text = shown({"text/plain": "a\x1b[2J\n" + "x" * (2 << 20)}, {}).data["text/plain"]

    assert text.startswith("a\\x1b[2J\nx")
    assert text.endswith(" more)")
