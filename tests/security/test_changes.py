"""Changes of a run on their way to the host: somebody kills us, somebody else writes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

GUESTS = Path(__file__).parents[2] / "crates" / "guests"
OLD = "what was there before " * 1000

# Applies one change after another until it is killed.
CHILD = """
import sys
import ringfence
guest, source = sys.argv[1:]
policy = ringfence.Policy(dirs=[ringfence.Dir(source, at="/src", mode="overlay")])
sandbox = ringfence.Sandbox(guest, policy=policy)
for number in range(1000):
    result = sandbox.run([f"/src/{number % 20}"]).check()
    if number == 0:
        print("begun", flush=True)
    result.changes.apply()
"""


@pytest.mark.parametrize("wait", [0.0, 0.003, 0.01, 0.03])
def test_kill_in_the_middle_of_apply_loses_nothing(tmp_path: Path, wait: float) -> None:
    """Each file is the old one or the new one, whole."""
    import time

    for number in range(20):
        (tmp_path / str(number)).write_text(OLD)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(GUESTS / "write_file.wat"), str(tmp_path)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    with child, child.stdout:
        assert b"begun\n" == child.stdout.readline()
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
    found = {(tmp_path / str(number)).read_text() for number in range(20)}

    assert found <= {OLD, "written"}
