"""Hints for what is mounted below a grant."""

from __future__ import annotations

from ringfence import Denial, Dir, Policy
from ringfence.cli._mounts import mount_hint

POLICY = Policy(dirs=[Dir("/dev", at="/devices"), Dir.memory(at="/devices/own")])
# Every container has one; below it is a directory that nobody needs to have made.
MOUNTED = "shm"


def hint(kind: str, what: str) -> str | None:
    """Give the hint for one denial."""
    return mount_hint(Denial(kind, what, 1, 0.0), POLICY)


def test_refused_mount_is_granted_by_itself() -> None:
    """It has a flag of its own, with the mode that was wanted."""
    expected = "something else is mounted there, grant it by itself: `--dir "

    assert f"{expected}/dev/{MOUNTED}:/devices/{MOUNTED}`" == hint("read", f"/devices/{MOUNTED}/a/b")
    assert f"{expected}/dev/{MOUNTED}:/devices/{MOUNTED}:rw`" == hint("write", f"/devices/{MOUNTED}")


def test_what_is_not_mounted_has_no_such_hint() -> None:
    """Other paths of the grant, of no grant, and of one in memory."""
    paths = ("/devices/null", f"/devices/{MOUNTED}x", f"/other/{MOUNTED}", "/devices/own/x", "/devices")
    assert [None] * 5 == [hint("read", path) for path in paths]
