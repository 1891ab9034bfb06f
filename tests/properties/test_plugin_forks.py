"""Forks of a plugin, and of its forks, are each what a replay of their own calls from the start comes to."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ringfence import Plugin, PluginSnapshot, Trapped

MODULE = b"""(module
  (memory (export "memory") 1 6)
  (data (i32.const 300) "data")
  (table funcref (elem $twice $less))
  (global $word (export "word") (mut i64) (i64.const 0))
  (global $real (mut f64) (f64.const 1))
  (func $twice (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $less (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "step") (param i32) (result i64 f64)
    (global.set $word (i64.add (global.get $word)
      (i64.extend_i32_s (call_indirect (param i32) (result i32) (local.get 0)
        (i32.and (local.get 0) (i32.const 1))))))
    (global.set $real (f64.mul (global.get $real) (f64.const 1.5)))
    (global.get $word) (global.get $real)))"""

PLACES = st.integers(0, 70_000) | st.integers(0, 6 << 16)
CALLS: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just("fill"), PLACES, st.integers(0, 255), st.integers(0, 9000)),
    st.tuples(st.just("copy"), PLACES, PLACES, st.integers(0, 9000)),
    st.tuples(st.just("grow"), st.integers(0, 3)),
    st.tuples(st.just("step"), st.integers(-100, 100)),
    st.tuples(st.just("write"), PLACES, st.binary(min_size=1, max_size=20)),
    st.tuples(st.just("set"), st.integers(-(2**63), 2**63 - 1)),
)
# A call in a branch; or a fork of it: of a snapshot that is kept, or at once.
TURNS = st.lists(
    st.tuples(st.integers(0, 1000), CALLS | st.sampled_from([("fork",), ("keep",), ("again",), ("shut",)])), max_size=30
)


def done(plugin: Plugin, call: tuple[Any, ...]) -> object:
    """Make a call, which may trap, or look at the whole of it."""
    name, *args = call
    try:
        if name == "write":
            plugin.exports.memory.write(*args)
        elif name == "set":
            plugin.exports.word.value = args[0]
        else:
            return getattr(plugin, name)(*args)
    except (Trapped, IndexError) as error:
        if plugin.poisoned:
            plugin.restart()
        return type(error)
    return None


def all_of(plugin: Plugin) -> object:
    """Tell everything of its state."""
    memory = plugin.exports.memory
    return memory.size, memory.read(0, memory.size), plugin.step(0)


@settings(max_examples=100, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(TURNS)
def test_every_branch_is_what_a_replay_comes_to(turns: list[tuple[int, tuple[Any, ...]]]) -> None:
    """Whatever others do before and after, and however many are closed meanwhile."""
    branches: list[tuple[Plugin, list[tuple[Any, ...]]]] = [(Plugin(MODULE), [])]
    kept: list[tuple[PluginSnapshot, list[tuple[Any, ...]]]] = []
    for number, (name, *args) in turns:
        plugin, calls = branches[number % len(branches)]
        if name == "fork":
            branches.append((plugin.fork(), list(calls)))
        elif name == "keep":
            kept.append((plugin.snapshot(), list(calls)))
        elif name == "again" and kept:
            snapshot, of = kept[number % len(kept)]
            branches.extend((fork, list(of)) for fork in snapshot.fork_many(2))
        elif name == "shut" and len(branches) > 1:
            branches.remove((plugin, calls))
            plugin.close()
        elif name not in {"again", "shut"}:
            done(plugin, (name, *args))
            calls.append((name, *args))
    branches.extend((snapshot.fork(), of) for snapshot, of in kept)
    for plugin, calls in branches:
        with Plugin(MODULE) as replayed, plugin:
            for call in calls:
                done(replayed, call)
            assert all_of(replayed) == all_of(plugin)
