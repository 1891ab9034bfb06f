"""Attacks by way of functions of the host: that block, raise, storm, re-enter, fork and never come back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ringfence import Busy, CallbackAbandoned, Cancelled, Limits, Policy
from security.isolated import Sandbox, isolated, options, run
from waiting import late, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import ringfence

ONCE = b'(module (import "env" "f" (func $f)) (func (export "_start") (call $f)))'
STORM = b'(module (import "env" "f" (func $f)) (func (export "_start") (loop $again (call $f) (br $again))))'
IN_START = b'(module (import "env" "f" (func $f)) (start $f) (func (export "_start")))'
SAYING = b"""(module
  (import "env" "f" (func $f))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\04\\00\\00\\00said")
  (func $say (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32))))
  (func (export "_start") (call $say) (call $f) (call $say)))"""


def guest_threads() -> int:
    """Count the threads of this process that guests run on."""
    count = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # one that ended just now
            count += (task / "comm").read_text(encoding="utf-8").startswith("ringfence-guest")
    return count


def without_workers(descriptors: Callable[[], int]) -> int:
    """Count descriptors when no worker is there, nor one that was just being started ahead."""
    from ringfence._engine import core

    core.close_workers()
    time.sleep(0.2)
    core.close_workers()
    return descriptors()


@pytest.fixture(autouse=True, params=["wasm", "process", "worker"])
def _everywhere(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run each test in every isolation: the functions are the same, and so is all that comes of them."""
    with isolated(request.param):
        yield


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What blocked functions wait for; set in the end, whatever happens."""
    event = threading.Event()
    yield event
    event.set()


def blocked_in_sleep(_: threading.Event) -> None:
    """Block in the system."""
    time.sleep(2)


def blocked_in_lock(release: threading.Event) -> None:
    """Block in a lock."""
    release.wait(20)


def blocked_in_pipe(release: threading.Event) -> None:
    """Block in a read that finds nothing until a pipe is closed."""
    ours, theirs = os.pipe()

    def close() -> None:
        release.wait(20)
        os.close(theirs)

    closer = threading.Thread(target=close)
    closer.start()
    os.read(ours, 1)
    os.close(ours)
    closer.join()


def blocked_in_loop(release: threading.Event) -> None:
    """Compute without end."""
    while not release.is_set():
        pass


@pytest.mark.parametrize("block", [blocked_in_sleep, blocked_in_lock, blocked_in_pipe, blocked_in_loop])
@pytest.mark.parametrize("program", [ONCE, STORM, IN_START])
def test_blocked_function_does_not_hold_its_caller(
    block: Callable[[threading.Event], None], program: bytes, release: threading.Event
) -> None:
    """The caller is back by the deadline + 0.5 s, with a typed outcome and a warning that names the function."""
    sandbox = Sandbox(program, imports={"env": {"f": lambda: block(release)}})
    started = time.monotonic()
    with pytest.warns(CallbackAbandoned, match=r"`env\.f` was abandoned"):
        result = sandbox.run(limits=Limits(wall="200ms"))

    assert time.monotonic() - started < 0.2 + late()
    assert ("limited", "wall") == (result.outcome, result.limit)
    release.set()
    assert "exited" == run(ONCE, imports={"env": {"f": lambda: None}}).outcome
    until(lambda: guest_threads() == 0)


def test_output_so_far_is_kept_and_nothing_is_written_later(release: threading.Event, tmp_path: Path) -> None:
    """A guest that was given up on runs no further instruction."""
    sandbox = Sandbox(SAYING, imports={"env": {"f": lambda: release.wait(20) and None}})
    with pytest.warns(CallbackAbandoned):
        assert b"said" == sandbox.run(limits=Limits(wall="200ms")).stdout
    with (tmp_path / "out").open("wb") as out, pytest.warns(CallbackAbandoned):
        sandbox.run(stdout=out, limits=Limits(wall="200ms"))
    release.set()
    until(lambda: guest_threads() == 0)

    assert "said" == (tmp_path / "out").read_text(encoding="utf-8")


def test_processor_time_of_a_function_has_its_limit(release: threading.Event) -> None:
    """A function that computes uses up `cpu`, though no instruction of the guest runs."""
    sandbox = Sandbox(
        ONCE, policy=Policy(limits=Limits(cpu="200ms")), imports={"env": {"f": lambda: blocked_in_loop(release)}}
    )
    started = time.process_time()
    with pytest.warns(CallbackAbandoned):
        result = sandbox.run()

    assert ("limited", "cpu") == (result.outcome, result.limit)
    assert time.process_time() - started < 0.2 + 2 * late()


def test_storm_of_calls_ends_at_the_deadline() -> None:
    """Functions that come back at once are no way to outrun a limit, and none is abandoned."""
    calls = [0]

    def count() -> None:
        calls[0] += 1

    started = time.monotonic()
    result = run(STORM, imports={"env": {"f": count}}, limits=Limits(wall="300ms"))

    assert ("limited", "wall") == (result.outcome, result.limit)
    assert time.monotonic() - started < 0.3 + late()
    assert calls[0] > 100


@pytest.mark.parametrize("kind", [LookupError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_exception_ends_the_guest_and_reaches_the_caller_as_itself(kind: type[BaseException]) -> None:
    """No instruction of the guest runs after it, even of one that catches everything it can."""
    error = kind("mine")
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise error

    catching = b"""(module (import "env" "f" (func $f))
      (func (export "_start") (loop $again (block $caught (try_table (catch_all $caught) (call $f))) (br $again))))"""
    for program in (ONCE, STORM, IN_START, catching):
        with pytest.raises(kind) as raised:
            run(program, imports={"env": {"f": fail}})
        assert raised.value is error

    assert 4 == len(calls)


def test_function_may_run_guests_of_its_own(guests: Path) -> None:
    """Another sandbox, or the same one: that is a new guest, never the one that called."""
    depth = [0]

    def again() -> None:
        depth[0] += 1
        if depth[0] < 20:
            assert sandbox.run().ok
        assert b"hello, world\n" == Sandbox(guests / "hello.wat").run().stdout

    sandbox = Sandbox(ONCE, imports={"env": {"f": again}})

    assert sandbox.run().ok
    assert 20 == depth[0]


def test_function_that_runs_its_own_guest_for_ever_is_an_error() -> None:
    """Runs inside one another have a depth; the error is that of the innermost, through all of them."""
    depth = [0]

    def again() -> None:
        depth[0] += 1
        sandbox.run()

    sandbox = Sandbox(ONCE, imports={"env": {"f": again}})
    with pytest.raises(Busy, match="too many runs inside one another"):
        sandbox.run()

    assert 50 == depth[0]


@pytest.mark.parametrize("inner", [ONCE, b'(module (func (export "_start") (loop $again (br $again))))'])
def test_runs_of_a_function_end_with_the_run_that_called_it(inner: bytes, release: threading.Event) -> None:
    """A chain of runs that go on alone would never end."""
    imports = {"env": {"f": lambda: release.wait(20) and None}}
    began: list[float] = []

    def start() -> None:
        began.append(time.monotonic())
        Sandbox(inner, imports=imports if inner is ONCE else None).run()
        began.append(time.monotonic())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CallbackAbandoned)  # the inner one, the outer one, or both
        run(ONCE, imports={"env": {"f": start}}, limits=Limits(wall="300ms"))
        until(lambda: 2 == len(began))

    assert began[1] - began[0] < 0.3 + late()


def test_deep_recursion_in_a_function_is_pythons_own_error() -> None:
    """A function has a stack as large as a thread of Python, not what a guest leaves of its own."""

    def deep(n: int = 0) -> int:
        return max([n], key=lambda _: deep(n + 1))

    with pytest.raises(RecursionError):
        run(ONCE, imports={"env": {"f": deep}})


def interrupted(sandbox: ringfence.Sandbox) -> None:
    """Press Ctrl-C."""
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        sandbox.run()
    timer.join()


def killed(sandbox: ringfence.Sandbox) -> None:
    """Kill it from another thread."""
    process = sandbox.start()
    time.sleep(0.2)
    process.kill()
    with pytest.raises(Cancelled):
        process.wait(5).check()
    process.close()


def cancelled(sandbox: ringfence.Sandbox) -> None:
    """Cancel the task that awaits it."""

    async def give_up() -> None:
        await asyncio.wait_for(sandbox.arun(), 0.2)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())


@pytest.mark.parametrize("give_up", [interrupted, killed, cancelled])
def test_caller_who_gives_up_is_free_at_once(
    give_up: Callable[[ringfence.Sandbox], None], release: threading.Event
) -> None:
    """Ctrl-C, a kill and a cancelled task do not wait for a function that blocks."""
    sandbox = Sandbox(ONCE, imports={"env": {"f": lambda: release.wait(20) and None}})
    before = threading.active_count()
    started = time.monotonic()
    with pytest.warns(CallbackAbandoned):
        give_up(sandbox)

    assert time.monotonic() - started < 0.2 + late()
    release.set()
    until(lambda: guest_threads() == 0 and threading.active_count() <= before)


def test_hundred_abandoned_functions_leave_nothing(release: threading.Event, descriptors: Callable[[], int]) -> None:
    """Once they come back, threads, descriptors and memory are what they were."""

    def resident() -> int:
        with Path("/proc/self/statm").open(encoding="utf-8") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    begun: list[int] = []

    def blocked() -> None:
        begun.append(1)
        release.wait(60)

    sandbox = Sandbox(ONCE, imports={"env": {"f": blocked}})
    outcomes: list[str | None] = []
    until(lambda: guest_threads() == 0)
    before, memory = (without_workers(descriptors), threading.active_count()), resident()

    def abandon_all() -> None:
        limits = Limits(wall="2s")
        callers = [
            threading.Thread(target=lambda: outcomes.append(sandbox.run(limits=limits).limit)) for _ in range(100)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    with pytest.warns(CallbackAbandoned):
        abandon_all()

    assert ["wall"] * 100 == outcomes
    assert len(begun) == guest_threads()  # a busy machine may not have come to all of them in time
    assert len(begun) > 50
    release.set()

    def is_settled() -> bool:
        # At most: what an earlier test left may have been on its way out.
        now = without_workers(descriptors), threading.active_count()
        return guest_threads() == 0 and now[0] <= before[0] and now[1] <= before[1]

    until(is_settled)
    assert resident() - memory < 64 << 20


BLOCKED_AT_EXIT = """
import sys, threading, time, warnings
import ringfence
warnings.simplefilter("ignore")
lock = threading.Lock()
lock.acquire()
def block():
    {block}
