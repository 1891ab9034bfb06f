"""What a process has only so much of: at its end a typed error names what to raise, and what lives goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("ringfence_language_javascript", reason="the language pack is not installed")
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled")]

TESTS = Path(__file__).resolve().parents[1]

BEGIN = f"""
import itertools, json, mmap, os, resource, sys, threading, time
sys.path.insert(0, {str(TESTS)!r})
import ringfence
from ringfence import Plugin, Sandbox, Session, Snapshot
from security.refused_calls import refuse

PLAIN = b'(module (memory (export "memory") 1) (func (export "_start")) (func (export "init")))'
# Its exceptions are objects of the collector's heap, which takes a memory of its own.
THROWS = b'''(module (memory (export "memory") 1) (tag $t)
    (func (export "caught") (result i32) (block $h (try_table (catch_all $h) (throw $t))) (i32.const 7)))'''

told = {{}}

def attempt(name, act):
    try:
        return act()
    except ringfence.RingfenceError as error:
        told[name] = [type(error).__name__, str(error)]
"""


def script(code: str, tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a script in a process of its own; its exit code, and what it wrote."""
    file = tmp_path / "script.py"
    file.write_text(BEGIN + textwrap.dedent(code), encoding="utf-8")
    command = [sys.executable, str(file), str(tmp_path), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=dict(os.environ))
    return ended.returncode, ended.stdout, ended.stderr


def told(code: str, tmp_path: Path, *arguments: str) -> dict[str, list[str]]:
    """Run one that prints what it was told, and has to end well."""
    ended, out, err = script(code, tmp_path, *arguments)
    assert (0, "") == (ended, err), out + err
    errors: dict[str, list[str]] = json.loads(out)
    return errors


def test_pools_that_are_full_say_so_and_what_to_close(tmp_path: Path) -> None:
    """
    As many sessions as there may be, and as many plugins whose guests throw, which take two memories each.

    Who asks for one more waits for a moment, and gets it once another is closed.
    """
    code = """
    held = {}

    def fill(name, most, make, use, close):
        all = held[name] = make(most)
        assert all[-1] is not None
        attempt(name, lambda: make(1))
        used = [use(all[0]), use(all[-1])]
        close(all[3])
        [more] = make(1)
        told[name] += [used == [7, 7], use(more) == 7]

    session = Session(language="javascript")
    of_sessions = (5999, session.fork_many, lambda session: session.eval("3 + 4").value, Session.close)
    throwing = lambda count: [Plugin(THROWS) for _ in range(count)]
    of_plugins = (1000, throwing, lambda plugin: plugin.caught(), Plugin.close)
    threads = [
        threading.Thread(target=fill, args=("session", *of_sessions)),
        threading.Thread(target=fill, args=("plugin", *of_plugins)),
    ]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(json.dumps(told))
    """
    errors = told(code, tmp_path)
    assert [["Busy", True, True]] * 2 == [[name, *went] for name, _, *went in errors.values()]
    assert "6000 of languages are open in this process" in errors["session"][1]
    assert "close sessions and forks that nobody uses" in errors["session"][1]
    assert "1000 plugins and runs are open in this process" in errors["plugin"][1]


@pytest.mark.parametrize("before", [True, False])
def test_without_address_space_nothing_begins_and_the_error_names_it(before: bool, tmp_path: Path) -> None:
    """No guest is blamed for it. Where the pool of ordinary programs was made before, those run on."""
    code = """
    def limit():
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (600 << 20),) * 2)

    Session, Sandbox
    if BEFORE:
        limit()
    else:
        Sandbox(PLAIN)
        limit()
    for name, act in {
        "run": lambda: ringfence.run(PLAIN),
        "isolated": lambda: ringfence.run(PLAIN, isolation="process"),
        "language": lambda: ringfence.run(code="1", language="javascript"),
        "program": lambda: Sandbox(PLAIN).snapshot(after="init"),
        "session": lambda: Session(language="javascript"),
        "isolated session": lambda: Session(language="javascript", isolation="process"),
        "plugin": lambda: Plugin(THROWS).caught(),
    }.items():
        attempt(name, act)
    print(json.dumps(told))
    """
    errors = told(code.replace("BEFORE", str(before)), tmp_path)
    assert (7 if before else 4) == len(errors), errors
    for kind, text in errors.values():
        assert ("HostError", True) == (kind, "ulimit -v" in text), text


