"""What of a function travels, and what is refused with a way out."""

from __future__ import annotations

import functools
import math
import xml.etree.ElementTree  # noqa: ICN001 - reached through `xml`
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from ringfence._function_source import function_source

if TYPE_CHECKING:
    from collections.abc import Callable

RATES: dict[str, Any] = {"tea": (1, 2.5), "endless": float("inf")}


class Price:
    """A class of this module."""

    def of(self, amount: int) -> int:
        """Give what is a method."""
        return amount


A_PRICE = Price()


def double(number: int) -> int:
    """Help another function."""
    return number * 2


def factorial(number: int) -> int:
    """Call itself."""
    return 1 if number < 2 else number * factorial(number - 1)


def everything(number: int, *, rate: float = math.pi, table: dict[str, Any] = RATES) -> tuple[Any, ...]:
    """Name one of each kind."""
    tag = xml.etree.ElementTree.fromstring("<a/>").tag  # noqa: S314 - our own text
    return double(number), factorial(5), rate, table["endless"], Counter("aab")["a"], tag, RATES["tea"][1]


def uses_a_class() -> Price:
    """Name what cannot travel."""
    return Price()


def uses_an_object() -> int:
    """Name what cannot travel."""
    return A_PRICE.of(1)


@functools.cache
def decorated(number: int) -> int:
    """Be something else than what was written."""
    return number


def closure() -> Callable[[], int]:
    """Make a function that belongs to this one."""
    inner = 1
    return lambda: inner


def made_by_exec() -> Any:
    """Make a function that was in no file."""
    names: dict[str, Any] = {}
    exec("def nowhere(): return 1", names)  # noqa: S102 - our own text
    return names["nowhere"]


def closed(number: int) -> Callable[[], int]:
    """Make a closure with a name."""

    def inside() -> int:
        return number

    return inside


def test_everything_that_a_function_names_goes_along() -> None:
    """The source alone gives what the function gives, in a module that has nothing else."""
    names: dict[str, Any] = {}

    exec(compile(function_source(everything), "<travelled>", "exec"), names)  # noqa: S102 - our own text

    assert everything(21) == names["everything"](21)


def test_annotations_are_not_evaluated() -> None:
    """A type that exists here only is no reason for a function not to travel."""
    names: dict[str, Any] = {}

    exec(compile(function_source(closed), "<travelled>", "exec"), names)  # noqa: S102 - our own text

    assert 3 == names["closed"](3)()


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda number: number, "it is a lambda"),
        (closed(1), "it is a closure: `number` belong"),
        (closure(), "it is a lambda"),
        (A_PRICE.of, "it is a method"),
        (print, "it is of type builtin_function_or_method"),
        (Price, "it is of type type"),
        (functools.partial(double, 1), "it is of type partial"),
        (decorated, "it is of type _lru_cache_wrapper"),
        (functools.wraps(double)(lambda number: number), "a decorator has put another function in its place"),
        (uses_a_class, "it uses the class `Price` of its module"),
        (uses_an_object, "it uses `A_PRICE`, of type Price"),
        (made_by_exec(), "its source cannot be found"),
    ],
)
def test_what_does_not_travel_says_why_and_what_to_do(function: Any, why: str) -> None:
    """Nothing is guessed: a function that would be another one in the sandbox is refused."""
    with pytest.raises(TypeError) as refused:
        function_source(function)

    assert why in str(refused.value)
    assert "\nhint: " in str(refused.value)
