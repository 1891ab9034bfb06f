"""Processes that fork, before and after Ringfence was used, and what their children find."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# With backtraces on, an error takes a lock of the whole process.
ENVIRONMENT = {**os.environ, "RUST_BACKTRACE": "1"}

HEAD = """
import multiprocessing, os, signal, sys, threading, time, traceback, warnings
from concurrent.futures import ProcessPoolExecutor
import ringfence
from ringfence import Limits, Policy, Sandbox

GUESTS = sys.argv[1]
HELLO = GUESTS + "/hello.wat"
CALLING = b'(module (import "env" "f" (func $f)) (func (export "_start") (call $f)))'
SPIN = b'(module (func (export "_start") (loop $again (br $again))))'

def child(work):
    "Fork, work, and give the exit code; killed when it hangs."
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = 0 if work() else 2
        except BaseException:
            traceback.print_exc()  # a child leaves by _exit: nobody else would tell
        finally:
            os._exit(code)
    return ended(pid)

def ended(pid):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"

def is_well(sandbox=None):
    "Run everything there is to run in this process."
    assert sandbox is None or b"hello, world\\n" == sandbox.run().stdout
    assert b"hello, world\\n" == ringfence.run(HELLO).stdout
    assert "wall" == ringfence.run(SPIN, limits=Limits(wall="100ms")).limit
    assert 2 <= ringfence.run(SPIN, policy=Policy(limits=Limits(fuel=10000))).usage.fuel
    seen = []
    assert ringfence.run(CALLING, imports={"env": {"f": lambda: seen.append(1)}}).ok and seen
    ringfence.run(HELLO, stdout=seen.append)
    return b"hello, world\\n" == seen[1]
