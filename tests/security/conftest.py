"""What attacks are made of: guests written call by call, a host to protect, and a process to measure."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest

if TYPE_CHECKING:
    from ringfence import Result

# `security.guest` is what the test files share.
sys.path.insert(0, str(Path(__file__).parents[1]))
from security.guest import Call, guest
from security.isolated import options, run


class Attack(Protocol):
    """Runs calls one after the other in a guest."""

    def __call__(self, *calls: Call, **policy: Any) -> Attacked:
        """Run them once."""


@dataclass(frozen=True)
class Attacked:
    """What came of the calls."""

    result: Result
    errnos: list[int]

    @property
    def seen(self) -> bytes:
        """What the guest got to read: its buffer at the end."""
        return self.result.stderr


@pytest.fixture
def attack() -> Attack:
    """Run calls in a guest under a policy made of the keywords."""
    from ringfence import Policy

    def run_calls(*calls: Call, **policy: Any) -> Attacked:
        result = run(guest(*calls), policy=Policy(**policy))
        return Attacked(result, [int(line) for line in result.text.split()])

    return run_calls


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Give a host directory `granted` with things in it, beside `secret.txt`, which no guest may reach."""
    granted = tmp_path / "house" / "granted"
    (granted / "sub").mkdir(parents=True)
    (granted / "file.txt").write_text("granted\n")
    (granted / "sub" / "deep.txt").write_text("granted\n")
    (tmp_path / "house" / "secret.txt").write_text("SECRET\n")
    (tmp_path / "house" / "outside").mkdir()
    (tmp_path / "house" / "outside" / "secret.txt").write_text("SECRET\n")
    return tmp_path / "house"


class Measured(NamedTuple):
    """A run in a process of its own."""

    outcome: str
    limit: str | None
    wall_seconds: float
    peak_bytes: int


# The peaks are the kernel's own: that of this process, set back before the run, and those of its workers beside it.
MEASURE = """
import json, sys
sys.path.insert(0, sys.argv[2])
import ringfence
from security.held import Held, number
program, limits, options = json.load(sys.stdin)
sandbox = ringfence.Sandbox(program, policy=ringfence.Policy(limits=ringfence.Limits(**limits)), **options)
if options["isolation"] != "wasm":
    assert ringfence.run(sys.argv[1], **options).ok, "a worker to compare with"
before = number("self", "VmRSS")
with Held() as held:
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    result = sandbox.run()
    after = number("self", "VmHWM")
assert ringfence.run(sys.argv[1], **options).ok, "the next run works"
print(json.dumps([result.outcome, result.limit, result.usage.wall_seconds, max(after - before, held.most)]))
"""


class Measure(Protocol):
    """Runs a program in a process of its own and says what that took."""

    def __call__(self, program: str | bytes, **limits: Any) -> Measured:
        """Run it once, then check that the next run works."""


@pytest.fixture
def measured(tmp_path: Path, guests: Path) -> Measure:
    """Run a program in a fresh process, so that its memory can be measured."""

    def measure(program: str | bytes, **limits: Any) -> Measured:
        file = tmp_path / "attack.wat"
        file.write_bytes(program if isinstance(program, bytes) else program.encode())
        command = [sys.executable, "-c", MEASURE, str(guests / "hello.wat"), str(Path(__file__).parents[1])]
        told = json.dumps([str(file), limits, {"isolation": "wasm", **options()}])
        ended = subprocess.run(command, input=told, capture_output=True, text=True, check=False)
        assert 0 == ended.returncode, ended.stderr
        return Measured(*json.loads(ended.stdout))

    return measure
