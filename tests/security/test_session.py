"""
Sessions: source that tries to hold its host, to break it, or to get out.

Attacks on the driver itself are in `crates/ringfence/tests/session`; here is what can be written in the letters of
`letters.wat`, and in Python where that is installed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Dir, Limits, Policy, Program, SessionError
from ringfence._engine import core
from security import isolated
from waiting import late

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ringfence import Session, Turn

pytestmark = pytest.mark.usefixtures("isolation")

UNSEEN = "what no guest may see"

needs_python = pytest.mark.skipif(
    importlib.util.find_spec("ringfence_language_python") is None, reason="the language pack is not installed"
)


@pytest.fixture
def letters(guests: Path) -> Program:
    """Read the pack of letters."""
    return Program(core.Program.from_file(str(guests / "letters.wat"), "letters"))


@pytest.fixture
def python(compiled: Path) -> Iterator[Callable[..., Session]]:
    """Open sessions of Python under a policy made of the keywords."""
    assert compiled.is_dir()
    opened: list[Session] = []

    def make(functions: dict[str, Any] | None = None, **policy: Any) -> Session:
        opened.append(isolated.Session("python", policy=Policy(**policy), functions=functions))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


def timed(session: Session, source: str, wall: float = 0.3) -> Turn:
    """Run a turn, which must be over soon after its deadline."""
    began = time.monotonic()
    turn = session.eval(source, turn=Limits(wall=wall))
    assert time.monotonic() - began < wall + late(), turn
    return turn


@pytest.mark.parametrize("source", ["l", "W", "Z", "s", "w"])
def test_turn_that_never_ends_is_over_soon_after_its_deadline(letters: Program, source: str) -> None:
    """Whether it computes or sleeps, listens or not, or scribbles over the words that tell it."""
    assert "limited" == timed(isolated.Session(letters), source).outcome


@pytest.mark.parametrize("source", list("012345678"))
def test_forged_result_poisons_its_session_and_no_other(letters: Program, source: str) -> None:
    """Pointers beyond the memory or above 2 GiB, lengths of 4 GiB, values that are none."""
    policy = Policy()
    victim, other = isolated.Session(letters, policy=policy), isolated.Session(letters, policy=policy)
    turn = victim.eval(source)

    assert ("trapped", True) == (turn.outcome, turn.poisoned)
    with pytest.raises(SessionError):
        victim.eval("c")
    assert 1 == other.eval("c").value


def test_recursion_ends_on_the_stack_it_has(letters: Program) -> None:
    """And the host's own stack is not touched."""
    turn = isolated.Session(letters).eval("r")

    assert ("trapped", "stack overflow") == (turn.outcome, turn.trap)


def test_flood_does_not_hold_a_caller_whose_function_is_slow(letters: Program) -> None:
    """Output that nobody takes in time is waited for until the deadline, and no longer."""
    session = isolated.Session(letters)
    began = time.monotonic()
    with pytest.warns(RuntimeWarning, match="abandoned"):
        turn = session.eval("o", turn=Limits(wall=0.3), stdout=lambda _: time.sleep(3))

    assert "limited" == turn.outcome
    assert time.monotonic() - began < 0.3 + 2 * late()


def test_other_threads_run_while_a_guest_computes(letters: Program) -> None:
    """The interpreter is let go of, with functions and without."""
    for functions in (None, {"f": lambda: 1}):
        count = 0
        over = threading.Event()
        session = isolated.Session(letters, functions=functions)

        def turn(session: Session = session, over: threading.Event = over) -> None:
            timed(session, "s")
            over.set()

        thread = threading.Thread(target=turn)
        thread.start()
        while not over.is_set():
            count += 1
            time.sleep(0.001)
        thread.join()
        assert count > 10


def test_many_sessions_are_open_at_once_and_share_nothing(letters: Program, isolation: str) -> None:
    """Each has memory of its own; in workers there are as many as a process may have."""
    policy = Policy()
    many = 300 if isolation == "wasm" else 40
    sessions = [isolated.Session(letters, policy=policy) for _ in range(many)]
    for number, session in enumerate(sessions):
        for _ in range(number % 3):
            session.eval("n")
    assert [number % 3 + 1 for number in range(many)] == [session.eval("c").value for session in sessions]


