"""`PluginPool`, as its caller sees it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from plugins.asking import ASKING
from plugins.resources import COUNTERS
from ringfence import Limits, LoadError, Plugin, PluginError, PluginPool, Policy, Trapped, WallReached
from waiting import late

# count counts the calls of its instance; spin and trap.
COUNTER = b"""(component
  (core module $m
    (global $calls (mut i32) (i32.const 0))
    (func (export "count") (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls))
    (func (export "spin") (loop (br 0)))
    (func (export "trap") unreachable))
  (core instance $i (instantiate $m))
  (func (export "count") (result u32) (canon lift (core func $i "count")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "trap") (canon lift (core func $i "trap"))))"""


def test_calls_of_many_threads_are_in_instances_of_their_own() -> None:
    """As many at one time as there are instances: all of them meet in a function of the host."""
    meeting = threading.Barrier(4, timeout=30)

    def ask(number: int) -> int:
        meeting.wait()
        return number

    with PluginPool(4, ASKING, imports={"ask": ask}) as pool, ThreadPoolExecutor(4) as threads:
        assert list(range(8)) == list(threads.map(pool.ask, range(8)))
        assert 8 == pool.usage.calls == pool.usage.host_calls


def test_call_waits_until_an_instance_is_free() -> None:
    """More threads than instances: all are answered."""
    with PluginPool(2, ASKING, imports={"ask": lambda number: number + 1}) as pool, ThreadPoolExecutor(8) as threads:
        assert [number + 1 for number in range(100)] == list(threads.map(pool.ask, range(100)))


def test_fresh_call_finds_nothing_of_the_one_before() -> None:
    """Each has an instance to itself; without it they are kept."""
    with PluginPool(1, COUNTER, fresh="call") as pool:
        assert [1, 1, 1] == [pool.exports.count() for _ in range(3)]
    with PluginPool(1, COUNTER) as pool:
        assert [1, 2, 3] == [pool.exports.count() for _ in range(3)]


@pytest.mark.parametrize("fresh", [None, "call"])
def test_poisoned_instance_is_replaced(fresh: Any) -> None:
    """The call that trapped is told; the next one begins anew."""
    with PluginPool(1, COUNTER, fresh=fresh) as pool:
        for _ in range(3):
            with pytest.raises(Trapped):
                pool.trap()
            assert pool.poisoned is None

        assert 1 == pool.exports.count()
        assert 4 == pool.usage.calls


def test_restart_replaces_every_instance() -> None:
    """Before its next call."""
    with PluginPool(1, COUNTER) as pool:
        pool.exports.count()
        pool.restart()

        assert 1 == pool.exports.count()


def test_each_call_has_the_limits_to_itself() -> None:
    """Two that spin end at their deadline, side by side."""
    with PluginPool(2, COUNTER, policy=Policy(limits=Limits(wall="200ms"))) as pool, ThreadPoolExecutor(2) as threads:
        began = time.monotonic()
        for ended in [threads.submit(pool.spin) for _ in range(2)]:
            with pytest.raises(WallReached):
                ended.result()

        assert time.monotonic() - began < 0.2 + late()


def test_pool_that_a_function_of_it_calls_is_an_error_and_no_deadlock() -> None:
    """Where no instance is free; where one is, it is called."""
    pool: PluginPool

    def ask(number: int) -> int:
        answer: int = pool.ask(number - 1) if number else 0
        return answer

    with PluginPool(2, ASKING, imports={"ask": ask}) as pool:
        assert 0 == pool.ask(1)
        with pytest.raises(PluginError, match="every instance is in a call"):
            pool.ask(2)


def test_closed_pool_is_gone() -> None:
    """For those too that wait for an instance."""
    inside, released = threading.Event(), threading.Event()

    def ask(number: int) -> int:
        inside.set()
        released.wait(30)
        return number

    pool = PluginPool(1, ASKING, imports={"ask": ask})
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(pool.ask, 1)
        assert inside.wait(30)
        second = threads.submit(pool.ask, 2)
        pool.close()
        with pytest.raises(PluginError, match="it was closed"):
            second.result(30)
        released.set()

        assert 1 == first.result(30)
    with pytest.raises(PluginError, match="it was closed"):
        pool.ask(1)


def test_pool_of_what_belongs_to_one_instance_is_refused_and_says_what_to_do() -> None:
    """A plugin for each thread does what a pool would, from the same code."""
    with pytest.raises(LoadError, match="it has the resource `counter`: each belongs to one instance") as caught:
        PluginPool(2, COUNTERS)
    assert "threading.local()" in caught.value.fix

    kept = threading.local()

    def count(start: int) -> int:
        if not hasattr(kept, "plugin"):
            kept.plugin = Plugin(COUNTERS)
        with kept.plugin.exports.counters.Counter(start) as counter:
            return int(counter.add(1))

    with ThreadPoolExecutor(3) as threads:
        assert list(range(1, 31)) == list(threads.map(count, range(30)))


@pytest.mark.parametrize(
    ("count", "fresh", "kind", "why"),
    [
        (0, None, ValueError, "1 to 1000"),
        (1001, None, ValueError, "1 to 1000"),
        (True, None, TypeError, "a number of instances"),
        ("2", None, TypeError, "a number of instances"),
        (1, "never", ValueError, '"call" or None'),
    ],
)
def test_pool_that_cannot_be_is_refused(count: Any, fresh: Any, kind: type[Exception], why: str) -> None:
    """Before anything is loaded."""
    with pytest.raises(kind, match=why):
        PluginPool(count, b"", fresh=fresh)
