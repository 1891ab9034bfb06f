"""Attacks of plugins on streams: without end, without values, forged, far too many, and readers that stay away."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plugins.streaming import STREAMS, streaming
from ringfence import LimitReached, Limits, Plugin, PluginError, Policy, Trapped, WallReached

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORT = Policy(wasi="0.3", limits=Limits(wall="300ms"))
# How much longer than its deadline a call may take on a machine that is busy.
SLACK_SECONDS = 3

# Each function gives a stream that is not what it seems; `$MAIN` is the body of the one that does.
HOSTILE = """(component
  (type $s (stream string))
  (core module $memory (memory (export "memory") 300))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (core func $give (canon task.return (result $s)))
  (core func $new (canon stream.new $s))
  (core func $write (canon stream.write $s async (memory $mem)))
  (core func $end (canon stream.drop-writable $s))
  (core func $set (canon waitable-set.new))
  (core func $join (canon waitable.join))
  (core func $wait (canon waitable-set.wait (memory $mem)))
  (core module $m
    (import "host" "memory" (memory 300))
    (import "host" "give" (func $give (param i32)))
    (import "host" "new" (func $new (result i64)))
    (import "host" "write" (func $write (param i32 i32 i32) (result i32)))
    (import "host" "end" (func $end (param i32)))
    (import "host" "set" (func $set (result i32)))
    (import "host" "join" (func $join (param i32 i32)))
    (import "host" "wait" (func $wait (param i32 i32) (result i32)))
    (func $reads (param i64) (result i32) (i32.wrap_i64 (local.get 0)))
    (func $writes (param i64) (result i32) (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32))))
    (func $done (param $end i32) (param $status i32)
      (local $waiting i32)
      (if (i32.eq (local.get $status) (i32.const -1)) (then
        (local.set $waiting (call $set))
        (call $join (local.get $end) (local.get $waiting))
        (drop (call $wait (local.get $waiting) (i32.const 64))))))
    (func (export "main") (result i32) (local $ends i64) (local $at i32) $MAIN (i32.const 0))
    (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m (with "host" (instance
    (export "memory" (memory $mem)) (export "give" (func $give)) (export "new" (func $new))
    (export "write" (func $write)) (export "end" (func $end))
    (export "set" (func $set)) (export "join" (func $join)) (export "wait" (func $wait))))))
  (func (export "main") async (result $s)
    (canon lift (core func $i "main") async (callback (core func $i "callback")))))"""
GIVE = "(local.set $ends (call $new)) (call $give (call $reads (local.get $ends)))"
WRITE = """(call $done (call $writes (local.get $ends))
  (call $write (call $writes (local.get $ends)) (i32.const 1024) (i32.const 1)))"""


def hostile(main: str, policy: Policy = STREAMS) -> Plugin:
    """Give the plugin whose function does that."""
    return Plugin(HOSTILE.replace("$MAIN", main).encode(), policy=policy)


def numbers(policy: Policy = STREAMS, **imports: object) -> Plugin:
    """Give one with streams of numbers."""
    return Plugin(streaming("u32", 4), policy=policy, imports={"take": sum, "give": range, **imports})


def resident() -> int:
    """Tell how much memory this process has, in kB."""
    gc.collect()
    return int(Path("/proc/self/status").read_text(encoding="ascii").split("VmRSS:")[1].split()[0])


def test_stream_without_end_costs_the_host_one_piece() -> None:
    """Its guest writes no further than somebody reads."""
    with numbers() as plugin:
        stream = plugin.count(2**32 - 1)
        next(stream)
        before = resident()
        assert list(range(1, 5000)) == list(itertools.islice(stream, 4999))
        assert resident() - before < 20_000


def test_iterator_without_end_is_stopped_at_the_deadline() -> None:
    """A plugin that reads it all never returns."""
    with numbers(SHORT) as plugin:
        began = time.monotonic()
        with pytest.raises(WallReached):
            plugin.total(itertools.repeat(1))

        assert time.monotonic() - began < SLACK_SECONDS


@pytest.mark.parametrize("main", [GIVE, f"{GIVE} (loop (br 0))"])
def test_writer_that_never_writes_is_stopped_at_the_deadline(main: str) -> None:
    """Whether it waits, or computes."""
    with hostile(main, SHORT) as plugin:
        began = time.monotonic()
        with pytest.raises(WallReached):
            next(plugin.main())

        assert time.monotonic() - began < SLACK_SECONDS
        assert "wall" in (plugin.poisoned or "")


@pytest.mark.filterwarnings("ignore::ringfence.CallbackAbandoned")
def test_iterator_that_blocks_is_left_at_the_deadline() -> None:
    """Its caller returns; the iterator has its thread to itself."""
    go_on = threading.Event()

    def blocks() -> Iterator[int]:
        go_on.wait(30)
        yield 1

    with numbers(SHORT) as plugin:
        began = time.monotonic()
        with pytest.raises(WallReached):
            plugin.total(blocks())

        assert time.monotonic() - began < SLACK_SECONDS
        go_on.set()


def test_function_that_reads_is_left_at_the_deadline() -> None:
    """What it waits for ends with the call that wrote it, as an error."""
    ended: list[BaseException] = []
    over = threading.Event()

    def take(stream: Iterator[int]) -> int:
        try:
            return sum(stream)
        except BaseException as error:
            ended.append(error)
            raise
        finally:
            over.set()

    with numbers(SHORT, take=take) as plugin:
        began = time.monotonic()
        with pytest.raises(WallReached):
            plugin.hand(2**32 - 1)

        assert time.monotonic() - began < SLACK_SECONDS
        assert over.wait(10)
        assert isinstance(ended[0], PluginError)


@pytest.mark.parametrize(
    "main",
    [
        "(call $give (i32.const 77))",
        "(local.set $ends (call $new)) (call $give (call $writes (local.get $ends)))",
        f"{GIVE} (call $give (call $reads (local.get $ends)))",
        f"{GIVE} (call $end (call $reads (local.get $ends)))",
        f"{GIVE} (call $end (call $writes (local.get $ends))) (call $end (call $writes (local.get $ends)))",
    ],
    ids=["no end", "the other end", "twice", "given away", "dropped twice"],
)
def test_forged_end_of_a_stream_is_a_trap(main: str) -> None:
    """A number that is no end of that stream leads to nothing."""
    with hostile(main) as plugin, pytest.raises(Trapped):
        list(plugin.main())


@pytest.mark.parametrize(
    "text",
    [
        "(i32.store (i32.const 1024) (i32.const 2000)) (i32.store (i32.const 1028) (i32.const -1))",
        "(i32.store16 (i32.const 2000) (i32.const 255)) (i64.store (i32.const 1024) (i64.const 0x2000007d0))",
    ],
    ids=["past the end", "no text"],
)
def test_value_that_is_none_of_its_type_is_a_trap(text: str) -> None:
    """Checked as it is read, as every value is."""
    with hostile(f"{GIVE} {text} {WRITE}") as plugin, pytest.raises(Trapped):
        list(plugin.main())


def test_values_that_cost_the_host_more_than_it_may_hold_are_a_limit() -> None:
    """A thousand times the same memory, of which each is a copy of its own."""
    same = """(loop $more
      (i32.store (i32.add (i32.const 1024) (local.get $at)) (i32.const 65536))
      (i32.store (i32.add (i32.const 1028) (local.get $at)) (i32.const 8000000))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $more (i32.lt_u (local.get $at) (i32.const 8000))))"""
    write = WRITE.replace("(i32.const 1)))", "(i32.const 1000)))")
    with hostile(f"{GIVE} {same} {write}") as plugin, pytest.raises(LimitReached, match="host_bytes"):
        next(plugin.main())


def test_streams_without_number_are_a_limit() -> None:
    """Each costs the host some hundred bytes."""
    with hostile("(loop $more (drop (call $new)) (br $more))", Policy(wasi="0.3")) as plugin:
        before = resident()
        with pytest.raises((Trapped, LimitReached)):
            plugin.main()
        assert resident() - before < 50_000


def test_many_streams_leave_nothing_behind() -> None:
    """Read, closed or forgotten."""
    with numbers() as plugin:
        for turn in range(6000):
            if turn == 1000:
                gc.collect()
                before = resident()
            stream = plugin.count(3)
            if turn % 3 == 0:
                assert [0, 1, 2] == list(stream)
            elif turn % 3 == 1:
                next(stream)
                stream.close()
            else:
                del stream
            assert 6 == plugin.total(iter([1, 2, 3]))
        assert resident() - before < 10_000
