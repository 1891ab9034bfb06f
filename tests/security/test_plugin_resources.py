"""Attacks of plugins on handles: forged, dropped twice, of another type, kept too long, and far too many."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plugins.resources import COUNTERS, KEEPER, Blobs
from ringfence import LimitReached, Limits, Plugin, PluginError, Policy, Trapped, WallReached

if TYPE_CHECKING:
    from ringfence._isolation import Isolation

SHORT = Policy(limits=Limits(wall="300ms"))
# How much longer than its deadline a call may take on a machine that is busy.
SLACK_SECONDS = 3

# `cross` takes a handle of one of its resources for one of the other's.
TWO = b"""(component
  (type $cat (resource (rep i32)))
  (type $dog (resource (rep i32)))
  (core func $new (canon resource.new $cat))
  (core module $m (import "host" "new" (func $new (param i32) (result i32)))
    (func (export "cross") (result i32) (call $new (i32.const 7))))
  (core instance $i (instantiate $m (with "host" (instance (export "new" (func $new))))))
  (func $cross (result (own $dog)) (canon lift (core func $i "cross")))
  (component $shim
    (import "dog" (type $d (sub resource)))
    (import "cross" (func $cross (result (own $d))))
    (export $dog "dog" (type $d))
    (export "cross" (func $cross) (func (result (own $dog)))))
  (instance $api (instantiate $shim (with "dog" (type $dog)) (with "cross" (func $cross))))
  (export "test:zoo/pets" (instance $api)))"""


def resident() -> int:
    """Tell how much memory this process has, in kB."""
    gc.collect()
    fields = Path("/proc/self/status").read_text(encoding="ascii").split("VmRSS:")[1]
    return int(fields.split()[0])


@pytest.mark.parametrize("handle", [0, 1, 2, 77, 2**28, 2**32 - 1])
def test_forged_handle_is_a_trap(handle: int, place: Isolation) -> None:
    """A number that is no handle of that resource leads to nothing."""
    with Plugin(COUNTERS, isolation=place) as plugin:
        with pytest.raises(Trapped, match="handle"):
            plugin.exports.counters.forge(handle)

        assert "trapped" in str(plugin.poisoned)


def test_handle_that_the_host_owns_is_not_the_plugins_to_give_again(place: Isolation) -> None:
    """What it handed over is gone from its table."""
    with Plugin(COUNTERS, isolation=place) as plugin:
        plugin.exports.counters.Counter(1)
        held = plugin.exports.counters.Counter(2)
        with pytest.raises(Trapped):
            plugin.exports.counters.forge(1)
        with pytest.raises(ValueError, match="is of an instance that is gone"):
            held.add(1)


def test_handle_of_another_type_is_a_trap(place: Isolation) -> None:
    """A cat is no dog, though both are numbers."""
    with Plugin(TWO, isolation=place) as plugin, pytest.raises(Trapped, match="handle"):
        plugin.exports.pets.cross()


def test_handle_dropped_twice_is_a_trap(place: Isolation) -> None:
    """By the plugin itself, where the second is nothing's any more."""
    with Plugin(COUNTERS, isolation=place) as plugin:
        counter = plugin.exports.counters.Counter(1)
        with pytest.raises(Trapped):
            plugin.exports.counters.twice(counter)
        counter.drop()


@pytest.mark.parametrize("handle", [1, 5, 2**32 - 1])
def test_forged_handle_reaches_no_object_of_the_host(handle: int, place: Isolation) -> None:
    """A method of the host's is called for what the plugin was given, and nothing else."""
    with Plugin(KEEPER, imports={"blobs": Blobs}, isolation=place) as plugin, pytest.raises(Trapped):
        plugin.probe(handle)


def test_borrowed_handle_that_is_kept_is_a_trap(place: Isolation) -> None:
    """The call that it was lent to does not return without it."""
    blob = Blobs.Blob(3)
    with Plugin(KEEPER, imports={"blobs": Blobs}, isolation=place) as plugin, pytest.raises(Trapped, match="borrow"):
        plugin.hold(blob)


def test_million_handles_are_a_limit(place: Isolation) -> None:
    """They are the host's memory: a plugin has 100,000 of its own and of the host's together."""
    with (
        Plugin(COUNTERS, isolation=place) as plugin,
        Plugin(KEEPER, imports={"blobs": Blobs}, isolation=place) as keeper,
    ):
        before = resident()
        leaks = [plugin.exports.counters.leak, plugin.exports.counters.many]
        if place == "wasm":
            # Where each costs no message.
            leaks.append(keeper.pile)
        for leak in leaks:
            with pytest.raises(LimitReached) as caught:
                leak(1_000_000)
            assert "host_bytes" == caught.value.result.limit
            plugin.restart()
            keeper.restart()

        assert resident() - before < 200 << 10


def test_end_of_a_resource_that_traps_poisons(place: Isolation) -> None:
    """Whoever drops it hears of it, and whoever calls after it was collected."""
    with Plugin(COUNTERS, isolation=place) as plugin:
        counter = plugin.exports.counters.Counter(666)
        with pytest.raises(Trapped, match="unreachable"):
            counter.drop()
        with pytest.raises(PluginError, match="trapped"):
            plugin.exports.counters.live()
        plugin.restart()
        plugin.exports.counters.Counter(666)
        with pytest.raises(Trapped, match="unreachable"):
            plugin.exports.counters.live()


def test_end_of_a_resource_that_never_returns_is_stopped_at_the_deadline(place: Isolation) -> None:
    """As any call is; a collection of garbage never waits for it."""
    with Plugin(COUNTERS, policy=SHORT, isolation=place) as plugin:
        counter = plugin.exports.counters.Counter(999)
        began = time.monotonic()
        with pytest.raises(WallReached):
            counter.drop()
        assert time.monotonic() - began < 0.3 + SLACK_SECONDS
        plugin.restart()
        plugin.exports.counters.Counter(999)
        gc.collect()
        assert plugin.poisoned is None
        with pytest.raises(WallReached):
            plugin.exports.counters.live()


def test_many_resources_leave_nothing_behind(place: Isolation) -> None:
    """A hundred thousand of them, of both sides, dropped and collected."""
    with (
        Plugin(COUNTERS, isolation=place) as plugin,
        Plugin(KEEPER, imports={"blobs": Blobs}, inline=True, isolation=place) as keeper,
    ):
        api = plugin.exports.counters
        memory = 0
        for turn in range(11):
            for _ in range(50):
                api.many(100)
            for _ in range(100):
                api.Counter(1).drop()
                keeper.keep(Blobs.Blob(1))
                keeper.forget()
            api.live()
            plugin.restart()
            if turn == 0:
                memory = resident()

        assert resident() - memory < 8 << 10
