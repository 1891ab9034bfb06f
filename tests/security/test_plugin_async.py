"""Attacks of async functions of plugins: on whoever waits for them, here and in workers."""

from __future__ import annotations

import time

import pytest

from ringfence import GuestError, Limits, Policy, Trapped, WallReached
from security.isolated import Plugin

pytestmark = pytest.mark.usefixtures("isolation")

# How much longer than its deadline a call may take on a machine that is busy.
SLACK_SECONDS = 1.5


def awaited(body: str, callback: str) -> bytes:
    """Write a component whose async `f` does this, and this whenever it is called back; `g` gives 7 at once."""
    return f"""(component
      (core func $number (canon task.return (result u32)))
      (core func $set (canon waitable-set.new))
      (core module $m
        (import "host" "number" (func $number (param i32)))
        (import "host" "set" (func $set (result i32)))
        (func (export "f") (result i32) {body})
        (func (export "g") (result i32) (call $number (i32.const 7)) (i32.const 0))
        (func (export "callback") (param i32 i32 i32) (result i32) {callback}))
      (core instance $i (instantiate $m (with "host" (instance
        (export "number" (func $number)) (export "set" (func $set))))))
      (func (export "f") async (result u32) (canon lift (core func $i "f") async (callback (core func $i "callback"))))
      (func (export "g") async (result u32)
        (canon lift (core func $i "g") async (callback (core func $i "callback")))))""".encode()


def policy(wall: str) -> Policy:
    """Let it be async, for so long."""
    return Policy(wasi="0.3", limits=Limits(wall=wall))


@pytest.mark.parametrize(
    ("body", "callback"),
    [
        ("(i32.const 1)", "(i32.const 1)"),
        ("(i32.const 1)", "(loop (br 0)) (i32.const 0)"),
        ("(loop (br 0)) (i32.const 0)", "(i32.const 0)"),
    ],
    ids=["yields", "never comes back", "never begins"],
)
def test_async_function_that_never_ends_is_stopped_at_the_deadline(body: str, callback: str) -> None:
    """However it goes on; the next instance is as any."""
    with Plugin(awaited(body, callback), policy=policy("300ms")) as plugin:
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(WallReached):
                plugin.f()
            assert time.monotonic() - began < 0.3 + SLACK_SECONDS
            assert plugin.poisoned is not None
            plugin.restart()
        assert 7 == plugin.g()


@pytest.mark.parametrize(
    "body",
    [
        "(i32.const 0)",
        "(call $number (i32.const 1)) (call $number (i32.const 2)) (i32.const 0)",
        "(i32.const 7)",
        "(i32.or (i32.const 2) (i32.shl (i32.const 99) (i32.const 4)))",
        "unreachable",
    ],
    ids=["no answer", "two answers", "a word that is none", "a forged set", "a trap"],
)
def test_async_function_that_breaks_the_rules_is_a_trap(body: str) -> None:
    """Nobody waits for what it can no longer give."""
    with Plugin(awaited(body, "(i32.const 0)"), policy=policy("20s")) as plugin:
        with pytest.raises(Trapped):
            plugin.f()
        plugin.restart()
        assert 7 == plugin.g()


def test_async_function_that_waits_for_nothing_ends() -> None:
    """By a trap where that is seen, and otherwise at the deadline."""
    body = "(i32.or (i32.const 2) (i32.shl (call $set) (i32.const 4)))"
    with Plugin(awaited(body, "(i32.const 0)"), policy=policy("300ms")) as plugin:
        with pytest.raises(GuestError):
            plugin.f()
        plugin.restart()
        assert 7 == plugin.g()
