"""
The host's own memory, measured: beside a guest it takes no more than the guest's limit and 64 MiB.

Measured in a process of its own, from after loading: private and shared memory as the kernel counts them, of its
workers too, while the guest runs (sampled) and when it is gone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from security.component import component
from security.isolated import options
from security.test_attacks import ATTACKS, MANIFEST
from security.test_components import IN, OUT, again
from security.test_memory import HANDLES, HOGS, instances
from security.test_output import FLOODS

MIB = 1 << 20
LIMIT_MIB = 48
SLACK_BYTES = 64 * MIB

# Loads everything first; then runs each so many times, on so many threads, and prints the highest sum seen while it
# did and the sum afterwards.
MEASURE = """
import json, sys, threading
sys.path.insert(0, sys.argv[1])
import ringfence
from security.held import Held
told = json.load(sys.stdin)
limits = ringfence.Limits(**told["limits"])
policy = ringfence.Policy(limits=limits, env={"A": "x" * 1000})
sandbox = ringfence.Sandbox(told["program"].encode(), policy=policy, **told["options"])
hello = ringfence.Sandbox(b'(module (func (export "_start")))', **told["options"])
hello.run()
def work():
    for _ in range(told["runs"]):
        with open("/dev/zero", "rb") as endless:
            ended.add(sandbox.run(["argument"], stdin=endless, stdout=told["stdout"]).outcome)
ended = set()
threads = [threading.Thread(target=work) for _ in range(told["threads"])]
with Held() as held:
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    after = held.now()
assert hello.run().ok
print(json.dumps([held.most, after, sorted(ended)]))
"""

ATTACKED = {
    **HOGS,
    "handles": HANDLES,
    "instances": instances(300, 16),
    "floods": FLOODS["2 MiB at a time"],
    "streams that are kept": component(again("(drop (call $get-stdout))")).decode(),
    "input poured into output": component(
        IN + OUT + again("(call $blocking-splice (local.get $out) (local.get $in) (i64.const -1) (i32.const 64))")
    ).decode(),
    "random numbers": component(again("(call $random (i64.const 3145728) (i32.const 64))")).decode(),
    **{
        attack["file"].removesuffix(".wat"): (ATTACKS / attack["file"]).read_text(encoding="utf-8")
        for attack in MANIFEST
        if attack["wanted"].get("outcome") != "exited" and "error" not in attack["wanted"]
    },
}


def held(program: str, *, threads: int, runs: int, stdout: str = "discard", **limits: Any) -> tuple[int, int]:
    """Run a program in a fresh process: the bytes it held beyond those after loading, at most and at the end."""
    told = {
        "program": program,
        "threads": threads,
        "runs": runs,
        "stdout": stdout,
        "limits": limits,
        "options": options(),
    }
    ended = subprocess.run(
        [sys.executable, "-c", MEASURE, str(Path(__file__).parents[1])],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == ended.returncode, ended.stderr
    most, after, outcomes = json.loads(ended.stdout)
    assert {"limited", "trapped"} >= set(outcomes)
    return most, after


@pytest.mark.usefixtures("isolation")
@pytest.mark.parametrize("program", ATTACKED.values(), ids=ATTACKED.keys())
def test_host_holds_no_more_than_the_limit_and_64_mib(program: str) -> None:
    """Nothing a guest does makes the host hold more for it, and when it is gone no more than the 64 MiB stay."""
    most, after = held(
        program, threads=1, runs=3, wall=0.15, memory=LIMIT_MIB * MIB, output=16 * MIB, host_bytes=16 * MIB
    )

    assert most < LIMIT_MIB * MIB + SLACK_BYTES
    assert after < SLACK_BYTES


@pytest.mark.usefixtures("isolation")
@pytest.mark.parametrize("name", ["one memory, every page touched", "cpu_memory_fill_flood", "cpu_array_fill_flood"])
def test_what_many_guests_held_is_given_back(name: str) -> None:
    """Four threads, ten guests each: while they run four limits, and afterwards nothing of them (kept 1.2 GiB once)."""
    most, after = held(ATTACKED[name], threads=4, runs=10, wall=0.1, memory=64 * MIB)

    assert most < 4 * 64 * MIB + SLACK_BYTES
    assert after < SLACK_BYTES


@pytest.mark.usefixtures("isolation")
def test_measurement_sees_what_a_guest_holds() -> None:
    """The bounds above are of something: a guest that fills its memory is seen to."""
    most, _ = held(ATTACKED["cpu_memory_fill_flood"], threads=1, runs=3, wall=0.3, memory=64 * MIB)

    assert most > 55 * MIB
