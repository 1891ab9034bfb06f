"""What holds must hold without `openat2`, which does most of the work where the kernel has it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from security.without_openat2 import openat2

HERE = Path(__file__).parent
WRAPPER = HERE / "without_openat2.py"
# Every attack on files there is in Python; those in Rust run under the same wrapper in `make test`.
FILES = [
    "test_escape.py",
    "test_files.py",
    "test_disk.py",
    "test_changes.py",
    pytest.param("test_mounts.py", marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to mount")),
]
CHECK = "import sys; sys.path.insert(0, sys.argv[1]); from security.without_openat2 import openat2; print(openat2())"


def wrapped(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a Python command where `openat2` answers ENOSYS."""
    return subprocess.run(
        [WRAPPER, sys.executable, *map(str, command)], cwd=HERE.parents[1], capture_output=True, text=True, check=False
    )


def test_wrapper_takes_openat2_away() -> None:
    """What is tested below is the way without it: here it answers, there it does not."""
    assert 0 == openat2()
    assert f"{errno.ENOSYS}\n" == wrapped("-c", CHECK, HERE.parent).stdout


@pytest.mark.parametrize("file", FILES)
def test_attacks_on_files_hold_without_openat2(file: str) -> None:
    """Each of them, unchanged, in a process for which the kernel has no `openat2`."""
    ended = wrapped("-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / file)

    assert 0 == ended.returncode, ended.stdout[-5000:]
    assert " passed" in ended.stdout
    assert " skipped" not in ended.stdout
