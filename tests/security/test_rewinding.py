"""Stores that are used again for one tenant: a run in one begins as any other, whatever the run before it did."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Limits, LoadError, Net, Policy, PolicyError, Sandbox, Secret
from security.test_recycling import ENDS, PROBE, SPREAD

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")


def reused(policy: Policy | None = None, tenant: str = "alice", language: str = "python") -> Sandbox:
    """Make a sandbox whose stores are used again."""
    return Sandbox(language=language, policy=policy, reuse="tenant", tenant=tenant)


@pytest.mark.parametrize("end", ENDS)
def test_run_in_a_used_store_begins_as_the_first_did(end: str) -> None:
    """Whatever filled it before, and however that ended: objects lie where they lay, and as many."""
    sandbox, limits = reused(), Limits(wall="300ms", memory="256MiB", output="100KiB")
    first = Sandbox(language="python").run(code=PROBE)

    for _ in range(3):
        sandbox.run(code=SPREAD + ENDS[end], limits=limits)
        after = sandbox.run(code=PROBE)

        assert (first.stdout, b"") == (after.stdout, after.stderr)


@pytest.mark.parametrize("code", ["import gc; gc.collect()", "x = 'SECRET' * 1000", "import json, re, random", "1 / 0"])
def test_run_after_one_that_was_rewound_begins_as_the_first_did(code: str) -> None:
    """What takes no more memory than it began with is rewound, and the next run is in its store."""
    sandbox = reused()
    first = sandbox.run(code=PROBE)
    sandbox.run(code=code)
    before = sandbox.starts
    after = sandbox.run(code=PROBE)

    assert (1, first.stdout, b"") == (before["waiting"], after.stdout, after.stderr)
    assert sandbox.starts["ready"] == before["ready"] + 1


def test_files_left_open_are_closed_and_their_numbers_are_free(tmp_path: Path) -> None:
    """Descriptors, their positions, the private `/tmp` and what standard input still held are the run's own."""
    (tmp_path / "file").write_text("content", encoding="utf-8")
    sandbox = reused(Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")], tmp=True))
    leave = """
import os, sys
held = [os.open("/data/file", os.O_RDONLY) for _ in range(5)] + [os.open("/tmp/left", os.O_CREAT | os.O_RDWR)]
os.write(held[-1], b"SECRET")
sys.stdin.read(1)
print(held, flush=True)
os.close(0)
"""
    look = """
import os, sys
open_now = []
for number in range(3, 64):
    try:
        os.fstat(number)
        open_now.append(number)
    except OSError:
        pass
print(open_now, os.listdir("/tmp"), sys.stdin.read(), os.open("/data/file", os.O_RDONLY), file=sys.stderr)
"""
    first = sandbox.run(code=look, input=b"mine").stderr
    with_descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        left = sandbox.run(code=leave, input=b"theirs")
        seen = sandbox.run(code=look, input=b"mine")

        assert (b"[4, 5, 6, 7, 8, 9]\n", first) == (left.stdout, seen.stderr), left.stderr
    assert sandbox.starts["ready"] >= 5
    assert len(os.listdir("/proc/self/fd")) <= with_descriptors


def test_variables_arguments_clocks_and_random_numbers_are_new() -> None:
    """Nothing that the host hands to a guest is that of an earlier run."""
    sandbox = reused(Policy(env={"GIVEN": "1"}))
    code = "import os, sys, random, time, uuid\nprint(sys.argv[1:], sorted(os.environ), time.monotonic() < 5)\n"
    numbers = "print(random.random(), os.urandom(8), uuid.uuid4())\nos.environ['SECRET'] = random.seed(1) or 'SECRET'\n"
    results = [sandbox.run([f"argument-{number}"], code=code + numbers) for number in range(20)]

    assert {"fresh": 1, "ready": 19, "waiting": 1} == sandbox.starts
    for number, result in enumerate(results):
        lines = result.stdout.decode().splitlines()
        assert f"['argument-{number}'] ['GIVEN'] True" == lines[0].replace(", 'HOME'", "").replace(", 'PATH'", "")
    assert 20 == len({result.stdout.splitlines()[1] for result in results})


def test_seeded_random_numbers_begin_with_the_seed_in_each_run() -> None:
    """A run draws nothing from where an earlier one stopped."""
    policy = Policy(random=7)
    code = "import random, os; print(random.random(), os.urandom(16), random.getrandbits(100))"
    expected = Sandbox(language="python", policy=policy).run(code=code).stdout
    sandbox = reused(policy)

    assert {expected} == {sandbox.run(code=code).stdout for _ in range(6)}
    assert 5 == sandbox.starts["ready"]


def test_denials_fuel_output_and_peaks_are_counted_for_each_run() -> None:
    """A total that was used up by one run is whole for the next."""
    sandbox = reused(Policy(limits=Limits(fuel=2_000_000_000, output="10KiB", wall="10s")))
    refused = "import os\nfor _ in 1, 2, 3:\n    try:\n        open('/etc/passwd')\n    except OSError:\n        pass\n"
    print_much = "print('x' * 9000)"
    one, two = sandbox.run(code=refused + print_much), sandbox.run(code=print_much)
    three = sandbox.run(code=refused + print_much)

    assert ([3], [], [3]) == tuple([each.count for each in result.denials] for result in (one, two, three))
    assert (9001, 9001, 9001) == tuple(len(result.stdout) for result in (one, two, three))
    assert one.usage.memory_bytes == three.usage.memory_bytes
    burnt = [float(result.usage.fuel or 0) for result in (one, three)]
    assert 0 <= max(burnt) - min(burnt) < min(burnt) / 100
    assert {"fresh": 1, "ready": 2, "waiting": 1} == sandbox.starts
    assert "limited" == sandbox.run(code="while True: print('x' * 1000)").outcome
    assert 0 == sandbox.starts["waiting"]


def test_stack_of_an_earlier_run_is_not_the_next_ones() -> None:
    """Recursion that went as deep as it may is followed by one that goes exactly as deep."""
    sandbox = reused()
    deep = "def down(n):\n    try: return down(n + 1)\n    except RecursionError: return n\nprint(down(0))"
    expected = Sandbox(language="python").run(code=deep).stdout

    assert {expected} == {sandbox.run(code=deep).stdout for _ in range(4)}


def test_placeholders_of_secrets_are_new_in_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands for a secret in one run stands for nothing in the next."""
    monkeypatch.setenv("REUSED_SECRET", "the value of the key")
    net = Net(http=["GET https://api.example.com/"])
    secret = Secret("API_KEY", env="REUSED_SECRET", origin="https://api.example.com")
    sandbox = reused(Policy(net=net, secrets=[secret]))
    seen = {sandbox.run(code="import os; print(os.environ['API_KEY'])").stdout for _ in range(5)}

    assert (5, False) == (len(seen), any(b"value of" in each for each in seen))


def test_stores_are_never_those_of_another_sandbox() -> None:
    """Each has its own, of one program, policy and tenant, even where the tenant has the same name."""
    alice, bob, again = reused(), reused(tenant="bob"), reused()
    for sandbox in (alice, bob, again):
        sandbox.run(code=SPREAD[:300])
        assert {"fresh": 1, "ready": 0} == {name: sandbox.starts[name] for name in ("fresh", "ready")}


def test_what_contradicts_itself_is_refused(guests: Path) -> None:
    """Nobody shares a store by mistake."""
    hello = guests / "hello.wat"
    with pytest.raises(PolicyError, match="whose runs"):
        Sandbox(hello, reuse="tenant")
    with pytest.raises(PolicyError, match="processes of their own"):
        Sandbox(hello, reuse="tenant", tenant="alice", isolation="process")
    with pytest.raises(PolicyError, match="reuse"):
        Sandbox(hello, tenant="alice")
    with pytest.raises(PolicyError, match="unknown reuse `always`"):
        Sandbox(hello, reuse="always", tenant="alice")  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="0 bytes"):
        Sandbox(hello, reuse="tenant", tenant="")
    with pytest.raises(LoadError, match="component"):
        Sandbox(b"(component)", reuse="tenant", tenant="alice")
    assert {} == Sandbox(hello).starts


def test_ten_thousand_runs_in_used_stores_leave_nothing(tmp_path: Path) -> None:
    """No mapping, descriptor or thread is left, and memory does not grow with them."""
    script = """
    import os
    from ringfence import Sandbox

    sandbox = Sandbox(language="javascript", reuse="tenant", tenant="alice")

    def count():
        with open("/proc/self/status") as status:
            memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        with open("/proc/self/maps") as maps:
            return [len(list(maps)), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))], memory

    def storm(runs):
        for number in range(runs):
            sandbox.run(code="let x = 'SECRET'.repeat(1000)" if number % 50 else "throw new Error()")

    storm(500)
    before, memory = count()
    storm(9500)
    after, now = count()
    starts = sandbox.starts
    child = os.fork()
    if not child:
        well = sandbox.starts["waiting"] == 0 and sandbox.run(code="print(1)").ok and sandbox.run(code="print(1)").ok
        os._exit(0 if well else 1)
    well = os.waitpid(child, 0)[1] == 0 and sandbox.run(code="print(1)").ok and sandbox.starts["waiting"] == 1
    print(well, starts["ready"] > 9990, all(now <= then + 2 for now, then in zip(after, before)), now < memory + 4096)
    print(before, after, memory, now, starts)
    """
    pytest.importorskip("ringfence_language_javascript", reason="the language pack is not installed")
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(script), encoding="utf-8")
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(file)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert told.stdout.startswith("True True True True\n"), told.stdout + told.stderr
