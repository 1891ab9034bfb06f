"""Modules captured after a call of theirs: the call is held as a run is, and what cannot be captured is named."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ringfence
from ringfence import Dir, GuestExited, LimitReached, Limits, LoadError, Net, Policy, PolicyError, Secret, Trapped
from security.isolated import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

pytestmark = pytest.mark.usefixtures("isolation")

MAPS = Path("/proc/self/maps")
WASI = '(import "wasi_snapshot_preview1" "{0}" (func ${0} {1}))'
EXIT = WASI.format("proc_exit", "(param i32)")
CLOSE = WASI.format("fd_close", "(param i32) (result i32)")
OPEN = WASI.format("path_open", "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)")
MEMORY = '(memory (export "memory") 1)'


def module(init: str, *fields: str) -> bytes:
    """Write a program whose `init` does that."""
    return f'(module {" ".join(fields)} (func (export "_start")) (func (export "init") {init}))'.encode()


def captured(init: str, *fields: str, **policy: object) -> ringfence.Sandbox:
    """Capture it."""
    return Sandbox(module(init, *fields), policy=Policy(**policy)).snapshot(after="init")  # type: ignore[arg-type]


def test_call_without_an_end_is_over_at_its_deadline() -> None:
    """The one call is held to the policy's limits."""
    started = time.monotonic()
    with pytest.raises(LimitReached) as reached:
        captured("(loop (br 0))", MEMORY, limits=Limits(wall="300ms"))

    assert "wall" == reached.value.result.limit
    assert time.monotonic() - started < 10
    with pytest.raises(LimitReached) as reached:
        Sandbox(module("(loop (br 0))", MEMORY)).snapshot(after="init", limits=Limits(cpu="100ms"))
    assert "cpu" == reached.value.result.limit
    with pytest.raises(LimitReached) as reached:
        captured("(loop (br 0))", MEMORY, limits=Limits(fuel=100_000))
    assert "fuel" == reached.value.result.limit


def test_call_grows_memory_no_further_than_its_limit() -> None:
    """What was captured counts in every run, and a run with less does not begin."""
    grow = "(if (i32.eq (memory.grow (i32.const {0})) (i32.const -1)) (then unreachable))"
    limits = Limits(memory="1MiB")
    with pytest.raises(LimitReached) as reached:
        captured(grow.format(16), MEMORY, limits=limits)
    assert "memory" == reached.value.result.limit

    prepared = captured(grow.format(15), MEMORY, limits=limits)
    assert 1 << 20 == prepared.run().usage.memory_bytes
    with pytest.raises(PolicyError, match="larger than the limit `memory`"):
        prepared.run(limits=Limits(memory="512KiB"))
    again = Sandbox(
        module(grow.format(8), MEMORY, f'(func (export "more") {grow.format(8)})'), policy=Policy(limits=limits)
    )
    run = again.snapshot(after="init", entry="more").run()
    assert ("limited", "memory") == (run.outcome, run.limit)


def test_call_that_does_not_return_is_not_captured() -> None:
    """Whatever it does instead; and the program runs as before."""
    with pytest.raises(Trapped, match="unreachable"):
        captured("unreachable", MEMORY)
    with pytest.raises(Trapped, match="stack overflow"):
        captured("(call $down)", MEMORY, "(func $down (call $down))")
    with pytest.raises(GuestExited) as exited:
        captured("(call $proc_exit (i32.const 3))", EXIT, MEMORY)
    assert 3 == exited.value.result.exit_code
    with pytest.raises(LoadError, match="`init` ended the program with exit code 0"):
        captured("(call $proc_exit (i32.const 0))", EXIT, MEMORY)
    assert Sandbox(module("unreachable", MEMORY)).run().ok


@pytest.mark.parametrize(
    ("why", "fields"),
    [
        ("it has no memory", []),
        ("it exports no `memory`", ["(memory 1)"]),
        ("it has several memories", [MEMORY, "(memory 1)"]),
        ("its memory is of an unusual kind", ['(memory (export "memory") i64 1)']),
        ("it has a start function", [MEMORY, "(func $f) (start $f)"]),
        ("it changes its tables", [MEMORY, "(table $t 1 funcref) (func (table.set (i32.const 0) (ref.null func)))"]),
        ("it drops its data", [MEMORY, '(data $d "a") (func (data.drop $d))']),
        ("it keeps objects of the garbage collector", [MEMORY, "(type $s (struct)) (global (ref $s) (struct.new $s))"]),
        ("it has a mutable global that holds a reference", [MEMORY, "(global (mut funcref) (ref.null func))"]),
        ("it exports a name that begins with `__rf_`", [MEMORY, '(func (export "__rf_global_0"))']),
    ],
)
def test_module_that_cannot_be_captured_is_refused_by_name(why: str, fields: list[str]) -> None:
    """What a capture would miss, or what pretends to be ours, is told before anything runs."""
    sandbox = Sandbox(module("", *fields))
    with pytest.raises(LoadError, match=why):
        sandbox.snapshot(after="init")

    assert sandbox.run().ok


