"""The errors of runs and turns that did not end well."""

from __future__ import annotations

import pytest

from ringfence import Result, errors
from ringfence._engine import core
from ringfence._failure import failure


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"exit_code": 3}, errors.GuestExited, "it did not say why"),
        ({"exit_code": 3, "stderr": b"one\ntwo\x1b\n"}, errors.GuestExited, "its last words were `two\\x1b`"),
        ({"outcome": "trapped"}, errors.Trapped, "no reason given"),
        ({"outcome": "limited", "limit": "cpu"}, errors.LimitReached, "had used 250ms of processor time"),
        ({"outcome": "limited", "limit": "wall"}, errors.WallReached, "raise `Limits(wall=…)`"),
        ({"outcome": "denied"}, errors.Denied, "it asked for more"),
        ({"outcome": "cancelled"}, errors.Cancelled, "after 500ms"),
        ({"outcome": "crashed"}, errors.Crashed, "the defect is ours"),
        (
            {"outcome": "crashed", "trap": "the worker died of signal 9, killed from outside or out of memory"},
            errors.Crashed,
            "look at who kills processes here",
        ),
    ],
)
def test_each_outcome_has_its_error(changes: dict[str, object], kind: type[errors.GuestError], says: str) -> None:
    """With the reason, and the whole result."""
    state: dict[str, object] = dict.fromkeys(("limit", "trap", "backtrace"))
    state = {"outcome": "exited", "exit_code": None, "stdout": b"", "stderr": b"", **state}
    state |= {"truncated": False, "usage": (0.5, 0.25, 65536, 6, None), "denials": []}
    ended = Result(core.Result(*(state | changes).values()))  # type: ignore[arg-type]
    error = failure(ended)

    assert kind is type(error)
    assert says in str(error)
    assert ended is error.result
