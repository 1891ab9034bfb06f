"""What a run changed in private layers, told on stderr."""

from __future__ import annotations

from ringfence._text import quote
from ringfence.errors import HostError

from . import _output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ringfence._result import Result

# Changes told one by one.
_MAX_TOLD = 20


def tell_changes(result: Result) -> None:
    """Say what would be different on the host, as far as that is known."""
    changes = result.changes
    try:
        count = len(changes)
    except HostError as problem:
        _output.error(problem.what, problem.why, problem.fix)
        return
    for _, change in zip(range(_MAX_TOLD), changes, strict=False):
        _output.say(f"{change.act} {quote(change.path)}")
    if count > _MAX_TOLD:
        _output.say(f"and {count - _MAX_TOLD} more changes")
