"""How Python calls a plugin's function: `vectorcall_unsafe.rs`."""

from __future__ import annotations

import functools
import gc
import sys
from typing import TYPE_CHECKING, Any

import pytest

from plugins.typed import PADDING, Echo, plugin_of
from ringfence import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable

SUB = b"""(module
  (func (export "sub") (param i32 i32) (result i32) (i32.sub (local.get 0) (local.get 1)))
  (func (export "one") (result i32) (i32.const 1)))"""

PLACES = {"p0": 7, "p1": 3}
NONE: dict[str, int] = {}


def test_function_is_called_in_every_way_that_python_has() -> None:
    """Values by place, by name, by both, unpacked, and from C."""
    with Plugin(SUB) as plugin:
        sub = plugin.sub
        assert [4] * 7 == [
            sub(7, 3),
            sub(7, p1=3),
            sub(p1=3, p0=7),
            sub(*(7, 3)),
            sub(**PLACES),
            sub.__call__(7, 3),
            functools.partial(sub, 7, p1=3)(),
        ]
        assert [0, 1, 2] == list(map(sub, range(3), [0] * 3)) == sorted([2, 0, 1], key=lambda value: sub(value, 0))
        assert 1 == plugin.one() == plugin.one(*(), **NONE)
        assert -5 == functools.reduce(sub, range(1, 4), 1)


@pytest.mark.parametrize(
    ("places", "names", "told"),
    [
        ((1,), {}, r"sub\(\) takes 2 arguments, and was given 1\n.*sub: func\(p0: i32, p1: i32\) -> i32"),
        ((1, 2, 3), {}, "and was given 3"),
        ((1,), {"p0": 2}, "was given `p0` twice"),
        ((), {"p1": 2}, "was not given `p0`"),
        ((1, 2), {"x": 3}, "was given arguments that it does not have"),
        ((1, 2, 3), {"p1": 3}, "was given `p1` twice"),
        ((1, "2"), {}, "p1: expected int, for i32, not str"),
    ],
)
def test_call_that_does_not_fit_is_told(places: tuple[Any, ...], names: dict[str, Any], told: str) -> None:
    """The same words whether Python has the values in a row or in a tuple."""
    with Plugin(SUB) as plugin:
        for call in (plugin.sub, plugin.sub.__call__):
            with pytest.raises(TypeError, match=told):
                call(*places, **names)


def test_values_and_functions_keep_the_references_that_they_had() -> None:
    """Of calls that give, that raise and that do not fit, by place and by name."""
    words, names = "a text that is nobody else's", {"p1": 3}
    with Plugin(SUB) as plugin, plugin_of(Echo("string")) as echo:
        of_string = echo.exports["memory-0"]
        places = (words, *[0] * PADDING)
        misfits: list[Callable[[], object]] = [
            lambda: plugin.sub(words, 1), lambda: of_string(words), lambda: plugin.sub(1, p0=words),
        ]  # fmt: skip

        def counts() -> list[int]:
            return [sys.getrefcount(value) for value in (words, names, plugin.sub, of_string, type(plugin.sub))]

        def work(times: int) -> None:
            for _ in range(times):
                of_string(*places)
                plugin.sub(3, **names)
                for call in misfits:
                    with pytest.raises(TypeError):
                        call()

        work(10)
        before = counts()
        work(1_000)
        assert before == counts()


def test_functions_go_with_their_plugins() -> None:
    """Their type is there once."""
    with Plugin(SUB) as plugin:
        kind = type(plugin.sub)
    del plugin
    for _ in range(50):
        with Plugin(SUB) as plugin:
            assert kind is type(plugin.sub)
        del plugin
    gc.collect()

    assert [] == [one for one in gc.get_objects() if type(one) is kind and one.__name__ == "sub"]


def test_functions_are_made_by_plugins_only() -> None:
    """Nobody else can make one, or a class of them."""
    with Plugin(SUB) as plugin:
        kind = type(plugin.sub)
        with pytest.raises(TypeError):
            kind()
        with pytest.raises(TypeError):
            kind(plugin.sub)
        with pytest.raises(TypeError, match="not an acceptable base type"):
            type("Ours", (kind,), {})
