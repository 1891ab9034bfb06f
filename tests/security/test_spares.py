"""Instances that are made ahead of need: each is one run's, begins as any other, and is gone with its sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from ringfence import Limits, LoadError, Policy, PolicyError, Sandbox
from security.test_recycling import PROBE, SPREAD

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")


def filled(sandbox: Sandbox, count: int) -> Sandbox:
    """Wait until as many are ready as there should be."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and sandbox.starts["waiting"] < count:
        time.sleep(0.005)
    assert count == sandbox.starts["waiting"]
    return sandbox


def test_run_in_a_spare_begins_as_any_other() -> None:
    """Whatever other runs did meanwhile, in spares and outside of them."""
    first = Sandbox(language="python").run(code=PROBE)
    sandbox = filled(Sandbox(language="python", spares=3), 3)
    for number in range(12):
        sandbox.run(code=SPREAD + ("import os; os.abort()" if number % 3 else ""))
        filled(sandbox, 3)
        before = sandbox.starts["ready"]
        after = sandbox.run(code=PROBE)

        assert (first.stdout, b"", before + 1) == (after.stdout, after.stderr, sandbox.starts["ready"])


def test_runs_at_the_same_time_have_a_spare_each() -> None:
    """None is handed out twice, and who finds none begins in a new store."""
    sandbox = filled(Sandbox(language="python", spares=4), 4)
    code = "import os\nassert not hasattr(os, 'mine')\nos.mine = {0}\nprint(os.mine, os.urandom(8).hex())"
    with ThreadPoolExecutor(12) as pool:
        results = list(pool.map(lambda number: sandbox.run(code=code.format(number)), range(200)))

    assert [b""] * 200 == [result.stderr for result in results]
    assert list(range(200)) == [int(result.stdout.split()[0]) for result in results]
    assert 200 == len({result.stdout.split()[1] for result in results})
    starts = sandbox.starts
    assert (200, True) == (starts["fresh"] + starts["ready"], starts["ready"] >= 4)


def test_limits_and_clocks_begin_with_the_run_and_not_with_the_spare() -> None:
    """A spare that waited for longer than the deadline has all of its time, and no more memory than others."""
    policy = Policy(limits=Limits(wall="1500ms", memory="64MiB"))
    sandbox = filled(Sandbox(language="python", policy=policy, spares=2), 2)
    plain = Sandbox(language="python", policy=policy)
    time.sleep(2)
    code = "import time; print(time.monotonic() < 1.5, sum(range(1000)))"
    result, expected = sandbox.run(code=code), plain.run(code=code)

    assert ("exited", b"True 499500\n") == (result.outcome, result.stdout)
    assert expected.usage.memory_bytes == result.usage.memory_bytes
    filled(sandbox, 2)
    assert "wall" == sandbox.run(code="while True: pass").limit
    filled(sandbox, 2)
    assert "MemoryError" in sandbox.run(code="x = bytearray(100_000_000)").stderr.decode()
    # A limit that is narrower than what a spare has taken is told as ever.
    narrow = Limits(memory="1MiB")
    assert _told(plain, narrow) == _told(sandbox, narrow)


def _told(sandbox: Sandbox, limits: Limits) -> str:
    try:
        return sandbox.run(code="", limits=limits).outcome
    except PolicyError as error:
        return str(error)


def test_what_cannot_have_spares_is_refused(guests: Path) -> None:
    """With the reason, and no run finds out later."""
    hello = guests / "hello.wat"
    with pytest.raises(PolicyError, match="used once"):
        Sandbox(hello, spares=1, reuse="tenant", tenant="alice")
    with pytest.raises(PolicyError, match="started ahead anyway"):
        Sandbox(hello, spares=1, isolation="process")
    with pytest.raises(PolicyError, match="too many"):
        Sandbox(hello, spares=65)
    with pytest.raises(LoadError, match="component"):
        Sandbox(b"(component)", spares=1)
    with pytest.raises(OverflowError):
        Sandbox(hello, spares=-1)


def test_snapshot_of_a_program_has_spares_of_its_own() -> None:
    """They begin where its export returned; those of the program itself do not."""
    program = b"""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (global $count (mut i32) (i32.const 0))
      (func (export "prepare") (global.set $count (i32.const 7)) (drop (memory.grow (i32.const 3)))
        (i32.store (i32.const 200000) (i32.const 70)))
      (func (export "_start") (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (if (i32.gt_u (memory.size) (i32.const 1))
          (then (global.set $count (i32.add (global.get $count) (i32.load (i32.const 200000))))))
        (call $exit (global.get $count))))"""
    sandbox = filled(Sandbox(program, spares=2), 2)
    prepared = filled(sandbox.snapshot(after="prepare"), 2)
    for _ in range(5):
        assert (1, 78) == (filled(sandbox, 2).run().exit_code, filled(prepared, 2).run().exit_code)
    assert (0, 5) == (prepared.starts["fresh"], prepared.starts["ready"])


def test_spares_leave_nothing_and_are_closed_with_their_sandbox(tmp_path: Path) -> None:
    """No mapping, descriptor or thread is left by 10,000 runs, by closed sandboxes, or in children of a fork."""
    script = """
    import os, time
    from concurrent.futures import ThreadPoolExecutor
    from ringfence import Sandbox

    def count():
        with open("/proc/self/maps") as maps:
            spans = [[int(end, 16) for end in line.split()[0].split("-")] for line in maps]
        # By the space that all mappings take: the kernel tells of neighbours as one.
        return [sum(end - start for start, end in spans), len(os.listdir("/proc/self/fd")),
                len(os.listdir("/proc/self/task"))]

    def settled(most):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(now > then for now, then in zip(count(), most)):
            time.sleep(0.05)
        return all(now <= then for now, then in zip(count(), most))

    def filled(sandbox):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and sandbox.starts["waiting"] < 6:
            time.sleep(0.005)
        return sandbox.starts["waiting"] == 6

    def storm(sandbox, runs):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: sandbox.run(code="let x = 'SECRET'.repeat(1000)"), range(runs)))

    first = Sandbox(language="javascript", spares=6)
    storm(first, 100)
    del first
    time.sleep(2)
    before = count()
    before[0] += 2 << 30  # half a memory: less is anybody's
    sandbox = Sandbox(language="javascript", spares=6)
    storm(sandbox, 4000)
    for number in range(6000):
        sandbox.run(code="let x = 'SECRET'" if number % 50 else "throw new Error()")
    well = filled(sandbox)
    child = os.fork()
    if not child:
        well = sandbox.starts["waiting"] == 0 and sandbox.run(code="print(1)").ok and filled(sandbox)
        os._exit(0 if well and sandbox.run(code="print(1)").ok else 1)
    well = os.waitpid(child, 0)[1] == 0 and well and sandbox.run(code="print(1)").ok
    starts = sandbox.starts
    del sandbox
    print(well, starts["ready"] > 100, settled(before))
    print(before, count(), starts)
    """
    pytest.importorskip("ringfence_language_javascript", reason="the language pack is not installed")
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(script), encoding="utf-8")
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(file)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=dict(os.environ))
    assert told.stdout.startswith("True True True\n"), told.stdout + told.stderr