program = b'(module (import "env" "f" (func $f)) (func (export "_start") (call $f)))'
spin = b'(module (func (export "_start") (loop $again (br $again))))'
sandbox = ringfence.Sandbox(program, imports={{"env": {{"f": block}}}}, **{options})
for _ in range(4):
    assert "wall" == sandbox.run(limits=ringfence.Limits(wall="50ms")).limit
sandbox.start(stdin=None, stdout="capture") if {running} else None
import atexit
atexit.register(lock.release)
print("done", flush=True)
"""


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize(
    "block",
    [
        "time.sleep(1000)",
        "lock.acquire(); lock.release()",
        "while True: pass",
        "while True: time.sleep(0.001)",
        "sys.stdin.read()",
        "while True: ringfence.run(spin)",
    ],
)
def test_interpreter_exits_with_functions_still_blocked(block: str, running: bool) -> None:
    """Threads that are still inside a function end with the process: no hang, no abort, no noise."""
    script = BLOCKED_AT_EXIT.format(block=block, running=running, options=options())
    ours, theirs = os.pipe()  # an input that never comes
    try:
        words = [sys.executable, "-c", script]
        pipe = subprocess.PIPE
        # At once: each waits more than it computes.
        with contextlib.ExitStack() as stack:
            started = [
                stack.enter_context(subprocess.Popen(words, stdin=ours, stdout=pipe, stderr=pipe, text=True))
                for _ in range(3)
            ]
            for each in started:
                stack.callback(each.kill)
            for each in started:
                stdout, stderr = each.communicate(timeout=30)
                assert (0, "done\n", "") == (each.returncode, stdout, stderr)
    finally:
        os.close(ours)
        os.close(theirs)
