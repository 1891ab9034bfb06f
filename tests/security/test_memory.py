"""Attacks that try to take more memory than was granted, in pieces, behind other names, or on the host's side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Limits, LoadError, Policy
from security.isolated import Sandbox, run

if TYPE_CHECKING:
    from security.conftest import Measure

pytestmark = pytest.mark.usefixtures("isolation")

MIB = 1 << 20
LIMIT_MIB = 32
SLACK_BYTES = 64 * MIB


def growing(memories: int) -> str:
    """Grow each of some memories in turn, by 1 MiB, until no one grows."""
    declared = "\n".join(f"(memory $m{n} 1)" for n in range(memories))
    grow = "\n".join(
        f"(local.set $grown (i32.or (local.get $grown) (i32.ne (memory.grow $m{n} (i32.const 16)) (i32.const -1))))"
        for n in range(memories)
    )
    return f"""
    (module {declared}
      (func (export "_start") (local $grown i32)
        (loop $again (local.set $grown (i32.const 0)) {grow} (br_if $again (local.get $grown)))
        unreachable))
    """


TOUCH = """
(module
  (memory (export "memory") 1)
  (func (export "_start") (local $at i32)
    (loop $again
      (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
      (memory.fill (i32.shl (i32.sub (memory.size) (i32.const 16)) (i32.const 16)) (i32.const 7) (i32.const 1048576))
      (br $again))))
"""
TABLES = """
(module
  (table $a 1 externref) (table $b 1 externref) (table $c 1 funcref)
  (func (export "_start") (local $grown i32)
    (loop $again
      (local.set $grown (i32.ne (table.grow $a (ref.null extern) (i32.const 100000)) (i32.const -1)))
      (local.set $grown (i32.or (local.get $grown)
        (i32.ne (table.grow $b (ref.null extern) (i32.const 100000)) (i32.const -1))))
      (local.set $grown (i32.or (local.get $grown)
        (i32.ne (table.grow $c (ref.null func) (i32.const 100000)) (i32.const -1))))
      (br_if $again (local.get $grown)))
    unreachable))
"""
HEAP = """
(module
  (type $bytes (array (mut i8)))
  (type $cell (struct (field (ref null $cell)) (field (ref $bytes))))
  (func (export "_start") (local $list (ref null $cell))
    (loop $again
      (local.set $list (struct.new $cell (local.get $list) (array.new $bytes (i32.const 7) (i32.const 65536))))
      (br $again))))
"""
WIDE = """
(module
  (memory (export "memory") i64 1)
  (func (export "_start")
    (loop $again (br_if $again (i64.ne (memory.grow (i64.const 1024)) (i64.const -1))))
    unreachable))
"""
SHRUNK = """
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $again
      (br_if $again (i32.ne (memory.grow (i32.const 65535)) (i32.const -1)))
      (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    unreachable))
