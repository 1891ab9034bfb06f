"""Changes told on stderr."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from ringfence._engine import core
from ringfence._result import Result
from ringfence.cli._changes import tell_changes

if TYPE_CHECKING:
    import pytest

    from conftest import Command


def told(changes: core.Changes) -> Result:
    """Make a result that changed these."""
    return Result(core.Result("exited", 0, b"", b"", None, None, None, False, (0.5, 0.25, 65536, 0, None), [], changes))


def test_changes_are_told_up_to_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, escaped; of very many how many more there are."""
    tell_changes(told(core.Changes([(f"/{number}\x1b", "added", "file", None, 1) for number in range(1000)])))
    lines = capsys.readouterr().err.splitlines()

    assert r"added /0\x1b" == lines[0]
    assert lines[-1].startswith("and ")


def test_unknown_changes_are_said_to_be_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    """The result is told all the same."""
    result = pickle.loads(pickle.dumps(told(core.Changes(("what it changed is not known", "killed", "run again")))))
    tell_changes(result)

    assert "what it changed is not known: killed" in capsys.readouterr().err


def test_files_in_memory_are_granted_by_a_flag(ringfence: Command) -> None:
    """What was written there is told, and cannot be applied."""
    ended = ringfence("run", "--dir", ":/scratch:memory", "guests/write_file.wat", "/scratch/new.txt")
    assert (0, "added /scratch/new.txt\n") == (ended.exit_code, ended.stderr)
    ended = ringfence("run", "--dir", ":/scratch:memory", "--apply", "guests/write_file.wat", "/scratch/new.txt")
    assert 2 == ended.exit_code
    assert "nothing of `/scratch` can be applied" in ended.stderr
