"""What shares a process with guests: signals, tracers, fault handlers and other interpreters."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Limits, Sandbox, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLING = b'(module (import "env" "f" (func $f)) (func (export "_start") (call $f)))'
TRAPPING = b"""(module (memory 1)
  (func (export "_start") (drop (i32.load (i32.const 0x7fffffff)))))"""
SPIN = b'(module (func (export "_start") (loop $again (br $again))))'


@pytest.fixture
def alarms() -> Iterator[list[int]]:
    """The alarms that were handled, on which thread."""
    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(threading.get_ident()))
    yield seen
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_signals_are_handled_while_a_guest_runs(alarms: list[int]) -> None:
    """On the main thread as ever, whether the guest has a thread of its own or not; the run goes on."""
    for imports in (None, {"env": {"f": lambda: time.sleep(0.5)}}):
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        result = run(
            CALLING if imports else SPIN, imports=imports, limits=Limits(wall="400ms" if not imports else "2s")
        )
        assert ("exited" if imports else "limited") == result.outcome

    assert [threading.get_ident()] * 2 == alarms


def test_handler_that_raises_ends_the_run(alarms: list[int]) -> None:
    """As Ctrl-C does."""

    def fail(*_: object) -> None:
        alarms.append(0)
        raise LookupError("from the handler")

    signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with pytest.raises(LookupError, match="from the handler"):
        run(SPIN)


def test_wakeup_descriptor_is_woken(alarms: list[int]) -> None:
    """An event loop that waits for signals hears of them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno())
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            run(SPIN, limits=Limits(wall="300ms"))
        finally:
            signal.set_wakeup_fd(before)
        assert bytes([signal.SIGALRM]) == ours.recv(1)
    assert 1 == len(alarms)


def test_children_of_ours_are_nobody_elses(guests: Path) -> None:
    """The compiler's child is waited for by its number: a child of the caller keeps its exit code."""
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    number = b"%d" % time.monotonic_ns()
    assert run(b'(module (func (export "_start") (drop (i64.const ' + number + b"))))").ok
    assert Sandbox(guests / "hello.wat").run().ok

    assert 7 == child.wait()


@pytest.mark.parametrize("before", [False, True])
def test_fault_handler_is_silent_about_guests(before: bool) -> None:
    """A guest's fault is the guest's, whoever came first; a dump of all threads works in the middle of a run."""
    code = f"""
import faulthandler, sys
if {before}:
    faulthandler.enable()
import ringfence
assert "trapped" == ringfence.run({TRAPPING!r}).outcome
if not {before}:
    faulthandler.enable()
sandbox = ringfence.Sandbox({TRAPPING!r})
assert ["trapped"] * 10 == [sandbox.run().outcome for _ in range(10)]
print("quiet", file=sys.stderr, flush=True)
faulthandler.dump_traceback_later(0.1, exit=False)
assert "wall" == ringfence.run({SPIN!r}, limits=ringfence.Limits(wall="400ms")).limit
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    quiet, dump = ended.stderr.split("quiet\n")
    assert (0, "") == (ended.returncode, quiet)
    assert "most recent call first" in dump


def test_real_fault_still_ends_the_process_with_its_report() -> None:
    """A fault that is no guest's is not swallowed."""
    code = f"""
import ctypes, faulthandler
faulthandler.enable()
import ringfence
assert "trapped" == ringfence.run({TRAPPING!r}).outcome
ctypes.string_at(8)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert -signal.SIGSEGV == ended.returncode
    assert "Segmentation fault" in ended.stderr


def test_tracers_and_profilers_see_the_caller() -> None:
    """`sys.settrace` and `sys.setprofile` work around runs, functions and exceptions."""
    events: list[str] = []

    def trace(frame: Any, event: str, _: object) -> Any:
        events.append(f"{frame.f_code.co_name} {event}")
        return trace

    def fail() -> None:
        raise LookupError

    sys.settrace(trace)
    sys.setprofile(lambda frame, event, _: events.append(f"{frame.f_code.co_name} {event}"))
    try:
        with pytest.raises(LookupError):
            run(CALLING, imports={"env": {"f": fail}})
    finally:
        sys.settrace(None)
        sys.setprofile(None)

    assert "run call" in events


def test_other_interpreters_are_refused() -> None:
    """Ringfence lives in the main interpreter; a subinterpreter is told so."""
    code = """
import ringfence
assert ringfence.run(b'(module (func (export "_start")))').ok
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    import _interpreters as interpreters
told = interpreters.create()
interpreters.run_string(told, '''
import ringfence
try:
    ringfence.run
except ImportError as error:
    print("refused:", error, flush=True)
''')
assert ringfence.run(b'(module (func (export "_start")))').ok
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})

    assert (0, "") == (ended.returncode, ended.stderr)
    assert ended.stdout.startswith("refused: Ringfence cannot be used in a subinterpreter")
