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
import gc, json, os, sys, time
sys.path.insert(0, {str(TESTS)!r})
import ringfence
from ringfence import Plugin, PluginSnapshot, Sandbox, Session, Snapshot
from security.refused_calls import Defendant, refuse

# Memory that is not zero where it was never written to, or that is another's, shows here; and how the heap lies.
PROBE = '''let zeros = new Int32Array(1_000_000), own = []
for (let at = 0; at < 20000; at++) own.push('own' + at)
console.log(zeros.every(word => word === 0), own.length, typeof SECRET)'''
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
    variables["XDG_STATE_HOME"] = str(tmp_path / "state")
    file.write_text(BEGIN + textwrap.dedent(code), encoding="utf-8")
    command = [sys.executable, str(file)]
    fds = [] if judge is None else [judge.theirs.fileno()]
    variables["JUDGE"] = "".join(map(str, fds))
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
        pass_fds=fds,
        cwd=tmp_path,
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
        (["trial"], "recycling", "nothing to try it with: Cannot allocate memory"),
        (["page of its own"], "recycling", None),
        (["its seal"], "forks", "copied for each fork: no sealed file in memory (Operation not permitted"),
        (["written pages", "map of pages", "giving back", "file in memory"], "recycling", "memory is not used again"),
    ],
    ids=lambda given: "+".join(given) if isinstance(given, list) else None,
)
def test_what_a_kernel_refuses_is_done_another_way_and_told(
    refused: list[str], finding: str, words: str | None, tmp_path: Path
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
    if words is None:
        assert findings[finding]["ok"]
        return

    assert words in findings[finding]["value"]
    assert not findings[finding]["ok"]
    assert findings[finding]["fix"]


# What is tried while calls fail: `ACTS`, and `follows` afterwards, when none does.
AREAS = {
    "sessions": """
    kept = Session(language="javascript")
    kept.eval("globalThis.mark = 'kept'; 0")
    snapshot = kept.snapshot()

    def session():
        with Session(language="javascript") as session:
            for want, got in branches(session, []):
                # A guest that gets no more memory says so.
                expect(got in (want, None), ("a branch", want, got))

    def fork():
        expect(snapshot.fork().eval("mark").value == "kept", "a fork")

    def follows():
        fork()
        expect(kept.eval("mark").value == "kept", "the session beside it")

    ACTS = [session, fork]
    """,
    "files": """
    LARGE = "let large = new Uint8Array(24_000_000); for (let at = 0; at < 24e6; at += 4096) large[at] = 7; 0"
    SUM = "let sum = 0; for (let at = 0; at < 24e6; at += 4096) sum += large[at]; sum"
    with Session(language="javascript") as session:
        session.eval(f"globalThis.large = 0; {LARGE.replace('let large', 'large')}")
        snapshot = session.snapshot()
    snapshot.save("saved")

    def save():
        snapshot.save("saved")

    def load():
        for fork in Snapshot.load("saved").fork_many(6):
            expect(fork.eval(SUM).value == 5860 * 7, "what was loaded")
            fork.eval("large.fill(0); 0")

    ACTS, follows = [save, load], load
    """,
    "plugins": """
    MODULE = b'''(module (memory (export "memory") 16 600) (global $steps (mut i32) (i32.const 0))
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
      (func $fill (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
      (func (export "step") (result i32)
        (global.set $steps (i32.add (global.get $steps) (i32.const 1))) (global.get $steps))
      (func (export "prepare") (call $fill (i32.const 0) (i32.const 7) (i32.const 1048576)))
      (func (export "_start")
        (if (i32.ne (i32.load8_u (i32.const 1048575)) (i32.const 7)) (then unreachable))))'''
    kept = Plugin(MODULE)
    expect(kept.grow(300) == 16 and kept.step() == 1, "a plugin")
    kept.fill(0, 7, 19 << 20)
    snapshot = kept.snapshot()
    snapshot.save("saved")
    prepared = Sandbox(MODULE).snapshot(after="prepare")

    def are_right(forks, steps, mark):
        for fork in forks:
            expect((fork.step(), fork.exports.memory.read(5 << 20, 2)) == (steps, mark), ("a fork", steps, mark))
            fork.fill(5 << 20, 9, 1 << 20)

    def plugin():
        with Plugin(MODULE) as plugin:
            if plugin.grow(200) == -1:
                return
            plugin.fill(0, 1, 12 << 20)
            for turn in range(2, 5):
                plugin.step()
                plugin.fill(5 << 20, turn, 1)
                are_right(plugin.snapshot().fork_many(3), turn, bytes([turn, 1]))
            are_right(snapshot.fork_many(6), 2, bytes([7, 7]))

    def files():
        snapshot.save("saved")
        are_right(PluginSnapshot.load("saved", MODULE).fork_many(3), 2, bytes([7, 7]))

    def pool():
        with snapshot.pool(2, fresh="call") as pool:
            expect([pool.step() for _ in range(3)] == [2, 2, 2], "a pool")

    def program():
        expect(prepared.run().outcome == "exited", "a run of a program")
        expect(Sandbox(MODULE).snapshot(after="prepare").run().outcome == "exited", "a captured program")

    def follows():
        are_right([snapshot.fork(), PluginSnapshot.load("saved", MODULE).fork()], 2, bytes([7, 7]))
        expect(kept.exports.memory.read(5 << 20, 2) == bytes([7, 7]), "the plugin beside it")

    ACTS = [plugin, files, pool, program]
    """,
    "workers": """
    kept = Session(language="javascript", isolation="process")
    kept.eval("globalThis.mark = 'kept'; 0")
    snapshot = kept.snapshot()
    snapshot.save("saved")

    def fork():
        with snapshot.fork() as one:
            expect(one.eval("mark").value == "kept", "a fork")

    def again():
        kept.snapshot().save("saved")

    def load():
        with Snapshot.load("saved").fork() as one:
            expect(one.eval("mark").value == "kept", "what was loaded")

    def follows():
        fork()
        load()
        expect(kept.eval("mark").value == "kept", "the session beside it")

    ACTS = [again, fork, load]
    """,
}
MAPPED = ["address space", "image shown", "growth dropped", "growth", "region unmapped", "giving back", "written pages"]
HELD = ["file in memory", "its size", "its bytes", "its seal"]
FAULTS = [
    *(("sessions", name) for name in CALLS if name not in {"map of pages", "trial", "page of its own"}),
    *(("files", name) for name in [*HELD, "image viewed", "image shown"]),
    *(("plugins", name) for name in [*MAPPED, *HELD, "image viewed"]),
    *(("workers", name) for name in ["file in memory", "its size", "its seal"]),
]


@pytest.mark.parametrize(("area", "name"), FAULTS)
def test_call_that_fails_once_ends_in_an_error_or_another_way(area: str, name: str, tmp_path: Path) -> None:
    """
    One call of its kind fails, here or there: nothing of another's is seen, nothing is lost.

    Some of them are tried here; `RINGFENCE_FAULTS=1000000` tries each.
    """
    code = """
    judge = Defendant(int(os.environ["JUDGE"]))
    errors, wrong, lines = {}, [], []

    def expect(right, what):
        if not right:
            wrong.append(what)

    def count():
        with open("/proc/self/maps") as maps:
            spans = [([int(end, 16) for end in line.split()[0].split("-")], line) for line in maps]
        lines[:] = [line for (start, end), line in spans
                    if end - start == 5 << 20 or ".cwasm" in line or "memfd" in line]
        # Regions by the space that all mappings take: the kernel tells of neighbours as one.
        space = sum(end - start for (start, end), _ in spans)
        return [space, len(lines), len(os.listdir("/proc/self/fd"))]

    def run():
        dirty.run()
        expect(clean.run().stdout == FIRST, "a run")

    def acts():
        for act in [run, *ACTS, run]:
            try:
                act()
            except ringfence.RingfenceError as error:
                errors[type(error).__name__] = str(error)
    AREA
    judge.begin(os.environ["KIND"])
    judge.fail(0)
    acts()
    total = judge.count()
    expect(not errors, "before any call failed")
    time.sleep(2)
    before, known = count(), set(lines)
    before[0] += 2 << 30  # half a region: less is anybody's
    step = max(1, total // int(os.environ.get("RINGFENCE_FAULTS", "3")))
    for nth in range(1, total + 1, step):
        judge.fail(nth)
        acts()
        judge.fail(0)
        run()
        follows()
    # What waits to be used again is given back when nothing has run for a second.
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(now > then for now, then in zip(count(), before)):
        time.sleep(0.05)
    after = count()
    if any(now > then for now, then in zip(after, before)):
        wrong.append(("left", before, after, [line for line in lines if line not in known], lines[:], sorted(known)))
        wrong.append(("left by the collector", gc.collect(), count()))
    print(json.dumps([total, wrong, errors]))
    """
    code = code.replace("    AREA\n", AREAS[area].rstrip() + "\n")
    [told] = script(code, tmp_path, Judge(name), KIND=name)
    total, wrong, errors = json.loads(told)

    assert total > 0
    assert [] == wrong
    assert all("hint: " in text for text in errors.values()), errors
