"""One call from a program to its result."""

import asyncio
import inspect
from pathlib import Path

import pytest

import ringfence
from ringfence import Limits, Policy, Sandbox


def test_program_may_be_a_path_bytes_or_a_program(guests: Path) -> None:
    """All forms of a program run the same."""
    file = guests / "hello.wat"
    forms = (file, str(file), file.read_bytes(), ringfence.Program.from_file(file))

    assert ["hello, world\n"] * 4 == [ringfence.run(form).text for form in forms]


def test_awaited_run_is_the_same(guests: Path) -> None:
    """`arun` is `run` for an event loop."""
    result = asyncio.run(ringfence.arun(guests / "cat.wat", input=b"text"))

    assert ("exited", b"text") == (result.outcome, result.stdout)


def test_policy_and_limits_apply(guests: Path) -> None:
    """What is passed is obeyed."""
    policy = Policy(limits=Limits(wall="100ms"))

    assert "wall" == ringfence.run(guests / "spin_forever.wat", policy=policy).limit
    assert "wall" == ringfence.run(guests / "spin_forever.wat", limits=Limits(wall="100ms")).limit


def test_check_raises(guests: Path) -> None:
    """`check=True` raises for a guest that fails, in both forms."""
    with pytest.raises(ringfence.GuestExited):
        ringfence.run(guests / "exit_code.wat", ["1"], check=True)
    with pytest.raises(ringfence.GuestExited):
        asyncio.run(ringfence.arun(guests / "exit_code.wat", ["1"], check=True))


def test_four_ways_to_run_take_the_same_options() -> None:
    """`run` and `arun` differ in nothing but the waiting; the functions add what a sandbox is made of."""

    def options(function: object) -> dict[str, inspect.Parameter]:
        parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
        of_a_sandbox = {"self", "program", "language", "policy", "imports", "isolation", "tenant", "packages"}
        return {name: each for name, each in parameters.items() if name not in of_a_sandbox}

    assert options(ringfence.run) == options(ringfence.arun) == options(Sandbox.run) == options(Sandbox.arun)
