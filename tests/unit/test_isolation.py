"""The end of the processes that guests are kept in."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from waiting import until

ENDS = """
import sys
from pathlib import Path
from ringfence import Dir, Policy, Program, Session
from ringfence._engine import core
letters = Program(core.Program.from_file(sys.argv[1], "letters"))
policy = Policy(tmp=True, dirs=[Dir(sys.argv[2], at="/data", mode="overlay")])
session = Session(letters, policy=policy, isolation=sys.argv[3])
print(session.eval("c").value)
"""


@pytest.mark.parametrize("isolation", ["process", "worker"])
def test_nothing_of_an_open_session_is_left_when_the_interpreter_ends(
    guests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolation: str
) -> None:
    """Neither its process nor its private directories, though nobody has closed it."""
    (tmp_path / "granted").mkdir()
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "own"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    ended = subprocess.run(
        [sys.executable, "-c", ENDS, str(guests / "letters.wat"), str(tmp_path / "granted"), isolation],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "1\n", "") == (ended.returncode, ended.stdout, ended.stderr)
    assert [] == list((tmp_path / "own").iterdir())
    # Who was killed is gone a moment later.
    until(lambda: not of_this_test(str(tmp_path)))


def of_this_test(place: str) -> list[str]:
    """Name the processes that have something open below a directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(entry.readlink()).startswith(place):
                found.append(str(entry))
        except OSError:
            continue
    return found
