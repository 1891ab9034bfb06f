"""What the kernel refuses to memory of languages: there is another way, or a typed error, and nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from security.refused_calls import CALLS, Judge

pytest.importorskip("ringfence_language_javascript", reason="the language pack is not installed")

TESTS = Path(__file__).resolve().parents[1]

BEGIN = f"""
import json, os, sys, time
sys.path.insert(0, {str(TESTS)!r})
import ringfence
from ringfence import Session
from security.refused_calls import Defendant, refuse

# Memory that is not zero where it was never written to, or that is another's, shows here; and how the heap lies.
PROBE = '''let zeros = new Uint8Array(4_000_000), own = []
for (let at = 0; at < 20000; at++) own.push('own' + at)
console.log(zeros.every(byte => byte === 0), own.length, typeof SECRET)'''
SPREAD = "globalThis.SECRET = []; for (let at = 0; at < 100; at++) SECRET.push(new Uint8Array(50_000).fill(170)); 0"

# Before anything is tried out.
refuse(*json.loads(os.environ.get("REFUSED", "[]")))
clean = ringfence.Sandbox(code=PROBE, language="javascript")
dirty = ringfence.Sandbox(code=SPREAD, language="javascript")
FIRST = b"true 20000 undefined\\n"

def branches(session, of):
    "What forks and snapshots of a large session come to, beside what they have to."
    session.eval("globalThis.large = new Uint8Array(9_000_000).fill(7); globalThis.n = 0; 0")
    for turn in range(3):
        session.eval("n += 1; large[n * 5000] = n + 100; 0")
        of.append((turn + 1, session.snapshot()))
    ask = "[n, large[4999], large[5000], large[10000], large[15000], large[8999999]].join()"
    for want, snapshot in of:
        for fork in snapshot.fork_many(3) + snapshot.fork_many(2) + [snapshot.fork().fork()]:
            marks = [str(each + 100) if each <= want else "7" for each in (1, 2, 3)]
            yield ",".join([str(want), "7", *marks, "7"]), fork.eval(ask).value
            fork.eval("large.fill(9); 0")
"""


def script(code: str, tmp_path: Path, judge: Judge | None = None, **variables: str) -> list[str]:
    """Run a script in a process of its own, and give the lines that it printed."""
    file = tmp_path / "script.py"
    file.write_text(BEGIN + textwrap.dedent(code), encoding="utf-8")
    command = [sys.executable, str(file)]
    fds = [] if judge is None else [judge.theirs.fileno()]
    variables["JUDGE"] = "".join(map(str, fds))
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | variables, pass_fds=fds
    )
    if judge is not None:
        judge.start()
    out, err = process.communicate(timeout=200)
    assert (0, "") == (process.returncode, err), out + err
    return list(out.splitlines())


@pytest.mark.parametrize(
    ("refused", "finding", "words"),
    [
        (["written pages"], "recycling", "found in the map of pages (PAGEMAP_SCAN: Function not implemented"),
        (["written pages", "map of pages"], "recycling", "snapshots compare all of it"),
        (["giving back"], "recycling", "memory is not used again"),
        (["file in memory"], "forks", "copied for each fork: no sealed file in memory (Too many open files"),
        (["its seal"], "forks", "copied for each fork: no sealed file in memory (Operation not permitted"),
        (["written pages", "map of pages", "giving back", "file in memory"], "recycling", "memory is not used again"),
    ],
    ids=lambda given: "+".join(given) if isinstance(given, list) else None,
)
def test_what_a_kernel_refuses_is_done_another_way_and_told(
    refused: list[str], finding: str, words: str, tmp_path: Path
) -> None:
    """Runs are as fresh, forks as right, and `ringfence doctor` says which way is in use, why, and what mends it."""
    code = """
    for _ in range(4):
        dirty.run()
        assert clean.run().stdout == FIRST
    with Session(language="javascript") as session:
        for want, got in branches(session, []):
            assert want == got, (want, got)
    assert clean.run().stdout == FIRST
    from ringfence._engine import core
    print(core.doctor())
    """
    [told] = script(code, tmp_path, REFUSED=json.dumps(refused))
    findings = {each["name"]: each for each in json.loads(told)}

    assert words in findings[finding]["value"]
    assert not findings[finding]["ok"]
    assert findings[finding]["fix"]


@pytest.mark.parametrize("name", [name for name in CALLS if name != "map of pages"])
def test_call_that_fails_once_ends_in_an_error_or_another_way(name: str, tmp_path: Path) -> None:
    """
    One call of its kind fails, here or there: nothing of another's is seen, nothing is lost.

    Some of them are tried here; `RINGFENCE_FAULTS=1000000` tries each.
    """
    code = """
    judge = Defendant(int(os.environ["JUDGE"]))
    errors, wrong, lines = {}, [], []

    def count():
        with open("/proc/self/maps") as maps:
            spans = [([int(end, 16) for end in line.split()[0].split("-")], line) for line in maps]
        ours = [line for (start, end), line in spans
                if ".cwasm" in line or "memfd" in line or end - start > 1 << 30 or end - start == 5 << 20]
        lines[:] = ours
        return [len(ours), len(os.listdir("/proc/self/fd"))]

    def attempt(act):
        try:
            act()
        except ringfence.RingfenceError as error:
            errors[type(error).__name__] = str(error)

    def acts():
        def run():
            dirty.run()
            if clean.run().stdout != FIRST:
                wrong.append("a run")
        def session():
            with Session(language="javascript") as session:
                for want, got in branches(session, []):
                    # A guest that gets no more memory says so.
                    if got not in (want, None):
                        wrong.append(("a branch", want, got))
        def fork():
            if kept.fork().eval("mark").value != "kept":
                wrong.append("a fork")
        for act in (run, session, fork, run):
            attempt(act)

    with Session(language="javascript") as keep:
        keep.eval("globalThis.mark = 'kept'; 0")
        kept = keep.snapshot()
        judge.begin(os.environ["KIND"])
        judge.fail(0)
        acts()
        total, errors = judge.count(), {}
        time.sleep(2)
        before = count()
        step = max(1, total // int(os.environ.get("RINGFENCE_FAULTS", "3")))
        for nth in range(1, total + 1, step):
            judge.fail(nth)
            acts()
            judge.fail(0)
            dirty.run()
            if clean.run().stdout != FIRST or kept.fork().eval("mark").value != "kept":
                wrong.append("what follows")
            if keep.eval("mark").value != "kept":
                wrong.append("the session beside it")
        # What waits to be used again is given back when nothing has run for a second.
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(now > then for now, then in zip(count(), before)):
            time.sleep(0.05)
        after = count()
    if any(now > then for now, then in zip(after, before)):
        wrong.append(("left", before, after, lines))
    print(json.dumps([total, wrong, errors]))
    """
    [told] = script(code, tmp_path, Judge(name), KIND=name)
    total, wrong, errors = json.loads(told)

    assert total > 0
    assert [] == wrong
    assert all("hint: " in text for text in errors.values()), errors
