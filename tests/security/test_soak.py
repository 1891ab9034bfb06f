"""A short soak: some hundred runs of everything there is, on many threads. `make soak` is the long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[2] / "benches" / "soak.py"


def test_storm_of_good_and_hostile_programs_leaves_the_host_as_it_was(isolation: str) -> None:
    """No death, no wrong verdict; memory, descriptors and threads return to what they were."""
    command = [sys.executable, str(SOAK), "--runs", "400", "--threads", "8", "--isolation", isolation]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert "passed" in ended.stdout
