"""Sessions in workers: what dies with which, what is left, and what a caller who gives up finds afterwards."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Busy, CallbackAbandoned, Dir, Limits, Policy, PolicyError, Program, Session, SessionError
from ringfence._engine import core
from ringfence._isolation import MAX_WORKERS
from security.test_worker import walled, workers
from waiting import late, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

WORKERS = ("process", "worker")

needs_python = pytest.mark.skipif(
    importlib.util.find_spec("ringfence_language_python") is None, reason="the language pack is not installed"
)


@pytest.fixture(autouse=True)
def others() -> Iterator[set[int]]:
    """Give the workers of sessions that other tests left open, and end without more."""
    gc.collect()
    core.close_workers()
    known = set(workers())
    yield known
    gc.collect()
    until(lambda: are_gone(known))


def are_gone(known: set[int]) -> bool:
    """Tell whether nothing but these is left when all workers are told to end: one may just have been started ahead."""
    core.close_workers()
    return not set(workers()) - known


@pytest.fixture
def letters(guests: Path) -> Program:
    """Read the pack of letters."""
    return Program(core.Program.from_file(str(guests / "letters.wat"), "letters"))


def of_session(opened: Callable[[], Session]) -> tuple[Session, int]:
    """Open a session, and find its worker: the one that is bound."""
    before = walled()
    session = opened()
    [worker] = walled() - before
    return session, worker


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_worker_that_dies_in_a_turn_poisons_its_session_and_no_other(letters: Program, death: int) -> None:
    """The outcome is that of a run; one that stops to answer is killed at the deadline."""
    policy = Policy()
    other = Session(letters, policy=policy, isolation="worker")
    session, worker = of_session(lambda: Session(letters, policy=policy, isolation="worker"))
    said: list[bytes] = []
    killing = threading.Timer(0.1, os.kill, (worker, death))
    killing.start()
    began = time.monotonic()
    turn = session.eval("s", turn=Limits(wall=1.0), stdout=said.append)
    killing.join()

    assert time.monotonic() - began < 1.0 + 2 * late()
    assert ("limited" if death == signal.SIGSTOP else "crashed") == turn.outcome
    assert turn.poisoned
    if death != signal.SIGSTOP:
        assert f"the worker died of signal {death:d}" in (turn.trap or "")
    with pytest.raises(SessionError, match=r"restart\(\)"):
        session.eval("c")
    session.restart()
    assert (1, 1) == (session.eval("c").value, other.eval("c").value)
    session.close()
    other.close()


def test_worker_that_dies_between_turns_is_the_next_turns_crash(letters: Program) -> None:
    """Nobody looks at an idle session; who asks it for a turn is told."""
    session, worker = of_session(lambda: Session(letters, isolation="worker"))
    os.kill(worker, signal.SIGKILL)
    until(lambda: worker not in workers())
    turn = session.eval("c")

    assert ("crashed", True) == (turn.outcome, turn.poisoned)
    assert "the worker died of signal 9" in (turn.trap or "")
    session.restart()
    assert 1 == session.eval("c").value
    session.close()


def test_tenant_of_a_session_needs_a_process(letters: Program) -> None:
    """As for runs: in one process all tenants share an address space."""
    with pytest.raises(PolicyError, match="a tenant needs a process of its own"):
        Session(letters, tenant="anna")
    with Session(letters, tenant="anna", isolation="worker") as session:
        assert 1 == session.eval("c").value


@needs_python
@pytest.mark.usefixtures("compiled")
def test_what_a_dying_turn_had_printed_is_told() -> None:
    """It is in a file in memory that both processes have."""

    def die() -> None:
        os.kill(worker, signal.SIGKILL)
        until(lambda: worker not in workers())

    session, worker = of_session(lambda: Session("python", isolation="worker", functions={"die": die}))
    turn = session.eval("print('before', flush=True)\ndie()\nprint('after')")

    assert ("crashed", b"before\n", 1, True) == (turn.outcome, turn.stdout, turn.usage.calls, turn.poisoned)
    session.close()


@needs_python
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("isolation", ["wasm", *WORKERS])
def test_files_of_every_mode_last_as_long_as_their_session(tmp_path: Path, isolation: Any) -> None:
    """From turn to turn; the host's own change by "rw" alone."""
    for name in ("ro", "rw", "overlay"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("old", encoding="utf-8")
    dirs = [Dir(tmp_path / name, at=f"/{name}", mode=name) for name in ("ro", "rw", "overlay")]
    policy = Policy(dirs=[*dirs, Dir.memory({"file": b"old"}, at="/memory")], tmp=True)
    change = """
def change(place):
    try:
        with open(place + "/file", "w") as file: file.write("new")
    except OSError as error:
        return type(error).__name__
    return open(place + "/file").read()
"""
    with Session("python", policy=policy, isolation=isolation) as session:
        session.eval(change)
        session.eval("places = ['/ro', '/rw', '/overlay', '/memory', '/tmp']")
        changed = session.eval("[change(place) for place in places]")
        kept = session.eval("[open(place + '/file').read() for place in places]")

    assert ["OSError", "new", "new", "new", "new"] == changed.value
    assert ["write"] == [denial.kind for denial in changed.denials]
    assert ["old", "new", "new", "new", "new"] == kept.value
    on_the_host = [(tmp_path / name / "file").read_text(encoding="utf-8") for name in ("ro", "rw", "overlay")]
    assert ["old", "new", "old"] == on_the_host


@pytest.mark.parametrize("isolation", WORKERS)
@pytest.mark.parametrize("end", ["close", "collect", "poison", "restart", "fail"])
def test_no_process_thread_or_descriptor_outlives_its_session(
    letters: Program,
    nothing_stays: Callable[[], AbstractContextManager[None]],
    others: set[int],
    isolation: Any,
    end: str,
) -> None:
    """However it ends."""

    def use() -> None:
        session = Session(letters, isolation=isolation, functions={"f": lambda: 1}, turn=Limits(wall=0.2))
        session.eval("Cf")
        if end == "poison":
            assert session.eval("l").poisoned
        elif end == "fail":
            assert session.eval("u").poisoned
        elif end == "restart":
            session.restart()
            session.eval("c")
            session.close()
        elif end == "close":
            session.close()
        # The rest is up to the collector.

    use()
    gc.collect()
    with nothing_stays():
        for _ in range(3):
            use()
        gc.collect()
        until(lambda: not walled() - others)
    until(lambda: are_gone(others))


def test_session_keeps_its_worker_and_shares_it_with_nobody(letters: Program, others: set[int]) -> None:
    """Not even with a run of the same policy; what a session leaves goes with it."""
    policy = Policy()
    sessions = [Session(letters, policy=policy, isolation="worker") for _ in range(3)]
    before = walled() - others

    assert 3 == len(before)
    for session in sessions:
        assert [1, 2, 3] == [session.eval("c").value for _ in range(3)]
    assert before == walled() & before
    for session in sessions:
        session.close()
    until(lambda: not walled() & before)


def test_function_that_blocks_is_left_behind_and_its_worker_is_gone(letters: Program) -> None:
    """The caller returns at once, and the function ends whenever it likes."""
    release, over = threading.Event(), threading.Event()

    def block() -> None:
        release.wait(30)
        over.set()

    session, worker = of_session(lambda: Session(letters, isolation="worker", functions={"block": block}))
    began = time.monotonic()
    with pytest.warns(CallbackAbandoned, match="`block` was abandoned"):
        turn = session.eval("Cblock", turn=Limits(wall=0.2))

    assert time.monotonic() - began < 0.2 + late()
    assert ("limited", "wall", True) == (turn.outcome, turn.limit, turn.poisoned)
    assert (1, 0.0) == (turn.usage.calls, turn.usage.calls_seconds)
    until(lambda: worker not in workers())
    release.set()
    assert over.wait(10)
    session.restart()
    assert 1 == session.eval("c").value
    session.close()


CTRL_C = """
import os, sys, threading, time
from ringfence import Limits, Program, Session
from ringfence._engine import core
session = Session(Program(core.Program.from_file(sys.argv[1], "letters")), isolation="worker")
interrupt = threading.Timer(1, os.kill, (os.getpid(), 2))
interrupt.start()
try:
    session.eval("s")
except KeyboardInterrupt:
    print(session.poisoned, session.eval("c").value)
session.close()
"""


def test_ctrl_c_interrupts_the_guest_in_its_worker_and_keeps_the_session(guests: Path) -> None:
    """The signal is for this process alone; the worker is asked."""
    command = [sys.executable, "-c", CTRL_C, str(guests / "letters.wat")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert ("", "None 2\n", 0) == (ended.stderr, ended.stdout, ended.returncode)


def test_more_sessions_than_workers_are_refused_in_words(letters: Program, others: set[int]) -> None:
    """And those that are open go on."""
    policy = Policy()
    sessions = [Session(letters, policy=policy, isolation="process") for _ in range(MAX_WORKERS - len(others))]
    with pytest.raises(Busy, match=f"{MAX_WORKERS} guests run in workers"):
        Session(letters, policy=policy, isolation="process")
    sessions.pop().close()
    sessions.append(Session(letters, policy=policy, isolation="process"))

    assert {1} == {session.eval("c").value for session in sessions}
    for session in sessions:
        session.close()
