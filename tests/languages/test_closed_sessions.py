"""What sessions leave in their process when they are closed."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from ringfence import Session

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled")]


def private_kib() -> int:
    """Tell what this process alone has written."""
    told = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    return sum(int(line.split()[1]) for line in told.splitlines() if line.startswith("Private_Dirty:"))


def test_closed_sessions_leave_little_of_what_they_took() -> None:
    """Most of it is in the allocator, which is asked to give it back every 128 sessions."""
    with Session("python") as session:
        session.eval("x = 1")
    gc.collect()
    before = private_kib()
    sessions = [Session("python") for _ in range(256)]
    for session in sessions:
        session.eval("x = 1")
    taken = private_kib() - before
    for session in sessions:
        session.close()
    left = private_kib() - before

    assert taken > 256 * 200
    assert left < taken / 4, f"{left} of {taken} KiB are left"
