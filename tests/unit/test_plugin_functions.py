"""What stands between a plugin's function and its caller."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from ringfence._plugin_functions import Between, Method


class Function:
    """Like one of a plugin's."""

    signature = "add: func(self: borrow<counter>, by: u32) -> u32"
    Error = ValueError
    __name__ = "add"
    secret = 1

    @property
    def __signature__(self) -> inspect.Signature:
        either = inspect.Parameter.POSITIONAL_OR_KEYWORD
        given = [inspect.Parameter("self", either), inspect.Parameter("by", either, annotation=int)]
        return inspect.Signature(given, return_annotation=int)

    @property
    def __annotations__(self) -> dict[str, Any]:  # type: ignore[override]
        return {"self": object, "by": int, "return": int}

    def __call__(self, *args: object) -> object:
        """Give what it is given."""
        return args

    def result(self, *args: object) -> object:
        """Give it in a list."""
        return [*args]


def test_what_is_known_of_a_function_is_known_of_what_stands_before_it() -> None:
    """And nothing else of it."""
    between: Any = Between(Function())

    assert ("add", ValueError, Function.signature) == (between.__name__, between.Error, between.signature)
    assert "(self, by: int) -> int" == str(inspect.signature(Method(Function())))
    assert f"<function of a plugin, {Function.signature}>" == repr(between)
    with pytest.raises(AttributeError, match="'Between' object has no attribute 'secret'"):
        _ = between.secret


def test_method_of_an_object_is_called_and_told_without_it() -> None:
    """In its class it is told with it."""

    class Counter:
        add = Method(Function())

    counter = Counter()

    assert (counter, 2) == counter.add(2)
    assert [counter, 2] == counter.add.result(2)
    assert ["(by: int) -> int", "(self, by: int) -> int"] == [
        str(inspect.signature(add)) for add in (counter.add, Counter.__dict__["add"])
    ]
    assert {"by": int, "return": int} == counter.add.__annotations__
