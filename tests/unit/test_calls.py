"""Calls of a plugin as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence import Plugin
from ringfence._calls import TextCall
from ringfence._wave_words import WaveError

RENDERER = Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat"


@pytest.fixture(scope="module")
def renderer() -> Plugin:
    """The one of the example."""
    return Plugin(RENDERER, imports={"app:host/store": {"get": lambda _: "<hr>"}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('render("# hi")', '"<h1>hi</h1><hr>"'),
        ('content.parse("to http://a")', 'ok({title: "to http://a", links: [{url: "http://a", text: "http://a"}]})'),
        ('parse("t")', 'ok({title: "t", links: []})'),
        ('app:markdown/content.parse@1.0.0("")', "err(empty)"),
    ],
)
def test_function_is_called_by_any_of_its_names(renderer: Plugin, text: str, expected: str) -> None:
    """With values in WAVE, as its result is."""
    assert expected == TextCall(renderer, text)().text


def test_bad_case_of_a_result_is_told_apart(renderer: Plugin) -> None:
    """It is no exception, and a value like any other."""
    returned = TextCall(renderer, 'parse("")')()

    assert returned.is_error
    assert {"err": "empty"} == returned.plain


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('rendr("x")', "it exports no `rendr`; there are `app:markdown/content@1.0.0.parse`, `render`"),
        ("render()", "the parameter `text` is missing; it is `render: func"),
        ('other.parse("x")', "is not one function: there are"),
        ('app:markdown/content.parse@2.0.0("x")', "is not one function"),
    ],
)
def test_call_of_what_is_not_there_says_what_is(renderer: Plugin, text: str, why: str) -> None:
    """Before anything is called."""
    calls = renderer.usage.calls
    with pytest.raises(WaveError, match=why.replace("(", r"\(")):
        TextCall(renderer, text)

    assert calls == renderer.usage.calls
