"""The tree of exceptions."""

import pickle

import pytest

from ringfence import errors
from ringfence._engine import core
from ringfence._result import Result

KINDS = [getattr(errors, name) for name in errors.__all__]


def made(kind: type[errors.RingfenceError]) -> errors.RingfenceError:
    """Make one of a kind."""
    if issubclass(kind, errors.GuestError):
        return kind("what", "why", "fix", Result(core.Result(*STATE)))
    return kind("what", "why", "fix")


STATE = ("exited", 300, b"out", b"err", None, None, None, False, (0.5, 0.25, 65536, 6, None), [("read", "/a", 1, 0.1)])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not errors.ResultError])
def test_message_has_three_parts(kind: type[errors.RingfenceError]) -> None:
    """`str(error)` says what happened and why on one line, and the fix on the next, whatever built-in it also is."""
    assert "what: why\nhint: fix" == str(made(kind))


def test_error_of_a_plugin_says_its_value() -> None:
    """Its three parts are ours: whoever raises it gives a value only."""
    error = errors.ResultError("parse", {"line": 3})

    assert "`parse` gave an error: {'line': 3}" == str(error).partition("\n")[0]
    assert (error.function, error.value) == ("parse", {"line": 3})
    assert errors.ResultError(7).value == 7


@pytest.mark.parametrize("kind", KINDS)
def test_error_survives_pickling(kind: type[errors.RingfenceError]) -> None:
    """An error comes home from a worker process whole, its result and what was set on it included."""
    error = made(kind)
    error.note = "kept"  # type: ignore[attr-defined]

    back = pickle.loads(pickle.dumps(error))

    assert (kind, str(error), error.__dict__) == (type(back), str(back), back.__dict__)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.PolicyError, ValueError),
        (errors.LoadError, ValueError),
        (errors.ProgramNotFound, FileNotFoundError),
        (errors.WallReached, TimeoutError),
        (errors.Denied, PermissionError),
    ],
)
def test_error_is_also_the_builtin_people_expect(kind: type[errors.RingfenceError], builtin: type[Exception]) -> None:
    """Code that knows nothing of Ringfence catches the usual built-in."""
    with pytest.raises(builtin):
        raise made(kind)


def test_codes_are_unique() -> None:
    """Every kind of error has a code of its own."""
    codes = [kind.code for kind in KINDS]

    assert sorted(set(codes)) == sorted(codes)


def test_native_codes_find_their_class() -> None:
    """The native side raises by code, and a code it should not have is our own fault."""
    found = [type(errors.from_code(code, "", "", "")) for code in ("policy", "load", "program-not-found", "busy", "?")]

    assert [errors.PolicyError, errors.LoadError, errors.ProgramNotFound, errors.Busy, errors.HostError] == found


def test_guest_code_above_255_exits_with_255() -> None:
    """An exit code keeps its meaning as failure when it does not fit a byte."""
    assert 255 == made(errors.GuestExited).exit_code