def test_without_descriptors_or_seals_large_snapshots_are_loaded_and_others_tell_what_to_raise(tmp_path: Path) -> None:
    """What can be done without a file in memory is; a session on its way to a worker cannot."""
    code = """
    def full():
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        taken = []
        try:
            while True:
                taken.append(os.dup(0))
        except OSError:
            # One for the file that is read, and its folder.
            for each in taken[-3:]:
                os.close(each)

    one = os.path.join(sys.argv[1], "one")
    with Session(language="javascript") as session:
        session.eval("globalThis.large = new Uint8Array(24_000_000)")
        session.eval("for (let at = 0; at < 24e6; at += 4096) large[at] = 7; 0")
        session.snapshot().save(one)
    apart = Session(language="javascript", isolation="process")
    prepared = Sandbox(PLAIN)
    prepared.snapshot(after="init")
    Snapshot.load(one).fork().close()
    full() if sys.argv[2] == "descriptors" else refuse(sys.argv[2])
    sum = "let sum = 0; for (let at = 0; at < 24e6; at += 4096) sum += large[at]; sum"
    for fork in Snapshot.load(one).fork_many(6):
        assert fork.eval(sum).value == 5860 * 7
        fork.eval("large.fill(0); 0")
    for name, act in {
        "to a worker": lambda: Snapshot.load(one, isolation="process"),
        "from a worker": lambda: [apart.snapshot() for _ in range(9)],
        "program": lambda: [prepared.snapshot(after="init") for _ in range(9)],
    }.items():
        attempt(name, act)
    assert apart.eval("3 + 4").value == 7
    print(json.dumps(told))
    """
    for lacking in ("descriptors", "file in memory", "its seal"):
        errors = told(code, tmp_path, lacking)
        knob = "ringfence doctor" if lacking == "its seal" else "ulimit -n"
        assert {"to a worker", "from a worker", "program"} == set(errors), (lacking, errors)
        for kind, text in errors.values():
            assert ("HostError", True) == (kind, knob in text), (lacking, text)


@pytest.mark.parametrize("left", [0, 2, 5])
def test_process_without_mappings_ends_in_typed_errors_or_aborts_with_a_word(left: int, tmp_path: Path) -> None:
    """Its own allocator may be what gets none; nothing wrong is ever told, and with mappings again all goes on."""
    if int(Path("/proc/sys/vm/max_map_count").read_text(encoding="ascii")) > 200_000:
        pytest.skip("the kernel allows more mappings than a test should make")
    code = f"""
    one = os.path.join(sys.argv[1], "one")
    session = Session(language="javascript")
    session.eval("globalThis.x = [1]; 0")
    snapshot = session.snapshot()
    snapshot.save(one)
    snapshot.fork().eval("x.length")
    sandbox, prepared = Sandbox(PLAIN), Sandbox(PLAIN).snapshot(after="init")
    held, forks = [], []
    for protection in itertools.cycle([mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE]):
        try:
            held.append(mmap.mmap(-1, 4096, prot=protection))
        except OSError:
            break
    del held[len(held) - {left}:]
    acts = {{
        "run": lambda: sandbox.run().outcome == "exited",
        "prepared": lambda: prepared.run().outcome == "exited",
        "turn": lambda: session.eval("x.length").value == 1,
        "fork": lambda: forks.append(snapshot.fork()) or forks[-1].eval("x.length").value == 1,
        "load": lambda: Snapshot.load(one).fork().eval("x.length").value == 1,
        "save": lambda: snapshot.save(one) is None,
    }}
    for _ in range(3):
        for name, act in acts.items():
            assert attempt(name, act) in (None, True), name
    held.clear()
    forks.clear()
    for name, act in acts.items():
        assert act(), name
    print(json.dumps(told))
    """
    ended, out, err = script(code, tmp_path)
    if ended == 0:
        assert all(kind == "HostError" and "vm.max_map_count" in text for kind, text in json.loads(out).values()), out
    else:
        assert -6 == ended, err
        assert "memory allocation of" in err or "cannot allocate memory" in err, err
