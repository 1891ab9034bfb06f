"""Attacks on the compiler: small programs that cost it gigabytes and minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ringfence import Limits, LoadError, Policy, run
from security.binary import COMPONENT_MAGIC, NO_TYPE, body, leb, module, nested, section

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command

MIB = 1 << 20
COMPILE_SECONDS = 3
GRACE_SECONDS = 2


def siblings(count: int) -> bytes:
    """Put many components beside each other in one, each with another inside."""
    inner = COMPONENT_MAGIC + section(4, COMPONENT_MAGIC)
    return COMPONENT_MAGIC + section(4, inner) * count


def branches(depth: int) -> bytes:
    """Nest blocks, then jump out of each of them through tables that name them all."""
    table = b"\x20\0\x0e" + leb(depth) + b"".join(map(leb, range(depth))) + b"\0"
    jumps = (b"\x20\0\x04\x40" + table + b"\x0b") * 20
    return body(b"\x02\x40" * depth + jumps + b"\x0b" * depth, groups=[(1, 0x7F)])


def additions(count: int) -> bytes:
    """Add up a chain of locals, then branch on every one of them: all of them live to the end."""
    steps = b"".join(b"\x20" + leb(n) + b"\x20" + leb(n + 1) + b"\x6a\x45\x21" + leb(n + 2) for n in range(count))
    jumps = b"".join(b"\x20" + leb(n) + b"\x0d\0" for n in range(count))
    return body(steps + jumps, groups=[(count + 3, 0x7F)])


BOMBS = {
    "components nested 1,000 deep": nested(1000),
    "components nested 17 deep": nested(17),
    "6,000 components in components": siblings(6000),
    "3 MB of types": module(types=[NO_TYPE] + [b"\x60" + leb(900) + b"\x7f" * 900 + b"\0"] * 3400),
    "300,000 types": module(types=[NO_TYPE] * 300_000),
    "1.7 million empty functions": module(bodies=[b"\x02\0\x0b"] * 1_700_000),
    "a function of 5 MB": module(bodies=[body(b"\x01" * (5 * MIB))]),
    "tables of 20,000 jumps": module(bodies=[branches(20_000)]),
    "49,000 values that all live": module(bodies=[additions(49_000)]),
    "2,000 tables of 2,000 jumps": module(bodies=[branches(2_000)] * 40),
}

MEASURE = """
import json, resource, sys, time
import ringfence
policy = ringfence.Policy(limits=ringfence.Limits(compile=float(sys.argv[2]), wall="2s"))
began = time.monotonic()
try:
    told = ringfence.run(sys.argv[1], policy=policy).outcome
except ringfence.LoadError as refused:
    told = str(refused)
took = time.monotonic() - began
assert ringfence.run(sys.argv[3]).ok, "the next program works"
with open("/proc/self/status") as status:
    host_peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
child_peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([told, took, host_peak * 1024, child_peak * 1024]))
"""


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_bomb_costs_no_more_than_its_limit(tmp_path: Path, guests: Path, bomb: bytes) -> None:
    """Refused before it is compiled, or stopped in the child: in time, in bounded memory, with the reason."""
    (tmp_path / "bomb.wasm").write_bytes(bomb)
    command = [
        sys.executable,
        "-c",
        MEASURE,
        str(tmp_path / "bomb.wasm"),
        str(COMPILE_SECONDS),
        str(guests / "hello.wat"),
    ]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert 0 == ended.returncode, ended.stderr
    told, took, host_peak, child_peak = json.loads(ended.stdout)
    assert took < COMPILE_SECONDS + GRACE_SECONDS
    assert host_peak < 300 * MIB
    assert child_peak < 4200 * MIB
    assert told == "exited" or "hint:" in told


def test_most_expensive_bomb_is_stopped_in_the_child() -> None:
    """A program below every cap that takes gigabytes to compile ends with the child that compiles it."""
    with pytest.raises(LoadError, match="compil"):
        run(BOMBS["49,000 values that all live"], policy=Policy(limits=Limits(compile=COMPILE_SECONDS)))


@pytest.mark.parametrize("name", ["components nested 17 deep", "1.7 million empty functions", "a function of 5 MB"])
def test_bomb_above_a_cap_says_which(name: str) -> None:
    """Counted before anything is validated, and named with both numbers."""
    with pytest.raises(LoadError, match=r"more than [0-9]+ are not compiled"):
        run(BOMBS[name])


def test_compiling_has_a_clock_of_its_own() -> None:
    """A slow compile ends at `compile`, however long the run itself may take; and `wall` does not count it."""
    slow = module(bodies=[additions(2_000)] * 40)
    with pytest.raises(LoadError, match="compile"):
        run(slow, policy=Policy(limits=Limits(compile="100ms", wall="20s")))


def test_language_has_ten_times_as_long_and_no_more(ringfence: Command, tmp_path: Path) -> None:
    """What the user installed is larger than what a stranger brings; its clock stops it all the same."""
    kept = {"RINGFENCE_CACHE": str(tmp_path / "empty")}
    ended = ringfence("run", "--compile", "1ms", "--language", "python", "-c", "print(1)", env=kept)

    assert 2 == ended.exit_code, ended.stdout
    assert "longer than ten times the limit `compile` of 1ms" in ended.stderr


def test_failed_compile_is_tried_again(ringfence: Command, tmp_path: Path) -> None:
    """Running out of time leaves nothing in the cache that a later run would trip over."""
    (tmp_path / "slow.wasm").write_bytes(module(bodies=[additions(10_000)]))

    first = ringfence("run", "--compile", "50ms", "slow.wasm")
    second = ringfence("run", "--compile", "50s", "slow.wasm")

    assert (2, 0) == (first.exit_code, second.exit_code), f"{first}\n{second}"
    assert "compile" in first.stderr


def test_vector_that_claims_more_than_there_is() -> None:
    """A count of four billion in a file of twenty bytes allocates nothing."""
    for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11):
        with pytest.raises(LoadError):
            run(b"\0asm\x01\0\0\0" + section(number, leb(2**32 - 1)))


def test_text_that_nests_without_end_is_refused() -> None:
    """The text format is read before it is counted: a million parentheses are an error, not a stack overflow."""
    for source in (b"(" * 1_000_000, b"(module " + b"(func " * 100_000, b"(module (func " + b"(block " * 50_000):
        with pytest.raises(LoadError):
            run(source)


def test_bombs_are_made_of_sound_parts() -> None:
    """Without the excess, such a program runs: what is refused above is the size."""
    for sound in (module(), module(bodies=[branches(20)]), module(bodies=[additions(20)])):
        assert run(sound).ok
