"""What came of a turn."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from ringfence import GuestExited, GuestRaised, Trapped, Turn, TurnError, TurnUsage, WallReached


def turn(**changed: Any) -> Turn:
    """Make a turn whose last expression was 1, with some fields changed."""
    fields = {
        "outcome": "returned",
        "value": 1,
        "is_repr": False,
        "error": None,
        "stdout": b"out",
        "stderr": b"err",
        "exit_code": None,
        "limit": None,
        "trap": None,
        "backtrace": None,
        "truncated": False,
        "usage": (0.5, 0.25, 1 << 20, 6, None, 2, 0.1),
        "denials": [("read", "/etc", 1, 0.0)],
        "poisoned": False,
    }
    assert fields.keys() >= changed.keys()
    return Turn(tuple((fields | changed).values()))


def test_turn_tells_its_parts_as_values() -> None:
    """What comes as plain numbers has names."""
    made = turn(error=("ValueError", "no", "Traceback"))

    assert TurnError("ValueError", "no", "Traceback") == made.error
    assert TurnUsage(0.5, 0.25, 1 << 20, 6, None, 2, 0.1) == made.usage
    assert ["read"] == [denial.kind for denial in made.denials]
    assert "out" == made.text


def test_turn_survives_pickling() -> None:
    """It may come from another process."""
    made = turn(value={"a": [1, b"x"]})

    assert made == pickle.loads(pickle.dumps(made))
    assert made != turn()


def test_turn_cannot_be_changed() -> None:
    """It is frozen, like every result."""
    with pytest.raises(AttributeError):
        turn().value = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({}, "<Turn returned, 1, 500ms>"),
        ({"value": "<object>", "is_repr": True}, "<Turn returned, <object>, 500ms>"),
        (
            {"outcome": "limited", "value": None, "limit": "wall", "poisoned": True},
            "<Turn limited wall, poisoned, 500ms>",
        ),
        ({"outcome": "raised", "value": None, "error": ("E\x1b", "", "")}, "<Turn raised, E\\x1b, 500ms>"),
    ],
)
def test_repr_is_one_line_and_escaped(changed: dict[str, Any], shown: str) -> None:
    """It can be printed whatever the guest put in it."""
    assert shown == repr(turn(**changed))


def test_output_that_came_too_late_makes_it_limited() -> None:
    """A function that takes output and blocks has held it up to its deadline."""
    late = turn().too_late()

    assert ("limited", "wall", 1) == (late.outcome, late.limit, late.value)


def test_good_turn_is_its_own_check() -> None:
    """So that calls chain."""
    made = turn()

    assert made is made.check()


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"outcome": "raised", "error": ("ValueError", "no\x1b", "T")}, GuestRaised, r"raised ValueError: no\\x1b\n"),
        ({"outcome": "exited", "exit_code": 0}, GuestExited, "exited with code 0"),
        ({"outcome": "limited", "limit": "wall"}, WallReached, "still running after 500ms"),
        ({"outcome": "trapped", "trap": "unreachable"}, Trapped, "unreachable"),
    ],
)
def test_turn_that_did_not_end_well_raises_when_checked(
    changed: dict[str, Any], error: type[Exception], says: str
) -> None:
    """Each outcome has its class, as for a run, and the turn is on it."""
    made = turn(**changed)

    with pytest.raises(error, match=says) as raised:
        made.check()
    assert made is raised.value.result  # type: ignore[attr-defined]
    assert raised.value.__cause__ is None


def test_exception_of_ours_is_the_cause() -> None:
    """What a function raised, as itself; a pickle leaves it behind."""
    cause = ValueError("no")
    made = Turn(turn(outcome="raised", error=("ValueError", "no", "T"))._fields, cause)

    with pytest.raises(GuestRaised) as raised:
        made.check()
    assert cause is raised.value.__cause__
    assert cause is made.cause
    assert None is pickle.loads(pickle.dumps(made)).cause


def test_error_without_a_type_has_one_and_words() -> None:
    """An interpreter whose memory is used up cannot write down what it raised."""
    assert TurnError("Error", "its language could not say what it was", "") == turn(error=("", "", "")).error
    assert TurnError("Error", "no", "T") == turn(error=("", "no", "T")).error
