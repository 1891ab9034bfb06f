"""Attacks on time: loops, host calls and waits that would never end."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from ringfence import Limits, Policy
from security.isolated import Sandbox, run
from waiting import late

if TYPE_CHECKING:
    from conftest import Command
    from security.conftest import Measure

pytestmark = pytest.mark.usefixtures("isolation")

SPIN = '(module (func (export "_start") (loop $again (br $again))))'


def poll(*, clock: int, nanoseconds: int, stdin: bool) -> str:
    """Wait in `poll_oneoff` for a clock, or for standard input that never comes."""
    kind = 1 if stdin else 0
    return f"""
    (module
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (i32.store8 (i32.const 8) (i32.const {kind}))
        (i32.store (i32.const 16) (i32.const {0 if stdin else clock}))
        (i64.store (i32.const 24) (i64.const {nanoseconds}))
        (loop $again
          (drop (call $poll (i32.const 0) (i32.const 512) (i32.const 1) (i32.const 640)))
          (br $again))))
    """


SLEEP = """
(component $sleeper
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer $sleeper $pollable (type $p))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core module $m
    (import "" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "" "block" (func $block (param i32)))
    (func (export "run") (result i32)
      (call $block (call $subscribe (i64.const 1000000000000000)))
      (i32.const 0)))
  (core instance $i (instantiate $m
    (with "" (instance (export "subscribe" (func $subscribe)) (export "block" (func $block))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $it (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $it)))
"""
RECURSE = """
(module
  (func $again (param i32) (call $again (i32.const 1)))
  (func (export "_start") (call $again (i32.const 0))))
"""
WAITS = {
    "a loop": SPIN,
    "a sleep of centuries": poll(clock=1, nanoseconds=2**62, stdin=False),
    "a sleep by the wall clock": poll(clock=0, nanoseconds=2**62, stdin=False),
    "sleeps of no length": poll(clock=1, nanoseconds=0, stdin=False),
    "a sleep inside a component": SLEEP,
    "an unfinished copy": "copies",
}


def copies() -> str:
    """Copy 32 MiB two thousand times in a straight line: no loop and no call to be stopped in."""
    line = "(memory.copy (i32.const 33554432) (i32.const 0) (i32.const 33554432))"
    return f'(module (memory 1024) (func (export "_start") {line * 2000}))'


@pytest.mark.parametrize("program", WAITS.values(), ids=WAITS.keys())
def test_wait_ends_at_the_deadline(program: str) -> None:
    """Running, sleeping or copying: the deadline holds within half a second, and the next run works."""
    source = copies() if program == "copies" else program
    sandbox = Sandbox(source.encode(), policy=Policy(limits=Limits(wall="300ms")))

    began = time.monotonic()
    result = sandbox.run()

    assert ("limited", "wall") == (result.outcome, result.limit)
    assert time.monotonic() - began < 0.3 + late()
    assert sandbox.run().limit == "wall"


@pytest.mark.parametrize("how", ["read", "poll"])
def test_input_that_never_comes_is_waited_for_only_until_the_deadline(how: str) -> None:
    """A pipe that nobody writes to holds a guest, not its caller."""
    read_end, write_end = os.pipe()
    source = poll(clock=0, nanoseconds=0, stdin=True) if how == "poll" else READ_STDIN
    try:
        result = run(source.encode(), policy=Policy(limits=Limits(wall="300ms")), stdin=read_end)
    finally:
        os.close(read_end)
        os.close(write_end)

    assert ("limited", "wall") == (result.outcome, result.limit)
    assert result.usage.wall_seconds < 0.3 + late()


READ_STDIN = """
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\00\\04\\00\\00\\40\\00\\00\\00")
  (func (export "_start") (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""


def test_waiting_costs_no_processor_time() -> None:
    """A guest that sleeps is not spun for: what it waits is not what it computes."""
    result = run(WAITS["a sleep of centuries"].encode(), policy=Policy(limits=Limits(wall="500ms")))

    assert result.usage.cpu_seconds < 0.1


def test_processor_time_has_its_own_limit() -> None:
    """A loop ends at `cpu` long before `wall`."""
    result = run(SPIN.encode(), policy=Policy(limits=Limits(cpu="200ms", wall="20s")))

    assert ("limited", "cpu") == (result.outcome, result.limit)
    assert 0.2 <= result.usage.cpu_seconds < 0.2 + late()


def test_fuel_ends_a_loop_at_the_same_instruction_every_time() -> None:
    """Fuel is counted by instruction, so it does not depend on the machine's mood."""
    sandbox = Sandbox(SPIN.encode(), policy=Policy(limits=Limits(fuel=1_000_000)))

    results = [sandbox.run() for _ in range(5)]

    assert {("limited", "fuel")} == {(result.outcome, result.limit) for result in results}
    assert 1 == len({result.usage.fuel for result in results})


def test_bottomless_recursion_is_a_trap() -> None:
    """The guest's stack ends before the host's does."""
    result = run(RECURSE.encode())

    assert "trapped" == result.outcome
    assert "stack" in (result.trap or "")


def test_deadline_ends_the_command(ringfence: Command) -> None:
    """`--wall` holds on the command line, and is told apart from the guest's own exit codes."""
    ended = ringfence("run", "--wall", "300ms", "guests/spin_forever.wat")

    assert 124 == ended.exit_code
    assert "wall limit" in ended.stderr


def test_process_lives_on_after_a_loop(measured: Measure) -> None:
    """A loop in a process of its own ends in time, and leaves that process working."""
    ended = measured(SPIN, wall="300ms")

    assert ("limited", "wall") == (ended.outcome, ended.limit)
    assert ended.wall_seconds < 0.3 + late()
