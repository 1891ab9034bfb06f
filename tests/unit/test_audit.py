"""Refusals as events of a log."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

import ringfence
from ringfence import Limits, Policy

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def listening(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Listen to the log."""
    caplog.set_level(logging.INFO, "ringfence.audit")
    return caplog


def events(caplog: pytest.LogCaptureFixture, *fields: str) -> list[tuple[object, ...]]:
    """Give fields of the events so far."""
    return [tuple(getattr(record, field) for field in fields) for record in caplog.records]


def test_refusal_is_an_event(listening: pytest.LogCaptureFixture, guests: Path) -> None:
    """One event each, with the fields of the denial, the program and the time."""
    before = time.time()
    result = ringfence.run(guests / "print_file.wat", ["/etc/passwd"])

    (denial,) = result.denials
    expected = ("denied", "read", "/etc/passwd", denial.count, denial.first_seconds, "print_file.wat", "exited")
    assert [expected] == events(listening, "event", "kind", "what", "count", "first_seconds", "program", "outcome")
    assert before - 1 <= listening.records[0].__dict__["first_time"] <= time.time()
    assert f"print_file.wat was refused read of /etc/passwd {times(denial.count)}" == listening.messages[0]


def times(count: int) -> str:
    """Say how often."""
    return "once" if count == 1 else f"{count} times"


def test_limit_is_an_event(listening: pytest.LogCaptureFixture, guests: Path) -> None:
    """A run that was stopped says at which limit."""
    ringfence.run(guests / "spin_forever.wat", policy=Policy(limits=Limits(wall=0.05)))

    assert [("limited", "wall", "spin_forever.wat", "limited")] == events(
        listening, "event", "limit", "program", "outcome"
    )


def test_run_that_is_refused_nothing_is_no_event(listening: pytest.LogCaptureFixture, guests: Path) -> None:
    """Nothing is logged of runs that went well."""
    ringfence.run(guests / "hello.wat")

    assert [] == listening.records


def test_every_way_to_run_is_logged_once(listening: pytest.LogCaptureFixture, guests: Path) -> None:
    """`run`, `arun` and `start` log the same, and asking again for a result does not."""
    program = guests / "print_file.wat"
    ringfence.run(program, ["/a"])
    asyncio.run(ringfence.arun(program, ["/b"]))
    with ringfence.Sandbox(program).start(["/c"]) as process:
        process.wait()
        process.wait()
    ringfence.run(program, ["/d"], stdout=lambda _: None)

    assert [("/a",), ("/b",), ("/c",), ("/d",)] == events(listening, "what")


def test_text_of_the_guest_forges_no_event(listening: pytest.LogCaptureFixture, guests: Path) -> None:
    """What it asked for is escaped and cut, so an event is one line of bounded length."""
    ringfence.run(guests / "print_file.wat", ["/x\nroot logged in\x1b[2J" + "y" * 1000])

    (message,) = listening.messages
    assert message.isprintable()
    assert len(message) < 400


def test_guest_cannot_flood_the_log(listening: pytest.LogCaptureFixture, guests: Path) -> None:
    """However many names a run invents, it has a hundred denials."""
    program = guests / "print_file.wat"
    result = ringfence.run(program, [f"/{number}" for number in range(300)])

    assert len(result.denials) == len(listening.records) <= 100


def test_nobody_who_does_not_listen_pays(guests: Path) -> None:
    """A refusal alone does not even import `logging`."""
    program = f"""
import sys
import ringfence
assert ringfence.run({str(guests / "print_file.wat")!r}, ["/etc/passwd"]).denials
assert "logging" not in sys.modules
"""
    subprocess.run([sys.executable, "-S", "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)})
