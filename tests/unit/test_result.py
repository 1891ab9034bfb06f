"""Results."""

from __future__ import annotations

import base64
import json
import pickle
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from ringfence import Denial, Limits, Result, Usage, errors
from ringfence._engine import core

if TYPE_CHECKING:
    from conftest import SandboxFactory


def made(**changes: Any) -> Result:
    """Make a result without running anything, for what no guest can bring about."""
    state: dict[str, Any] = {
        "outcome": "exited",
        "exit_code": 0,
        "stdout": b"",
        "stderr": b"",
        "limit": None,
        "trap": None,
        "backtrace": None,
        "truncated": False,
        "usage": (0.5, 0.25, 65536, 6, None),
        "denials": [],
    }
    return Result(core.Result(*{**state, **changes}.values()))


def test_good_run_is_its_own_check(sandbox: SandboxFactory) -> None:
    """`check` returns the result, so that calls chain."""
    result = sandbox("hello.wat")

    assert result is result.check()
    assert ("exited", 0, True) == (result.outcome, result.exit_code, result.ok)
    assert ("hello, world\n", b"hello, world\n", b"") == (result.text, result.stdout, result.stderr)


def test_bad_exit_raises_only_when_checked(sandbox: SandboxFactory) -> None:
    """A code other than 0 is an ordinary result; `check` makes it `GuestExited`, with the result on it."""
    result = sandbox("exit_code.wat", "3")

    assert (False, 3) == (result.ok, result.exit_code)
    with pytest.raises(errors.GuestExited, match="the guest exited with code 3") as raised:
        result.check()
    assert (result, 3) == (raised.value.result, raised.value.exit_code)


def test_trap_is_told_with_its_place(sandbox: SandboxFactory) -> None:
    """A trap says what and where, and checks as `Trapped`."""
    result = sandbox("trap_unreachable.wat")

    assert ("trapped", None) == (result.outcome, result.exit_code)
    assert "unreachable" in str(result.trap)
    assert "give_up" in str(result.backtrace)
    with pytest.raises(errors.Trapped, match="unreachable"):
        result.check()


def test_wall_limit_checks_as_a_timeout(sandbox: SandboxFactory) -> None:
    """Code that knows nothing of Ringfence understands a run that took too long."""
    result = sandbox("spin_forever.wat", limits=Limits(wall="100ms"))

    assert ("limited", "wall") == (result.outcome, result.limit)
    with pytest.raises(TimeoutError, match="wall limit"):
        result.check()


def test_other_limits_check_as_limit_reached(sandbox: SandboxFactory) -> None:
    """Running out of memory is a limit, and not a timeout."""
    result = sandbox("grow_memory.wat", limits=Limits(memory="4MiB"))

    assert ("limited", "memory") == (result.outcome, result.limit)
    with pytest.raises(errors.LimitReached, match="memory limit") as raised:
        result.check()
    assert not isinstance(raised.value, TimeoutError)


def test_output_is_kept_up_to_its_limit(sandbox: SandboxFactory) -> None:
    """A flood ends as limited, and what was written before is there."""
    result = sandbox("flood_stdout.wat", limits=Limits(output="100KiB"))

    assert ("limited", "output", True) == (result.outcome, result.limit, result.truncated)
    assert 100 << 10 == len(result.stdout) == result.usage.output_bytes


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"outcome": "denied", "exit_code": None, "denials": [("read", "/etc", 1, 0.1)]}, errors.Denied),
        ({"outcome": "cancelled", "exit_code": None}, errors.Cancelled),
        ({"outcome": "crashed", "exit_code": None, "trap": "a defect"}, errors.Crashed),
        ({"outcome": "limited", "exit_code": 0, "limit": "memory"}, errors.LimitReached),
    ],
)
def test_outcome_has_its_exception(changes: dict[str, Any], kind: type[errors.GuestError]) -> None:
    """Every way not to end well has a class, three parts long; only a guest that exited is ok."""
    result = made(**changes)

    assert not result.ok
    with pytest.raises(kind) as raised:
        result.check()
    assert all((raised.value.what, raised.value.why, raised.value.fix))


def test_last_words_are_escaped(sandbox: SandboxFactory) -> None:
    """What a guest said before it failed cannot forge a terminal from within an exception."""
    with pytest.raises(errors.GuestExited) as raised:
        sandbox("complain.wat").check()

    assert r"its last words were `\x1b[31mbad luck`" == raised.value.why


def test_result_survives_pickling(sandbox: SandboxFactory) -> None:
    """A result is the same in another process."""
    result = sandbox("exit_code.wat", "3")

    assert result == pickle.loads(pickle.dumps(result))


def test_usage_and_denials_have_names() -> None:
    """Tuples of the native side become values with units in their names."""
    result = made(denials=[("read", "/etc/\x1bpasswd", 2, 0.1)])

    assert Usage(0.5, 0.25, 65536, 6, None) == result.usage
    assert (Denial("read", r"/etc/\x1bpasswd", 2, 0.1),) == result.denials


def test_json_keeps_its_published_shape(sandbox: SandboxFactory) -> None:
    """Every real result, good or bad, fits the schema."""
    validator = jsonschema.Draft202012Validator(json.loads(Result.schema()))

    for result in (sandbox("hello.wat"), sandbox("trap_unreachable.wat"), sandbox("print_file.wat", "/etc/passwd")):
        validator.validate(json.loads(result.json()))


def test_json_loses_no_byte() -> None:
    """Output that is not UTF-8 is readable as text and exact in base64; output that is has no base64."""
    document = json.loads(made(stdout=b"a\xff", stderr=b"b").json())

    assert ("a\ufffd", b"a\xff") == (document["stdout"], base64.b64decode(document["stdout_base64"]))
    assert ("b", None) == (document["stderr"], document["stderr_base64"])


def test_result_shows_how_it_ended(sandbox: SandboxFactory) -> None:
    """The repr is for people, and holds no guest text unescaped."""
    assert "<Result exited 0: 13 bytes of stdout, 0 of stderr>" == repr(sandbox("hello.wat"))
