"""What functions of ours find on the threads that they are called on."""

from __future__ import annotations

import contextvars
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from plugins.asking import ASKING
from ringfence import Plugin, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("TENANT", default="nobody")
PROGRAM = b"""(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (func (export "_start") (drop (call $ask (i32.const 1)))))"""
# Many times as long as a thread without a guest stays.
WAIT_SECONDS = 60


def once_by_a_plugin(ask: Callable[[int], int]) -> None:
    """Have it called by a plugin's guest."""
    with Plugin(ASKING, imports={"ask": ask}) as plugin:
        plugin.ask(1)


def once_by_a_program(ask: Callable[[int], int]) -> None:
    """Have it called by a program."""
    Sandbox(PROGRAM, imports={"env": {"ask": ask}}).run().check()


once = pytest.mark.parametrize("once", [once_by_a_plugin, once_by_a_program])


@once
def test_function_sees_the_variables_of_its_caller_and_changes_its_own(once: Callable[[Any], None]) -> None:
    """As what `asyncio.to_thread` runs does."""
    seen: list[str] = []

    def ask(number: int) -> int:
        seen.append(TENANT.get())
        TENANT.set("changed")
        return number

    token = TENANT.set("ours")
    try:
        once(ask)
        assert TENANT.get() == "ours"
    finally:
        TENANT.reset(token)
    once(ask)
    assert seen == ["ours", "nobody"]


def test_functions_of_one_call_share_what_they_set() -> None:
    """They are one piece of work."""
    seen: list[str] = []

    def ask(number: int) -> int:
        seen.append(TENANT.get())
        TENANT.set(f"call {number}")
        return number

    twice = PROGRAM.replace(b"(drop (call $ask (i32.const 1)))", b"(drop (call $ask (call $ask (i32.const 7))))")
    Sandbox(twice, imports={"env": {"ask": ask}}).run().check()
    assert seen == ["nobody", "call 7"]


def test_function_that_calls_an_inline_plugin_on_its_thread_is_in_one_context() -> None:
    """A context cannot be entered twice, and need not be."""
    seen: list[str] = []

    def within(number: int) -> int:
        seen.append(TENANT.get())
        return number

    with Plugin(ASKING, imports={"ask": within}, inline=True) as inner:

        def ask(number: int) -> int:
            TENANT.set("outer")
            return int(inner.ask(number))

        once_by_a_plugin(ask)
    assert seen == ["outer"]


@once
def test_state_of_a_thread_goes_with_the_thread(once: Callable[[Any], None]) -> None:
    """What a function keeps in `threading.local` is freed when the thread has had nothing to do for a while."""
    local = threading.local()

    class Kept:
        pass

    kept: list[weakref.ref[Kept]] = []

    def ask(number: int) -> int:
        local.value = Kept()
        kept.append(weakref.ref(local.value))
        return number

    once(ask)
    end = time.monotonic() + WAIT_SECONDS
    while kept[0]() is not None and time.monotonic() < end:
        time.sleep(0.1)
    assert kept[0]() is None
    once(ask)
    assert len(kept) == 2
