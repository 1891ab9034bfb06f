"""Async functions of both sides, where the policy lets a plugin use WASI 0.3."""

from __future__ import annotations

import asyncio
import time

import pytest

from ringfence import Limits, LoadError, Plugin, Policy, WallReached

ASYNC = Policy(wasi="0.3", limits=Limits(wall="10s"))

# `greet` is async and calls `fetch` for each number; `both` has two calls of it under way at once.
PROGRAM = b"""(component
  (import "fetch" (func $fetch async (param "x" u32) (result u32)))
  (core module $memory (memory (export "memory") 1) (data (i32.const 16) "hello"))
  (core instance $memory (instantiate $memory))
  (core func $blocking (canon lower (func $fetch)))
  (core func $begun (canon lower (func $fetch) async (memory (core memory $memory "memory"))))
  (core func $text (canon task.return (result string) (memory (core memory $memory "memory"))))
  (core func $number (canon task.return (result u32)))
  (core func $nothing (canon task.return))
  (core func $set (canon waitable-set.new))
  (core func $join (canon waitable.join))
  (core func $wait (canon waitable-set.wait (memory (core memory $memory "memory"))))
  (core func $end (canon subtask.drop))
  (core module $m
    (import "host" "memory" (memory 1))
    (import "host" "blocking" (func $blocking (param i32) (result i32)))
    (import "host" "begun" (func $begun (param i32 i32) (result i32)))
    (import "host" "text" (func $text (param i32 i32)))
    (import "host" "number" (func $number (param i32)))
    (import "host" "nothing" (func $nothing))
    (import "host" "set" (func $set (result i32)))
    (import "host" "join" (func $join (param i32 i32)))
    (import "host" "wait" (func $wait (param i32 i32) (result i32)))
    (import "host" "end" (func $end (param i32)))
    (func (export "greet") (result i32) (call $text (i32.const 16) (i32.const 5)) (i32.const 0))
    (func (export "quiet") (result i32) (call $nothing) (i32.const 0))
    (func (export "twice") (param i32) (result i32)
      (call $number (call $blocking (call $blocking (local.get 0)))) (i32.const 0))
    (func $finished (param $set i32) (param $status i32)
      (local $task i32)
      (local.set $task (i32.shr_u (local.get $status) (i32.const 4)))
      (if (local.get $task) (then
        (call $join (local.get $task) (local.get $set))
        (block $over (loop $again
          (drop (call $wait (local.get $set) (i32.const 64)))
          (br_if $again (i32.ne (i32.load (i32.const 68)) (i32.const 2)))))
        (call $join (local.get $task) (i32.const 0))
        (call $end (local.get $task)))))
    (func (export "both") (param i32) (result i32)
      (local $set i32) (local $one i32) (local $other i32)
      (local.set $set (call $set))
      (local.set $one (call $begun (local.get 0) (i32.const 80)))
      (local.set $other (call $begun (i32.add (local.get 0) (i32.const 1)) (i32.const 84)))
      (call $finished (local.get $set) (local.get $one))
      (call $finished (local.get $set) (local.get $other))
      (call $number (i32.add (i32.load (i32.const 80)) (i32.load (i32.const 84))))
      (i32.const 0))
    (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m (with "host" (instance
    (export "memory" (memory $memory "memory")) (export "blocking" (func $blocking)) (export "begun" (func $begun))
    (export "text" (func $text)) (export "number" (func $number)) (export "nothing" (func $nothing))
    (export "set" (func $set)) (export "join" (func $join)) (export "wait" (func $wait)) (export "end" (func $end))))))
  (func (export "greet") async (result string) (canon lift (core func $i "greet") async
    (callback (core func $i "callback")) (memory (core memory $memory "memory"))))
  (func (export "quiet") async (canon lift (core func $i "quiet") async (callback (core func $i "callback"))))
  (func (export "twice") async (param "x" u32) (result u32)
    (canon lift (core func $i "twice") async (callback (core func $i "callback"))))
  (func (export "both") async (param "x" u32) (result u32)
    (canon lift (core func $i "both") async (callback (core func $i "callback")))))"""


def soon(x: int) -> int:
    """Answer at once."""
    return x * 10


async def later(x: int) -> int:
    """Answer after a while."""
    await asyncio.sleep(0.001)
    return x * 10


@pytest.mark.parametrize("fetch", [soon, later])
@pytest.mark.parametrize("inline", [False, True])
def test_async_functions_are_called_and_call_back(fetch: object, *, inline: bool) -> None:
    """With text, a number or nothing as their result; what they import is `def` or `async def`."""
    with Plugin(PROGRAM, policy=ASYNC, imports={"fetch": fetch}, inline=inline) as plugin:
        assert "hello" == plugin.greet()
        assert plugin.quiet() is None
        assert [300, 400] == [plugin.twice(3), plugin.twice(4)]
        assert 30 + 40 == plugin.both(3)
        assert "twice: async func(x: u32) -> u32" == plugin.twice.signature


def test_exception_of_an_async_function_comes_out_as_itself() -> None:
    """Through the guest that waits for it."""

    async def fails(x: int) -> int:
        await asyncio.sleep(0)
        raise LookupError(x)

    with Plugin(PROGRAM, policy=ASYNC, imports={"fetch": fails}) as plugin, pytest.raises(LookupError, match="3"):
        plugin.both(3)


@pytest.mark.filterwarnings("ignore::ringfence.CallbackAbandoned")
def test_async_call_ends_at_its_deadline() -> None:
    """However long what it waits for takes."""
    policy = Policy(wasi="0.3", limits=Limits(wall="300ms"))

    async def never(x: int) -> int:
        await asyncio.sleep(5)
        return x

    with Plugin(PROGRAM, policy=policy, imports={"fetch": never}) as plugin:
        began = time.monotonic()
        with pytest.raises(WallReached):
            plugin.twice(3)

        assert time.monotonic() - began < 4


def test_async_functions_need_the_policys_word() -> None:
    """What they need is named, and how it is let."""
    with pytest.raises(LoadError, match="async feature") as caught:
        Plugin(PROGRAM, imports={"fetch": soon})

    assert "`--wasi 0.3`" in caught.value.fix