"""
HOGS = {
    "one memory, every page touched": TOUCH,
    "20 memories in turn": growing(20),
    "100 memories in turn": growing(100),
    "tables": TABLES,
    "a garbage-collected heap": HEAP,
    "a 64-bit memory": WIDE,
    "huge steps first": SHRUNK,
}


@pytest.mark.parametrize("hog", HOGS.values(), ids=HOGS.keys())
def test_hog_ends_at_its_limit(measured: Measure, hog: str) -> None:
    """Whatever the memory is called, it is counted in one total, and the host pays no more than that."""
    ended = measured(hog, memory=f"{LIMIT_MIB}MiB", wall="10s")

    assert ("limited", "memory") == (ended.outcome, ended.limit)
    assert ended.peak_bytes < LIMIT_MIB * MIB + SLACK_BYTES


BORN_BIG = {
    "one memory": '(module (memory 1024) (func (export "_start")))',
    "many memories": f'(module {"(memory 64) " * 16} (func (export "_start")))',
    "a table": '(module (table 100000000 funcref) (func (export "_start")))',
}


@pytest.mark.parametrize("program", BORN_BIG.values(), ids=BORN_BIG.keys())
def test_program_born_too_big_does_not_start(program: str) -> None:
    """What a program declares counts before its first instruction."""
    try:
        result = run(program.encode(), policy=Policy(limits=Limits(memory="32MiB")))
    except LoadError as refused:
        assert "table" in str(refused)  # noqa: PT017
    else:
        assert ("limited", "memory") == (result.outcome, result.limit)


def instances(count: int, pages: int) -> str:
    """Write a component that makes many instances of a module, each with a memory of its own."""
    made = "\n".join("(core instance (instantiate $m))" for _ in range(count))
    return f"""
    (component
      (core module $m (memory (export "memory") {pages}) (func (export "run") (result i32) (i32.const 0)))
      {made}
      (core instance $last (instantiate $m))
      (func $run (result (result)) (canon lift (core func $last "run")))
      (instance $it (export "run" (func $run)))
      (export "wasi:cli/run@0.2.0" (instance $it)))
    """


@pytest.mark.parametrize(("count", "pages"), [(100, 16), (390, 16), (900, 16), (300, 1024)])
def test_instances_are_counted_together(measured: Measure, count: int, pages: int) -> None:
    """Hundreds of instances with a memory each are one total, or more than a run may have."""
    try:
        ended = measured(instances(count, pages), memory=f"{LIMIT_MIB}MiB")
    except AssertionError as refused:
        assert "LoadError" in str(refused)  # noqa: PT017
    else:
        assert ("limited", "memory") == (ended.outcome, ended.limit)
        assert ended.peak_bytes < LIMIT_MIB * MIB + SLACK_BYTES


HANDLES = """
(component $hoarder
  (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer $hoarder $pollable (type $p))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core module $m
    (import "" "subscribe" (func $subscribe (param i64) (result i32)))
    (func (export "run") (result i32)
      (loop $again (drop (call $subscribe (i64.const 1000000000))) (br $again))
      (i32.const 0)))
  (core instance $i (instantiate $m (with "" (instance (export "subscribe" (func $subscribe))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $it (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $it)))
"""


def test_handles_hoarded_on_the_hosts_side_are_bounded(measured: Measure) -> None:
    """A guest of one page that never drops a handle does not fill the host instead."""
    ended = measured(HANDLES, memory=f"{LIMIT_MIB}MiB", wall="5s")

    assert ended.outcome in {"limited", "trapped"}
    assert ended.peak_bytes < LIMIT_MIB * MIB + SLACK_BYTES


def test_measurement_sees_what_a_guest_takes(measured: Measure) -> None:
    """The bounds above are of something: a hog with four times the memory is seen to take it."""
    ended = measured(TOUCH, memory="256MiB", wall="10s")

    assert ended.peak_bytes > 200 * MIB


def test_refused_growth_is_the_guests_to_handle() -> None:
    """A guest that is told no and goes on is not limited."""
    program = """
    (module
      (memory (export "memory") 1)
      (func (export "_start")
        (if (i32.ne (memory.grow (i32.const 60000)) (i32.const -1)) (then unreachable))))
    """

    result = run(program.encode(), policy=Policy(limits=Limits(memory="32MiB")))

    assert ("exited", 0) == (result.outcome, result.exit_code)
    assert result.usage.memory_bytes == 65536


def test_guest_whose_memory_is_full_can_still_throw_and_catch() -> None:
    """The object of its first exception has its place from the start: a language says 'not enough memory' by one."""
    program = """
    (module
      (memory (export "memory") 1)
      (tag $full)
      (func (export "_start")
        (loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (block $caught (try_table (catch $full $caught) (throw $full)) unreachable)))
    """

    result = run(program.encode(), policy=Policy(limits=Limits(memory="32MiB")))

    assert ("exited", 0) == (result.outcome, result.exit_code)


def test_nothing_is_left_of_the_previous_run() -> None:
    """Memory, globals and tables are new in every run, also where their pages are kept warm."""
    program = """
    (module
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 4)
      (global $seen (mut i32) (i32.const 0))
      (table 4 externref)
      (func (export "_start") (local $at i32)
        (if (global.get $seen) (then (call $exit (i32.const 101))))
        (global.set $seen (i32.const 1))
        (loop $next
          (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (call $exit (i32.const 102))))
          (i64.store (local.get $at) (i64.const -1))
          (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 262144))))))
    """
    sandbox = Sandbox(program.encode())

    assert {0} == {sandbox.run().exit_code for _ in range(50)}
