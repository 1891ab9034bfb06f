"""Memory that is used again: a run of a language begins as the first one did, whatever others did to theirs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

import ringfence
from ringfence import Limits, Policy
from security.isolated import options, run_code

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")

# Where new objects lie tells of every allocation that was made before, and what the collector knows of every object.
PROBE = """
import builtins, gc, os, sys
objects = [object(), [], {}, set(), "a" * 1000, bytearray(100_000), bytearray(3_000_000), lambda: 0]
print([id(each) for each in objects], len(gc.get_objects()), len(sys.modules), sorted(dir(builtins)) == dir(builtins))
print(hasattr(builtins, "SECRET"), "SECRET" in os.environ, print.__self__, sys.path, os.listdir("/"), gc.get_count())
print(any(bytearray(8_000_000)), any("SECRET" in str(each)[:100] for each in gc.get_objects() if type(each) is str))
"""

SPREAD = """
import builtins, gc, os, sys
builtins.SECRET = ["SECRET" * 10] * 100_000
builtins.len, sys.path[:], os.environ["SECRET"] = print, ["SECRET"], "SECRET"
held = [bytearray(b"SECRET" * 1000) for _ in range(4000)] + [bytearray(b"SECRET" * 4_000_000)]
for each in list(sys.modules):
    setattr(sys.modules[each], "SECRET", held)
gc.set_threshold(1)
"""

ENDS = {
    "returns": "",
    "exits": "sys.exit(3)",
    "raises": "raise ValueError(held[0])",
    "leaves": "os._exit(0)",
    "aborts": "os.abort()",
    "loops": "while True: pass",
    "sleeps": "import time; time.sleep(100)",
    "grows": "while True: held.append(bytearray(1_000_000))",
    "recurses": "def down(): down()\ndown()",
    "floods": "while True: print('SECRET')",
}


@pytest.mark.parametrize("end", ENDS)
def test_run_after_another_begins_as_the_first_did(end: str, isolation: str) -> None:
    """Whatever filled the memory of the run before, and however that ended."""
    del isolation
    limits = Limits(wall="300ms", memory="256MiB", output="100KiB")
    first = run_code(PROBE, "python")
    assert first.ok, first.stderr

    for _ in range(2):
        run_code(SPREAD + ENDS[end], "python", policy=Policy(limits=limits))
        after = run_code(PROBE, "python")

        assert (first.stdout, b"") == (after.stdout, after.stderr)


def test_run_that_its_caller_gave_up_leaves_nothing() -> None:
    """A function of the caller that raises in the middle of a write drops the guest where it stands."""

    def broken(data: bytes) -> None:
        raise KeyError(data)

    first = run_code(PROBE, "python")
    with pytest.raises(KeyError):
        ringfence.run(code=SPREAD + "print(held[0][:6])", language="python", stdout=broken)

    assert first.stdout == run_code(PROBE, "python").stdout


def test_run_after_sessions_begins_as_the_first_did() -> None:
    """Sessions take their memory from the same place and give it back when they close."""
    first = run_code(PROBE, "python")
    for _ in range(20):
        with ringfence.Session(language="python") as session:
            session.eval(SPREAD)
            session.eval("x = SECRET")

        assert first.stdout == run_code(PROBE, "python").stdout
    with ringfence.Session(language="python") as session:
        assert session.eval("import builtins, os; hasattr(builtins, 'SECRET') or 'SECRET' in os.environ").value is False


def script(code: str, tmp_path: Path) -> str:
    """Run a script in a process of its own, and give what it printed."""
    file = tmp_path / "script.py"
    file.write_text(f"PROBE = {PROBE!r}\nSPREAD = {SPREAD!r}\n" + textwrap.dedent(code), encoding="utf-8")
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=dict(os.environ))
    assert (0, "") == (ended.returncode, ended.stderr), ended.stdout + ended.stderr
    return ended.stdout


def test_ten_thousand_runs_leave_no_mapping_descriptor_or_thread(tmp_path: Path) -> None:
    """One after the other and at the same time; what waits to be used again is given back when nothing runs."""
    code = """
    import os, time
    from concurrent.futures import ThreadPoolExecutor
    import ringfence

    small = ringfence.Sandbox(code="let x = 'SECRET'.repeat(1000)", language="javascript")
    large = ringfence.Sandbox(code="x = bytearray(1_000_000)", language="python")
    ended = ringfence.Sandbox(code="import os; os.abort()", language="python")

    def count():
        with open("/proc/self/maps") as maps:
            spans = [([int(end, 16) for end in line.split()[0].split("-")], line) for line in maps]
        # Memories and stacks by the space that all mappings take: the kernel tells of neighbours as one.
        space = sum(end - start for (start, end), _ in spans)
        ours = [line for _, line in spans if ".cwasm" in line]
        return [space, len(ours), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))]

    def settled(most):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(now > before for now, before in zip(count(), most)):
            time.sleep(0.05)
        return count()

    def storm(runs):
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda number: (ended if number % 20 == 0 else small).run(), range(runs)))

    storm(100)
    time.sleep(2)
    before = count()
    before[0] += 2 << 30  # half a memory: less is anybody's
    storm(4000)
    for number in range(6000):
        (large if number % 20 == 0 else small).run()
    after = settled(before)
    print("grew" if any(now > then for now, then in zip(after, before)) else "same", before, after)
    """
    pytest.importorskip("ringfence_language_javascript", reason="the language pack is not installed")
    told = script(code, tmp_path)
    assert told.startswith("same"), told


def test_child_of_a_fork_finds_no_memory_of_its_parents_runs(tmp_path: Path) -> None:
    """Forked while other threads run guests; the parent's own runs go on as if there had been no fork."""
    code = """
    import os, threading
    import ringfence

    def probe():
        return ringfence.run(code=PROBE, language="python").stdout

    first = probe()
    with ringfence.Session(language="python") as session:
        session.eval(SPREAD)
        going, wrong = [True], []
        def work():
            while going[0]:
                ringfence.run(code=SPREAD, language="python")
                if probe() != first:
                    wrong.append("a run of the parent")
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            pid = os.fork()
            if not pid:
                os._exit(0 if probe() == first and probe() == first else 1)
            if os.waitpid(pid, 0)[1]:
                wrong.append("a child")
        going[0] = False
        for thread in threads:
            thread.join()
        if session.eval("bytes(SECRET[0][:6])").value != b"SECRET":
            wrong.append("the session")
    print(wrong or "well")
    """
    assert "well\n" == script(code, tmp_path)