"""


def script(code: str, guests: Path, tmp_path: Path) -> str:
    """Run a script in a process of its own, and give what it printed."""
    file = tmp_path / "script.py"
    file.write_text(HEAD + textwrap.dedent(code), encoding="utf-8")
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(file), str(guests)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, env=ENVIRONMENT)
    assert (0, "") == (ended.returncode, ended.stderr), ended.stdout + ended.stderr
    return ended.stdout


def test_child_of_a_process_that_used_ringfence_works(guests: Path, tmp_path: Path) -> None:
    """Old sandboxes and new ones, and so does a child of the child."""
    code = """
    sandbox = Sandbox(HELLO)
    assert is_well(sandbox)
    print(child(lambda: is_well(sandbox) and 0 == child(lambda: is_well(sandbox))), is_well(sandbox))
    """
    assert "0 True\n" == script(code, guests, tmp_path)


def test_child_forked_in_the_middle_of_runs_works(guests: Path, tmp_path: Path) -> None:
    """Whatever the other threads were doing: running, loading, calling functions. Never a hang."""
    code = """
    assert is_well()  # a module that another thread imports at the fork stays locked: that is Python's own
    sandbox, calling = Sandbox(HELLO), Sandbox(CALLING, imports={"env": {"f": lambda: None}})
    going = [True]
    def repeat(work):
        while going[0]:
            work()
    def load():
        number = b"%d" % (time.monotonic_ns() % 50)
        ringfence.run(b'(module (func (export "_start") (drop (i32.const ' + number + b'))))')
    work = [sandbox.run, calling.run, load, lambda: ringfence.run(b'(module (func (export "_start") unreachable))')]
    threads = [threading.Thread(target=repeat, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    codes = [child(lambda: is_well(sandbox)) for _ in range(15)]
    going[0] = False
    for thread in threads:
        thread.join()

    print(set(codes) - {0}, is_well(sandbox))
    """
    assert "set() True\n" == script(code, guests, tmp_path)


def test_child_forked_while_guests_trap_works(guests: Path, tmp_path: Path) -> None:
    """A trap looks its code up under a lock that a child cannot make anew."""
    code = """
    going = [True]
    trap = Sandbox(b'(module (func (export "_start") unreachable))')
    def repeat():
        while going[0]:
            trap.run()
    threads = [threading.Thread(target=repeat) for _ in range(3)]
    for thread in threads:
        thread.start()
    codes = [child(lambda: b"hello, world\\n" == ringfence.run(HELLO).stdout) for _ in range(30)]
    going[0] = False
    for thread in threads:
        thread.join()

    print(set(codes))
    """
    assert "{0}\n" == script(code, guests, tmp_path)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("before", [False, True])
def test_multiprocessing_works(method: str, before: bool, guests: Path, tmp_path: Path) -> None:
    """Both its processes and its pools, whether or not the parent ran guests before."""
    code = f"""
    if __name__ == "__main__":
        context = multiprocessing.get_context({method!r})
        assert not {before} or is_well()
        process = context.Process(target=is_well)
        process.start()
        process.join(30)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            print(process.exitcode, list(pool.map(is_well, [None] * 4, timeout=30)))
        assert is_well()
    """
    assert "0 [True, True, True, True]\n" == script(code, guests, tmp_path)


@pytest.mark.parametrize("isolation", ["wasm", "worker"])
def test_function_that_forks_leaves_the_parent_alone(isolation: str, guests: Path, tmp_path: Path) -> None:
    """A child that ends inside the function is none of the guest's business; it may run guests of its own."""
    code = """
    codes = []
    sandbox = Sandbox(CALLING, imports={"env": {"f": lambda: codes.append(child(is_well))}}, isolation=ISOLATION)
    print(sandbox.run().outcome, sandbox.run().outcome, codes)
    """
    told = script(code.replace("ISOLATION", repr(isolation)), guests, tmp_path)
    assert "exited exited [0, 0]\n" == told


@pytest.mark.parametrize("isolation", ["wasm", "worker"])
def test_child_that_comes_back_from_a_function_ends(isolation: str, guests: Path, tmp_path: Path) -> None:
    """Its caller is in the parent: it tells so and is gone, with an exit code of its own."""
    code = """
    pids = []
    def fork():
        pid = os.fork()
        if not pid:
            os.dup2(1, 2)
        else:
            pids.append(pid)
    result = ringfence.run(CALLING, imports={"env": {"f": fork}}, isolation=ISOLATION)
    print(result.outcome, ended(pids[0]))
    """
    told = script(code.replace("ISOLATION", repr(isolation)), guests, tmp_path)
    assert told.startswith("ringfence: a host function forked")
    assert told.endswith("exited 125\n")


def test_child_forked_by_a_signal_in_the_middle_of_a_run_is_told(guests: Path, tmp_path: Path) -> None:
    """A run that is under way on the forking thread goes on in the parent; in the child it is an error."""
    code = """
    pids = []
    def fork(*_):
        pids.append(os.fork())
    signal.signal(signal.SIGALRM, fork)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    sandbox, hello = Sandbox(SPIN, policy=Policy(limits=Limits(wall="1s"))), Sandbox(HELLO)
    try:
        told = sandbox.run().limit
    except ringfence.HostError as error:
        told = error.what
    if not pids[0]:
        assert "this process was forked while this thread ran a guest" == told, told
        assert is_well(hello)
        os._exit(7)
    print(told, ended(pids[0]), is_well(hello))
    """
    assert "wall 7 True\n" == script(code, guests, tmp_path)


def test_handle_of_the_parents_process_is_told(guests: Path, tmp_path: Path) -> None:
    """A guest that runs in the parent cannot be waited for in the child."""
    code = """
    process = Sandbox(SPIN).start()
    def wait():
        try:
            process.wait(5)
        except ringfence.HostError as error:
            return "another process" in error.why
    print(child(wait))
    process.kill()
    process.wait()
    """
    assert "0\n" == script(code, guests, tmp_path)


APP = """
import sys
import ringfence
sandbox = ringfence.Sandbox({hello!r})
assert sandbox.run().ok
seen = []
calling = ringfence.Sandbox(
    b'(module (import "env" "f" (func $f)) (func (export "_start") (call $f)))',
    imports={{"env": {{"f": lambda: seen.append(1)}}}},
)

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    assert calling.run().ok and seen
    return [sandbox.run().stdout]
"""


@pytest.mark.parametrize("flags", [[], ["--preload"], ["--preload", "--threads", "4"]])
def test_gunicorn_serves_guests(flags: list[str], guests: Path, tmp_path: Path) -> None:
    """An application that runs a guest for every request, loaded before the workers are forked or after."""
    (tmp_path / "served.py").write_text(APP.format(hello=str(guests / "hello.wat")), encoding="utf-8")
    socket = tmp_path / "port"
    command = [sys.executable, "-m", "gunicorn", "-w", "3", "-b", "127.0.0.1:0", "--log-file", str(socket), *flags]
    with subprocess.Popen([*command, "served:app"], cwd=tmp_path, env=ENVIRONMENT) as server:
        try:
            deadline = time.monotonic() + 20
            url = None
            while url is None:
                assert time.monotonic() < deadline
                time.sleep(0.05)
                log = socket.read_text(encoding="utf-8") if socket.exists() else ""
                url = next((word for word in log.split() if word.startswith("http://127.0.0.1:")), None)
            answers = []
            for _ in range(20):
                with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - ours
                    answers.append(answer.read())
        finally:
            server.terminate()

    assert [b"hello, world\n"] * 20 == answers
    assert 0 == server.returncode
