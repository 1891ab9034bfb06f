"""Fixes of errors that are told for Python, in the words of the command line."""

from __future__ import annotations

import re
from contextlib import contextmanager

from ringfence._text import quote
from ringfence.errors import GuestError, RingfenceError

from ._amounts import flag_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfence._policy import Policy

_IMPORTS = "give an object with a method for each: `--host app:host/store=store:Store`"
_LANGUAGE = ", or say what language it is in with `--language NAME`"


@contextmanager
def in_flags(policy: Policy) -> Iterator[None]:
    """Name flags where a plugin's errors name what is written in Python."""
    from ringfence._plugin_imports import FIX

    try:
        yield
    except GuestError as problem:
        problem.fix = _of_end(problem, policy)
        raise
    except RingfenceError as problem:
        fix = _IMPORTS if problem.fix == FIX else problem.fix
        problem.fix = re.sub(r"`(\w+)` in the policy's limits", lambda at: f"`{flag_of(at[1])}`", fix)
        raise


def of_other_verb(problem: RingfenceError) -> None:
    """Name no flag that only `run` has."""
    problem.fix = problem.fix.replace(_LANGUAGE, "")


def _of_end(problem: GuestError, policy: Policy) -> str:
    """Say what to do about how a call ended."""
    from ._hints import limit_hint, refusal_hint

    result = problem.result
    found = limit_hint(result, policy) or refusal_hint(result, policy)
    if found or result.outcome in {"cancelled", "crashed"}:
        return found or problem.fix
    frames = ", ".join(f"`{quote(frame.strip(), 80)}`" for frame in (result.backtrace or "").splitlines()[:3])
    return f"the defect is the program's, at {frames}" if frames else "the defect is the program's: calls return"