def test_memory_limit_holds_in_memory_that_is_used_again(isolation: str) -> None:
    """The limit is of a run's own bytes, whether its memory is new or was another's."""
    del isolation
    policy = Policy(limits=Limits(memory="64MiB"))
    code = "held = []\nwhile True: held.append(bytearray(1_000_000))"
    for _ in range(4):
        result = ringfence.run(code=code, language="python", policy=policy, **options())

        assert "limited" == result.outcome or b"MemoryError" in result.stderr
        assert 50 << 20 < result.usage.memory_bytes <= 64 << 20


def test_memory_of_a_session_that_closes_while_nothing_runs_is_given_back(tmp_path: Path) -> None:
    """A second later nothing of it is mapped, though the clock that sees to it was asleep."""
    code = """
    import time
    from ringfence import Session

    def lent():
        with open("/proc/self/maps") as maps:
            spans = [[int(end, 16) for end in line.split()[0].split("-")] for line in maps]
        return sum(end - start > 1 << 30 for start, end in spans)

    sessions = [Session(language="python") for _ in range(5)]
    for session in sessions:
        session.eval("x = 1")
    time.sleep(2)
    before = lent()
    for session in sessions:
        session.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and lent() >= before - 4:
        time.sleep(0.05)
    print(before >= 5, before - lent() >= 5)
    """
    assert "True True\n" == script(code, tmp_path)