def test_descriptors_that_a_call_leaves_otherwise_are_refused(tmp_path: Path) -> None:
    """In a run, a number that memory holds would stand for another file."""
    (tmp_path / "file").write_bytes(b"1")
    opened = (
        "(drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 0)"
        " (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64)))"
    )
    close = "(drop (call $fd_close (i32.const {})))"
    fields = [OPEN, CLOSE, MEMORY, '(data (i32.const 0) "data/file")']
    dirs = [Dir(tmp_path, at="/data")]

    with pytest.raises(LoadError, match="it has left 1 of its files and directories open"):
        captured(opened, *fields, dirs=dirs)
    for number in range(4):
        with pytest.raises(LoadError, match="it has closed or moved its standard streams or `/`"):
            captured(close.format(number), *fields, dirs=dirs)
    assert captured(opened + close.format(4), *fields, dirs=dirs).run().ok


def test_run_sees_nothing_that_another_wrote(guests: Path) -> None:
    """Each begins where the call returned, also after runs that wrote over it, grew, trapped or never ended."""
    fields = [
        MEMORY,
        (
            "(global $g (mut i64) (i64.const 0)) (func $dirty (global.set $g (i64.const 9))"
            " (drop (memory.grow (i32.const 9))) (memory.fill (i32.const 0) (i32.const 7) (i32.const 900000)))"
        ),
        (
            '(func (export "run") (if (i32.ne (memory.size) (i32.const 5)) (then unreachable))'
            " (if (i64.ne (global.get $g) (i64.const 3)) (then unreachable))"
            " (if (i32.load8_u (i32.const 70000)) (then unreachable))"
            " (if (i32.ne (i32.load8_u (i32.const 200000)) (i32.const 5)) (then unreachable)) (call $dirty) {end})"
        ),
    ]
    init = (
        "(drop (memory.grow (i32.const 4))) (global.set $g (i64.const 3)) (i32.store8 (i32.const 200000) (i32.const 5))"
    )
    for end, outcome in [
        ("", "exited"),
        ("(i32.store (i32.const -1) (i32.const 1))", "trapped"),
        ("(loop (br 0))", "limited"),
    ]:
        text = module(init, *[field.replace("{end}", end) for field in fields])
        prepared = Sandbox(text, policy=Policy(limits=Limits(wall="200ms"))).snapshot(after="init", entry="run")
        for _ in range(4):
            run = prepared.run()
            assert outcome == run.outcome, (end, run)
            assert b"cold" not in ringfence.run(guests / "prepared.wat").stdout


def test_snapshot_holds_no_secret(guests: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands for it in the captured memory still does in the runs; its value is in neither."""
    monkeypatch.setenv("PROD_KEY", "value-of-the-secret-9e1")
    origin = "https://api.example.com"
    policy = Policy(net=Net(http=[f"* {origin}"]), secrets=[Secret("API_KEY", env="PROD_KEY", origin=origin)])
    prepared = Sandbox(guests / "prepared.wat", policy=policy).snapshot(after="init")

    first, second = (prepared.run().stdout.split(b"\0") for _ in range(2))
    assert first[5] == second[5]
    assert first[5].startswith(b"API_KEY=ringfence-placeholder-")
    assert b"value-of-the-secret" not in b"".join(first)


def test_program_that_is_not_captured_is_refused_by_name() -> None:
    """Components are not: nothing runs from its beginning instead."""
    core = '(core module $m (func (export "run") (result i32) i32.const 0)) (core instance $i (instantiate $m))'
    run = '(func $run (result (result)) (canon lift (core func $i "run"))) (instance $run (export "run" (func $run)))'
    component = f'(component {core} {run} (export "wasi:cli/run@0.2.0" (instance $run)))'.encode()
    with pytest.raises(LoadError, match="it is a component, and only core modules are captured"):
        Sandbox(component).snapshot(after="init")


def test_child_of_a_fork_of_the_process_has_no_snapshot_of_its_parent(guests: Path, isolation: str) -> None:
    """It is told so, and may take its own. What is in a file, for workers, is there for workers of the child's too."""
    sandbox = Sandbox(guests / "prepared.wat")
    prepared = sandbox.snapshot(after="init")
    child = os.fork()
    if child == 0:
        try:
            if isolation == "wasm":
                with pytest.raises(ringfence.SessionError, match="the snapshot is in its parent"):
                    prepared.run()
            else:
                assert b"1" == prepared.run().stdout[:1]
            assert b"1" == sandbox.snapshot(after="init").run().stdout[:1]
            os._exit(0)
        finally:
            os._exit(1)

    assert 0 == os.waitpid(child, 0)[1]
    assert b"1" == prepared.run().stdout[:1]


def test_thousand_snapshots_leave_nothing(
    guests: Path, isolation: str, nothing_stays: Callable[[], AbstractContextManager[None]]
) -> None:
    """Their images and regions go with their last reference."""
    sandbox = Sandbox(guests / "prepared.wat")
    sandbox.snapshot(after="init").run()
    maps = len(MAPS.read_text().splitlines())

    with nothing_stays():
        for _ in range(1000 if isolation == "wasm" else 50):
            assert b"1" == sandbox.snapshot(after="init").run().stdout[:1]

    assert len(MAPS.read_text().splitlines()) < maps + 100
