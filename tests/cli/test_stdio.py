"""The standard streams of the command."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def shell(command: str, guests: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell, in which `ringfence` and `guests` mean ours."""
    line = f"ringfence() {{ '{sys.executable}' -m ringfence \"$@\"; }}; guests='{guests}'; {command}"
    return subprocess.run(["bash", "-c", line], input=b"not for the guest", capture_output=True, check=False)


@pytest.mark.parametrize(
    ("command", "code", "stdout"),
    [
        ('ringfence run "$guests/cat.wat" <&-', 0, b""),
        ('ringfence run "$guests/hello.wat" >&-', 0, b""),
        ('ringfence run "$guests/trap_unreachable.wat" 2>&-', 134, b""),
        ('ringfence run "$guests/hello.wat" <&- >&- 2>&-', 0, b""),
        ('ringfence inspect "$guests/hello.wat" >&-', 0, b""),
    ],
)
def test_closed_stream_is_nothing(guests: Path, command: str, code: int, stdout: bytes) -> None:
    """A standard stream that is closed never becomes some file of ours that a guest then reads or writes."""
    ended = shell(command, guests)

    assert (code, stdout, b"") == (ended.returncode, ended.stdout, ended.stderr)


def test_full_disk_is_told(guests: Path) -> None:
    """What cannot be written is an error of the host, not silence."""
    ended = shell('ringfence run --json "$guests/hello.wat" > /dev/full', guests)

    assert 125 == ended.returncode
    assert b"error: cannot write to standard output: No space left on device\n" in ended.stderr
