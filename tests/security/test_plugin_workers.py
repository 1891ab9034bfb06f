"""Attacks of plugins in workers: what dies with which, what is left, and what a worker that has fallen may do."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from plugins.streaming import STREAMS, streaming
from ringfence import (
    APlugin,
    CallbackAbandoned,
    Crashed,
    Limits,
    LoadError,
    Plugin,
    PluginError,
    PluginPool,
    Policy,
    PolicyError,
    Trapped,
    WallReached,
)
from security.test_session_worker import others
from security.test_worker import walled
from waiting import late, until

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["others"]  # a fixture

WORKERS = ("process", "worker")

# `ask` hands a number on to the host, `add` adds what it has kept, `spin` never returns, `fill` takes memory.
ASKING = b"""(component
  (import "host" (func $host (param "number" s32) (result s32)))
  (core func $host (canon lower (func $host)))
  (core module $m (import "h" "host" (func $host (param i32) (result i32)))
    (memory 1)
    (global $sum (mut i32) (i32.const 0))
    (func (export "ask") (param i32) (result i32) (call $host (local.get 0)))
    (func (export "add") (param i32) (result i32)
      (global.set $sum (i32.add (global.get $sum) (local.get 0))) (global.get $sum))
    (func (export "spin") (loop $l (br $l)))
    (func (export "fill") (param i32) (result i32) (memory.grow (local.get 0))))
  (core instance $i (instantiate $m (with "h" (instance (export "host" (func $host))))))
  (func (export "ask") (param "number" s32) (result s32) (canon lift (core func $i "ask")))
  (func (export "add") (param "number" s32) (result s32) (canon lift (core func $i "add")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "fill") (param "pages" s32) (result s32) (canon lift (core func $i "fill"))))"""

# `add` gives the sum so far and adds to it, `made` makes a directory in `/tmp`, or says why it cannot.
KEEPING = b"""(module
  (import "wasi_snapshot_preview1" "path_create_directory" (func $make (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "tmp/mine")
  (func (export "add") (param i32) (result i32)
    (i32.load (i32.const 0)) (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (local.get 0))))
  (func (export "made") (result i32) (call $make (i32.const 3) (i32.const 100) (i32.const 8)))
  (func (export "trap") unreachable))"""


def same(number: int) -> int:
    """Give back what it is given."""
    return number


def asking(host: Callable[[int], object] = same, **given: Any) -> Plugin:
    """Load it in a worker."""
    return Plugin(ASKING, imports={"host": host}, **{"isolation": "worker", **given})


def opened(**given: Any) -> tuple[Plugin, int]:
    """Load it, and find its worker: the one that is bound."""
    before = walled()
    plugin = asking(**given)
    [worker] = walled() - before
    return plugin, worker


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_worker_that_dies_in_a_call_poisons_its_plugin_and_no_other(death: int) -> None:
    """The call ends as a run does; one that stops to answer is killed at the deadline. `restart` begins anew."""
    policy = Policy(limits=Limits(wall="1s"))
    with asking(policy=policy) as other:
        plugin, worker = opened(policy=policy)
        killing = threading.Timer(0.1, os.kill, (worker, death))
        killing.start()
        began = time.monotonic()
        with pytest.raises(WallReached if death == signal.SIGSTOP else Crashed):
            plugin.spin()
        killing.join()

        assert time.monotonic() - began < 1 + late()
        assert plugin.poisoned is not None
        with pytest.raises(PluginError):
            plugin.add(1)
        plugin.restart()
        assert (1, 1) == (plugin.add(1), other.add(1))
        plugin.close()


def test_worker_that_dies_between_calls_is_a_crash_of_the_next() -> None:
    """Nobody takes what it held for what a new one has."""
    plugin, worker = opened()
    assert 7 == plugin.add(7)
    os.kill(worker, signal.SIGKILL)

    with pytest.raises(Crashed, match="worker"):
        plugin.add(1)
    plugin.restart()
    assert 1 == plugin.add(1)
    plugin.close()


def test_worker_that_dies_inside_of_a_function_of_the_host_is_a_crash() -> None:
    """What the function gives then reaches nobody."""
    worker = 0

    def host(number: int) -> int:
        os.kill(worker, signal.SIGKILL)
        return number

    plugin, worker = opened(host=host)
    with plugin, pytest.raises(Crashed):
        plugin.ask(1)


@pytest.mark.parametrize("isolation", WORKERS)
def test_function_that_blocks_is_left_at_the_deadline(isolation: str) -> None:
    """The worker is killed, though its guest does not compute; the function is left to itself, with a warning."""
    release = threading.Event()

    def host(number: int) -> int:
        release.wait(20)
        return number

    policy = Policy(limits=Limits(wall="300ms"))
    with asking(host, policy=policy, isolation=isolation) as plugin:
        began = time.monotonic()
        with pytest.warns(CallbackAbandoned), pytest.raises(WallReached):
            plugin.ask(1)

        assert time.monotonic() - began < 0.3 + late()
        release.set()
        plugin.restart()
        assert 5 == plugin.add(5)


def test_guest_does_not_go_on_after_a_function_that_came_back_late() -> None:
    """Inline, the caller waits for its own function; what that gives past the deadline is nothing's."""

    def host(number: int) -> int:
        time.sleep(0.4)
        return number

    with asking(host, policy=Policy(limits=Limits(wall="200ms")), inline=True) as plugin:
        began = time.monotonic()
        with pytest.raises(WallReached):
            plugin.ask(1)
        assert time.monotonic() - began < 0.4 + late()


def test_error_of_a_function_comes_out_as_itself() -> None:
    """It stays in this process: its worker is told that it broke, and nothing else."""
    error = KeyError("secret")

    def host(_: int) -> int:
        raise error

    with asking(host) as plugin:
        with pytest.raises(KeyError) as caught:
            plugin.ask(1)
        assert error is caught.value
        assert "KeyError" in str(plugin.poisoned)
        plugin.restart()
        assert 2 == plugin.add(2)


def test_call_into_a_busy_plugin_is_an_error() -> None:
    """A function that calls the plugin which is inside of it."""
    plugin: Plugin

    def host(number: int) -> int:
        with pytest.raises(PluginError, match="one at a time"):
            plugin.add(1)
        return number

    with asking(host) as plugin:
        assert 3 == plugin.ask(3)


def test_closed_plugin_leaves_no_worker() -> None:
    """Closed or collected: a worker goes with its plugin."""
    plugin, worker = opened()
    plugin.close()
    until(lambda: worker not in walled())
    del plugin
    again, worker = opened()
    del again
    until(lambda: worker not in walled())


def test_instance_that_begins_anew_finds_nothing_of_the_one_before() -> None:
    """It is in the same worker: another memory, other files; after a trap or a limit it has another worker."""
    with Plugin(KEEPING, policy=Policy(tmp=True), isolation="worker") as plugin:
        before = walled()
        for _ in range(3):
            assert (0, 0) == (plugin.add(7), plugin.made())
            assert (7, 20) == (plugin.add(0), plugin.made())
            plugin.restart()
            assert before == walled()
        with pytest.raises(Trapped):
            plugin.trap()
        plugin.restart()
        assert 0 == plugin.add(0)


def test_instance_that_begins_anew_has_a_worker_though_the_one_before_was_killed() -> None:
    """Nobody waits for one that is gone."""
    plugin, worker = opened()
    with plugin:
        os.kill(worker, signal.SIGKILL)
        plugin.restart()
        assert 1 == plugin.add(1)


def test_fresh_instances_for_each_call_are_in_one_worker() -> None:
    """Each finds nothing of the one before."""
    before = walled()
    with PluginPool(1, ASKING, imports={"host": same}, isolation="worker", fresh="call") as pool:
        assert [3, 3, 3] == [pool.add(3) for _ in range(3)]
        assert 1 == len(walled() - before)


def test_memory_of_a_guest_in_a_worker_is_bounded_by_its_policy() -> None:
    """And told, as in this process."""
    with asking(policy=Policy(limits=Limits(memory="1MiB"))) as plugin:
        assert [1, -1] == [plugin.fill(10), plugin.fill(10)]
        assert 0 < plugin.usage.memory_bytes <= 1 << 20


def test_fuel_of_a_guest_in_a_worker_is_counted_for_each_call() -> None:
    """From the start each time."""
    with asking(policy=Policy(limits=Limits(fuel=1000))) as plugin:
        used = []
        for _ in range(2):
            plugin.add(1)
            used.append(plugin.usage.last_fuel)
        assert used[0]
        assert used[0] == used[1]


def test_plugin_that_does_not_cross_is_refused_with_its_reason() -> None:
    """Before anything of it runs."""
    with pytest.raises(LoadError, match="it has streams or futures"):
        Plugin(streaming("u32", 4), policy=STREAMS, isolation="worker")


def test_tenant_without_a_process_of_its_own_is_refused() -> None:
    """As for a sandbox."""
    with pytest.raises(PolicyError, match="tenant"):
        Plugin(ASKING, imports={"host": same}, tenant="alice")


def test_instances_of_a_pool_have_a_worker_each() -> None:
    """An instance whose worker fell is nobody's again."""
    before = walled()
    gate = threading.Barrier(2)

    def host(number: int) -> int:
        gate.wait(20)
        return number

    with PluginPool(2, ASKING, imports={"host": host}, isolation="worker") as pool:
        threads = [threading.Thread(target=pool.ask, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 2 == len(walled() - before)
        for worker in walled() - before:
            os.kill(worker, signal.SIGKILL)
        with pytest.raises(Crashed):
            pool.add(1)
        assert 1 == pool.add(1)


def test_cancelled_task_ends_its_call_in_a_worker() -> None:
    """An `async def` of the caller's runs in its loop meanwhile."""

    async def host(number: int) -> int:
        await asyncio.sleep(0)
        return number + 1

    async def calls() -> float:
        given: dict[str, Any] = {"imports": {"host": host}, "isolation": "worker"}
        async with APlugin(ASKING, policy=Policy(limits=Limits(wall="30s")), **given) as plugin:
            assert 3 == await plugin.exports.ask(2)
            task = asyncio.create_task(plugin.exports.spin())
            await asyncio.sleep(0.1)
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            ended = time.monotonic() - began
            await plugin.arestart()
            assert 1 == await plugin.exports.add(1)
            return ended

    assert asyncio.run(calls()) < 1
