"""Exit codes."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence import Result, errors
from ringfence._engine import core
from ringfence.cli import _exit
from ringfence.cli._exit import Exit


def made(outcome: str, exit_code: int | None = None, limit: str | None = None) -> Result:
    """Make a result without running anything."""
    usage: Any = (0.5, 0.25, 65536, 6, None)
    return Result(core.Result(outcome, exit_code, b"", b"", limit, None, None, False, usage, []))


@pytest.mark.parametrize(("code", "passed"), [(0, 0), (1, 1), (124, 124), (255, 255), (256, 255), (2**32 - 1, 255)])
def test_guest_code_passes_through(code: int, passed: int) -> None:
    """Above 255 it is 255: a failure never becomes 0."""
    assert passed == _exit.of(made("exited", code))


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (made("limited", limit="wall"), Exit.LIMIT),
        (made("limited", 0, limit="memory"), Exit.LIMIT),
        (made("trapped"), Exit.TRAP),
        (made("denied"), Exit.DENIED),
        (made("cancelled"), Exit.CANCELLED),
        (made("crashed"), Exit.OURS),
    ],
)
def test_outcome_has_its_code(result: Result, code: int) -> None:
    """A run that did not exit by itself has a code of ours, the same as its exception's."""
    assert (code, code) == (_exit.of(result), result.error().exit_code)


def test_errors_have_their_code() -> None:
    """Errors before a run: usage for the policy and the program, ours for the rest."""
    found = {name: getattr(errors, name).exit_code for name in ("PolicyError", "LoadError", "ProgramNotFound", "Busy")}

    assert {"PolicyError": 2, "LoadError": 2, "ProgramNotFound": 127, "Busy": 125} == found
