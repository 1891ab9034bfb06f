"""Attacks through the component model: forged handles, lists that are not there, allocators that lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ringfence import Limits, Policy
from security.component import HONEST, component
from security.isolated import Sandbox, run
from waiting import late

if TYPE_CHECKING:
    from security.conftest import Measure

pytestmark = pytest.mark.usefixtures("isolation")

MIB = 1 << 20
OUT = "(local.set $out (call $get-stdout))"
IN = "(local.set $in (call $get-stdin))"
SOON = "(local.set $in (call $subscribe-duration (i64.const 0)))"


def again(body: str, times: int = 1 << 31) -> str:
    """Do it again and again."""
    count = f"(i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {times}))"
    return f"(loop $again {body} (br_if $again {count}))"


FORGED = {
    "a handle that was never given": "(call $drop-output (i32.const 12345))",
    "handle zero": "(call $drop-output (i32.const 0))",
    "a negative handle": "(call $check-write (i32.const -1) (i32.const 64))",
    "a handle dropped twice": f"{OUT} (call $drop-output (local.get $out)) (call $drop-output (local.get $out))",
    "a handle used after it was dropped": (
        f"{OUT} (call $drop-output (local.get $out)) (call $check-write (local.get $out) (i32.const 64))"
    ),
    "a handle of another kind": f"{IN} (call $check-write (local.get $in) (i32.const 64))",
    "a child that outlives its parent": (
        f"{OUT} (local.set $in (call $subscribe (local.get $out))) (call $drop-output (local.get $out))"
        "(call $block (local.get $in)) unreachable"
    ),
    "a million handles that do not exist": "(call $poll (i32.const 0) (i32.const 1000000) (i32.const 4194000))",
    "a list longer than memory": f"{OUT} (call $write (local.get $out) (i32.const 64) (i32.const -1) (i32.const 4096))",
    "a list that wraps around": f"{OUT} (call $write (local.get $out) (i32.const -64) (i32.const 128) (i32.const 64))",
    "a list of nothing to wait for": "(call $poll (i32.const 0) (i32.const 0) (i32.const 64))",
    "a write without a permit": f"{OUT} (call $write (local.get $out) (i32.const 0) (i32.const 4194304) (i32.const 0))",
    "zeroes without end": f"{OUT} (call $write-zeroes (local.get $out) (i64.const -1) (i32.const 64))",
    "random numbers without end": "(call $random (i64.const -1) (i32.const 64))",
    "an answer beyond memory": "(call $get-arguments (i32.const -4))",
    "an answer at an odd address": "(call $get-arguments (i32.const 3))",
}


@pytest.mark.parametrize("body", FORGED.values(), ids=FORGED.keys())
def test_forged_value_is_a_trap(body: str) -> None:
    """What the types do not allow ends the guest; the host lives, and the next run works."""
    result = run(component(body), ["a"], policy=Policy(limits=Limits(wall="3s")))

    assert "trapped" == result.outcome
    assert result.trap
    assert "hello" == run(component(HELLO)).text


def test_handle_that_is_lent_a_million_times_is_a_limit() -> None:
    """A store has 100,000 handles at most: the host holds no more for a guest."""
    fill = again("(i32.store (i32.shl (local.get $n) (i32.const 2)) (local.get $in))", 1_000_000)
    body = SOON + fill + "(call $poll (i32.const 0) (i32.const 1000000) (i32.const 4194000))"
    result = run(component(body), ["a"], policy=Policy(limits=Limits(wall="3s")))

    assert ("limited", "host_bytes") == (result.outcome, result.limit)
    assert "hello" == run(component(HELLO)).text


HELLO = (
    f"{OUT} (i64.store (i32.const 0) (i64.const 478560413032))"
    "(call $write (local.get $out) (i32.const 0) (i32.const 5) (i32.const 64))"
)
LIARS = {
    "beyond memory": "(i32.const -8)",
    "at the last byte": "(i32.const 4194303)",
    "at an odd address": "(i32.const 3)",
    "nowhere": "unreachable",
}


@pytest.mark.parametrize("realloc", LIARS.values(), ids=LIARS.keys())
@pytest.mark.parametrize("asked", ["get-arguments", "get-environment"])
def test_allocator_that_lies_is_a_trap(asked: str, realloc: str) -> None:
    """Memory that the guest says it made for an answer is checked before anything is written there."""
    program = component(f"(call ${asked} (i32.const 64))", realloc=realloc)

    assert "trapped" == run(program, ["argument"], policy=Policy(env={"A": "1"})).outcome


def test_allocator_that_never_returns_ends_at_the_deadline() -> None:
    """A guest that hangs while the host waits for memory is stopped like any other."""
    program = component("(call $get-arguments (i32.const 64))", realloc="(loop $on (br $on)) unreachable")

    result = run(program, ["argument"], policy=Policy(limits=Limits(wall="300ms")))

    assert ("limited", "wall") == (result.outcome, result.limit)
    assert result.usage.wall_seconds < 0.3 + late()


def test_allocator_that_overlaps_its_own_answers_harms_only_the_guest() -> None:
    """Every piece of an answer in the same place: garbage for the guest, and nothing else."""
    program = component("(call $get-environment (i32.const 64))", realloc="(i32.const 128)")

    assert run(program, policy=Policy(env={f"V{n}": "x" * 100 for n in range(50)})).ok


STORMS = {
    "answers without end": (again("(call $get-environment (i32.const 64))"), "wall"),
    "3 MiB of random numbers again and again": (again("(call $random (i64.const 3145728) (i32.const 64))"), "wall"),
    "waits for nothing": (f"{SOON} {again('(call $block (local.get $in))')}", "wall"),
    "a wait for ever": (
        "(local.set $in (call $subscribe-duration (i64.const -1))) (call $block (local.get $in))",
        "wall",
    ),
    "input poured away": (
        f"{IN} {again('(call $blocking-skip (local.get $in) (i64.const -1) (i32.const 64))')}",
        "wall",
    ),
    "input read as a whole": (
        f"{IN} {again('(call $blocking-read (local.get $in) (i64.const -1) (i32.const 64))')}",
        "wall",
    ),
    "input poured into output": (
        IN + OUT + again("(call $blocking-splice (local.get $out) (local.get $in) (i64.const -1) (i32.const 64))"),
        "output",
    ),
    "output with permits": (
        OUT
        + again(
            "(call $check-write (local.get $out) (i32.const 64))"
            "(call $write (local.get $out) (i32.const 0) (i32.const 4096) (i32.const 64))"
        ),
        "output",
    ),
    "zeroes with permits": (
        OUT
        + again(
            "(call $check-write (local.get $out) (i32.const 64))"
            "(call $write-zeroes (local.get $out) (i64.const 4096) (i32.const 64))"
        ),
        "output",
    ),
    "streams that are kept": (again("(drop (call $get-stdout))"), "host_bytes"),
    "waits that are kept": (OUT + again("(drop (call $subscribe (local.get $out)))"), "host_bytes"),
}


@pytest.mark.parametrize(("body", "limit"), STORMS.values(), ids=STORMS.keys())
def test_storm_of_calls_ends_at_its_limit(body: str, limit: str) -> None:
    """However cheap a call of a component is, a million of them are stopped; input is a device that never ends."""
    sandbox = Sandbox(
        component(body), policy=Policy(limits=Limits(wall="500ms", output="512KiB"), env={"A": "x" * 1000})
    )

    with Path("/dev/zero").open("rb") as endless:
        result = sandbox.run(["argument"], stdin=endless)

    assert ("limited", limit) == (result.outcome, result.limit)
    assert result.usage.wall_seconds < 0.5 + late()


def test_answers_are_cut_to_what_the_host_may_hold(measured: Measure) -> None:
    """A list of 60 MiB that the guest asks for is not made when the host may hold 8."""
    ended = measured(
        component("(call $random (i64.const 62914560) (i32.const 64))", realloc=HONEST), host_bytes="8MiB", wall="5s"
    )

    assert "trapped" == ended.outcome
    assert ended.peak_bytes < 32 * MIB


def test_component_is_told_no_working_directory() -> None:
    """A component asks where it was started: nowhere."""
    program = component("(call $initial-cwd (i32.const 64)) (if (i32.load8_u (i32.const 64)) (then unreachable))")

    assert run(program).ok


ASYNC = """
(component
  (core module $m
    (func (export "run") (result i32) (i32.const 0))
    (func (export "callback") (param i32 i32 i32) (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $run ASYNC_TYPE (result (result))
    (canon lift (core func $i "run") async (callback (func $i "callback"))))
  (instance $it (export "run" (func $run)))
  (export "wasi:cli/run@LEVEL" (instance $it)))
"""


@pytest.mark.parametrize("level", ["0.2.0", "0.3.0"])
@pytest.mark.parametrize("kind", ["", "async"])
@pytest.mark.parametrize("granted", ["0.2", "0.3"])
def test_entry_lifted_for_another_kind_of_call_is_refused_or_ends(level: str, kind: str, granted: str) -> None:
    """An export made to be called asynchronously, called by a host that does not, has aborted whole processes."""
    from ringfence import LoadError

    program = ASYNC.replace("ASYNC_TYPE", kind).replace("LEVEL", level).encode()
    try:
        result = run(program, policy=Policy(wasi=granted, limits=Limits(wall="1s")))  # type: ignore[arg-type]
    except LoadError as refused:
        assert refused.fix  # noqa: PT017
    else:
        assert result.outcome in {"exited", "trapped", "limited"}
    assert "hello" == run(component(HELLO)).text
