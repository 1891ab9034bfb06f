"""Styles of a guest's: what is kept of them."""

from __future__ import annotations

import pytest

from ringfence.shown._style import IN_DRAWINGS, IN_PAGES, declarations, is_plain, rules


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("color: red", "color: red"),
        ("COLOR:#F00;background-color:rgba(0, 0, 0, .5)", "color: #F00; background-color: rgba(0, 0, 0, .5)"),
        ("font-family: 'DejaVu Sans', sans-serif", "font-family: 'DejaVu Sans', sans-serif"),
        ("width: 10em; position: fixed; inset: 0; margin: -9px", "width: 10em"),
        ("background: url(//x)", ""),
        ("background: URL('//x')", ""),
        (r"background: u\72l(//x)", ""),
        ("background: image-set('//x' 1x)", ""),
        ("color: expression(alert(1))", ""),
        ("color: var(--a)", ""),
        ("color: red } * { color: blue", ""),
        ("color: red /* */", ""),
        ('font-family: "a\\"', ""),
        ("color", ""),
        (f"color: {'a ' * 1000}", ""),
    ],
)
def test_declarations_of_pages(said: str, kept: str) -> None:
    """Known properties with words, numbers and colours."""
    assert kept == declarations(said, IN_PAGES)


def test_references_stay_inside_of_a_drawing() -> None:
    """And only where they are asked for."""
    said = "fill: url(#a); stroke: url(http://x#a); clip-path: url( '#b' )"

    assert "fill: url(#a); clip-path: url( '#b' )" == declarations(said, IN_DRAWINGS, references=True)
    assert "" == declarations(said, IN_DRAWINGS)
    assert not is_plain("url(#a)")


def test_rules_are_plain_ones() -> None:
    """No rules that load, and none inside of others; a comment ends where it ends."""
    sheet = "@import url(x); a{color:red} /* b{ */ .c > d, e:hover {x:y} @media print { f {color:red} } g[h]{i:j} /* k"

    assert [(".c > d, e:hover", "x:y")] == list(rules(sheet))
    assert [("a", "b:c")] == list(rules("/* */a{b:c}"))
