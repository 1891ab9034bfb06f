"""Functions of the host are found, and looked at before anything is loaded."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ringfence import LoadError, Plugin
from ringfence._plugin_imports import functions_of

RENDERER = Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat"

STORE: list[Any] = [("app:host/store@1.0.0", [("get-item", [("key", 0)], None, "get-item: func(key: u8)")], [])]


class Store:
    """Holds nothing."""

    @staticmethod
    def get_item(key: int) -> int:
        """Give it back."""
        return key


@pytest.mark.parametrize("key", ["app:host/store@1.0.0", "app:host/store", "store"])
@pytest.mark.parametrize(
    "given", [Store, Store(), {"get-item": Store.get_item}, {"get_item": Store.get_item}, SimpleNamespace(get_item=int)]
)
def test_any_object_with_the_functions_will_do(key: str, given: object) -> None:
    """A class, an object, a mapping; under the interface's name with or without its version, or its short one."""
    [function] = functions_of({key: given}, STORE, "p")

    assert function is not None
    assert 5 == function(5)


def test_function_at_the_root_is_given_by_its_own_name() -> None:
    """Without an interface around it."""
    root: list[Any] = [("", [("log-line", [("text", 0)], None, "log-line: func(text: string)")], [])]

    assert [math.sqrt] == functions_of({"log_line": math.sqrt}, root, "p")


async def later(key: int) -> int:
    """Come later."""
    await asyncio.sleep(0)
    return key


def test_function_that_is_async_is_waited_for() -> None:
    """With an event loop around the call, or without one."""
    [called] = functions_of({"store": {"get-item": later}}, STORE, "p")
    assert called is not None

    async def inside() -> object:
        return called(6)

    assert (5, 6) == (called(5), asyncio.run(inside()))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, r"`app:host/store@1.0.0: get-item: func\(key: u8\)` is missing"),
        ({"store": Store(), "stroe": Store()}, "`stroe` is nothing that it imports"),
        ({"store": {"get-item": 5}}, "is 5, which cannot be called"),
        ({"store": {"get-item": lambda: 5}}, r"is called with 1 argument, and the function takes \(\)"),
    ],
)
def test_what_does_not_fit_is_named_with_the_signature(given: dict[str, object], why: str) -> None:
    """All of it, before the plugin is loaded."""
    with pytest.raises(LoadError, match=why):
        functions_of(given, STORE, "p")


def test_many_that_are_missing_are_counted() -> None:
    """Ten of them are named."""
    many: list[Any] = [("a:b/c", [(f"f{n}", [], None, f"f{n}: func()") for n in range(15)], [])]

    with pytest.raises(LoadError, match="; and 5 more"):
        functions_of({}, many, "p")


class TheStore:
    """What a host has for an interface."""

    def get(self, name: str) -> str:
        """Give it back."""
        return name


@pytest.mark.parametrize("wrong", [TheStore(), "x", {"app:host/store"}, ["app:host/store"], 0])
def test_imports_that_are_no_mapping_are_refused_with_the_one_to_write(wrong: Any) -> None:
    """The object itself is what is given first."""
    own = "TheStore()" if isinstance(wrong, TheStore) else "…"
    with pytest.raises(TypeError, match="`imports` has an object for each interface by its name") as caught:
        Plugin(RENDERER, imports=wrong)

    assert f'hint: `imports={{"app:host/store": {own}}}`' in str(caught.value)