@pytest.mark.skipif(sys.platform != "linux", reason="fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_child_of_a_fork_is_told_and_may_begin_its_own(letters: Program) -> None:
    """The instance is the parent's; the child neither uses nor drops it."""
    session = isolated.Session(letters)
    session.eval("c")
    child = os.fork()
    if not child:
        code = 1
        try:
            try:
                session.eval("c")
            except SessionError as error:
                code = 2 if "parent" in str(error) else 3
            session.restart()
            code = 0 if code == 2 and session.eval("c").value == 1 else code + 10
        finally:
            os._exit(code)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert 2 == session.eval("c").value


@needs_python
@pytest.mark.parametrize(
    ("source", "intact"),
    [
        ("while True: pass", True),
        ("import time; time.sleep(1000)", True),
        ("def f(): f()\nwhile True:\n  try: f()\n  except RecursionError: pass", True),
        ("while True:\n  try:\n    while True: pass\n  except BaseException: pass", False),
        ("import re; re.match('(a+)+$', 'a' * 40 + 'b')", False),
        ("10 ** 10 ** 10", False),
        ("sum(range(10 ** 12))", None),
        ("import os\nwhile True: os.write(2, b'')", True),
    ],
)
def test_python_that_never_ends_is_stopped(python: Callable[..., Session], source: str, intact: bool | None) -> None:
    """What checks for signals hears of it, and its session goes on; the rest is stopped for good."""
    session = python()
    turn = timed(session, source)

    assert ("limited", "wall") == (turn.outcome, turn.limit)
    assert intact in (None, not turn.poisoned)
    if not turn.poisoned:
        assert 2 == session.eval("1 + 1").value


@needs_python
def test_finally_of_the_user_runs_at_the_deadline(python: Callable[..., Session]) -> None:
    """That is what the moment between telling and stopping is for."""
    session = python()
    turn = timed(session, "done = []\ntry:\n  while True: pass\nfinally: done.append(1)")

    assert turn.error is not None
    assert ("TimeoutError", [1]) == (turn.error.type, session.eval("done").value)


@needs_python
@pytest.mark.parametrize(
    ("source", "outcome", "poisoned"),
    [
        ("import sys; sys.exit(3)", "exited", False),
        ("[__import__('sys').exit(3) for _ in 'a']", "exited", False),
        ("class A:\n  def __repr__(self): raise SystemExit(3)\nA()", None, False),
        ("def g():\n  try: yield\n  finally: raise SystemExit(3)\nlist(g())", "exited", False),
        ("import os; os._exit(3)", "exited", True),
        ("import os; os.abort()", "trapped", True),
        ("import sys; sys.stdout = None; sys.stderr = 3; 1/0", "raised", False),
        ("import builtins; builtins.print = builtins.repr = builtins.str = None; object()", None, False),
        ("import os; os.system('id')", "raised", False),
        ("import ctypes", "raised", False),
        ("import threading; threading.Thread(target=print).start()", "raised", False),
        ("import subprocess; subprocess.run(['id'])", "raised", False),
        ("(" * 10000 + ")" * 10000, "raised", False),
        ("[" * 150 + "]" * 150, "returned", False),
        ("x = 'a' * 10 ** 12", "raised", False),
        ("x = [0] * 10 ** 8", "raised", False),
        ("\0", "raised", False),
    ],
)
def test_python_that_leaves_or_breaks_itself_is_a_typed_outcome(
    python: Callable[..., Session], source: str, outcome: str | None, poisoned: bool
) -> None:
    """Exits in odd places, aborts, patched builtins: the session is poisoned or goes on, and the host with it."""
    session = python()
    turn = session.eval(source)

    assert poisoned == turn.poisoned, turn
    assert outcome in (None, turn.outcome), turn
    if not poisoned:
        assert 2 == session.eval("1 + 1").value


@needs_python
def test_python_sees_nothing_of_its_host(
    python: Callable[..., Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file, no variable, no other session, unless the policy grants it."""
    (tmp_path / "granted").mkdir()
    (tmp_path / "granted" / "note.txt").write_text("granted")
    (tmp_path / "secret.txt").write_text(UNSEEN)
    monkeypatch.setenv("RINGFENCE_TEST_SECRET", UNSEEN)
    other = python()
    other.eval(f"secret = {UNSEEN!r}")
    session = python(dirs=[Dir(tmp_path / "granted", at="/data")])

    assert "granted" == session.eval("open('/data/note.txt').read()").value
    for source in (
        "open('/etc/passwd').read()",
        f"open({str(tmp_path / 'secret.txt')!r}).read()",
        "open('/data/../secret.txt').read()",
        "import os; os.environ['RINGFENCE_TEST_SECRET']",
        "secret",
        "import socket; socket.create_connection(('127.0.0.1', 1))",
    ):
        turn = session.eval(source)
        assert "raised" == turn.outcome, source
        assert UNSEEN not in repr(turn.error)


@needs_python
def test_forged_messages_reach_no_function(python: Callable[..., Session]) -> None:
    """Guest code can send the host whatever it likes."""
    called: list[str] = []
    session = python({"safe": lambda: called.append("safe")})
    forged = [b"", b"X", b"F", b"F\\x83", b"F\\x9b" + b"\\xff" * 8, b"F\\x83\\x64safe\\x80", b"L1", b"S1", b"H"]
    for message in forged:
        literal = message.decode("ascii")
        turn = session.eval(f"import _ringfence_host\n_ringfence_host.raw(b'{literal}')")
        assert "raised" == turn.outcome, message
    assert [] == called
    assert [1, "NameError"] == session.eval("_ringfence_host.call(['other', [], {}])").value[:2]
    assert [1, "TypeError"] == session.eval("_ringfence_host.call(['safe', [1], {}])").value[:2]


@needs_python
def test_values_that_grow_are_refused_before_the_host_holds_them(python: Callable[..., Session]) -> None:
    """Sixty million nothings are few bytes, and gigabytes as objects."""
    session = python({"take": len}, limits=Limits(memory="1GiB", host_bytes="8MiB", wall="20s"))
    for source in ("[None] * 1_000_000", "'x' * 9_000_000", "take([None] * 1_000_000)", "take(b'x' * 9_000_000)"):
        turn = session.eval(source)
        assert ("raised", False) == (turn.outcome, turn.poisoned), source
    assert 2 == session.eval("1 + 1").value


@needs_python
def test_memory_that_runs_out_is_an_exception_and_the_session_goes_on(python: Callable[..., Session]) -> None:
    """The guest's own allocator hears of it."""
    session = python(limits=Limits(memory="128MiB", wall="20s"))
    turn = session.eval("kept = []\nwhile True: kept.append(bytearray(1 << 20))")

    assert turn.error is not None
    assert ("raised", "MemoryError") == (turn.outcome, turn.error.type)
    assert ["memory"] == [denial.kind for denial in turn.denials]
    assert 2 == session.eval("kept.clear()\n1 + 1").value
