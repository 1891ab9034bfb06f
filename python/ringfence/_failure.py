"""From how a run or a turn ended to the error that `check` raises of it."""

from __future__ import annotations

from ._text import quote
from ._units import about, seconds
from .errors import Cancelled, Crashed, Denied, GuestExited, GuestRaised, LimitReached, Trapped, WallReached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._result import Result
    from ._turn import Turn
    from .errors import GuestError

# Of the message of a guest's error.
_SHOWN_CHARACTERS = 300
# How what became of a worker ends that somebody else killed.
_KILLED = "killed from outside or out of memory"


def failure(ended: Result | Turn) -> GuestError:
    """Make the error for one that did not end well."""
    match ended.outcome:
        case "exited":
            what, why = f"the guest exited with code {ended.exit_code}", _last_words(ended)
            return GuestExited(what, why, "read `result.stderr`, or leave out `check`", ended)
        case "trapped":
            trap = quote(ended.trap or "no reason given")
            return Trapped("the guest trapped", trap, "read `result.backtrace`: the defect is the program's", ended)
        case "limited":
            what, why, fix = _limit_story(ended)
            return (WallReached if ended.limit == "wall" else LimitReached)(what, why, fix, ended)
        case "denied":
            what, why = "the guest was ended by its policy", _denial_story(ended)
            return Denied(what, why, 'grant it, or let the guest go on with `on_denied="continue"`', ended)
        case "cancelled":
            why = f"its caller ended it after {_rounded(ended.usage.wall_seconds)}"
            return Cancelled("the guest was cancelled", why, "run it again if that was not meant", ended)
    why = quote(ended.trap or "Ringfence failed while it ran")
    is_killed = (ended.trap or "").endswith(_KILLED)
    fix = "look at who kills processes here, or give it more memory" if is_killed else "report it: the defect is ours"
    return Crashed("the guest crashed", why, fix, ended)


def raised(turn: Turn) -> GuestRaised:
    """Make the error for a turn with an error that nothing in the guest caught."""
    kind, message = (turn.error.type, turn.error.message) if turn.error else ("an error", "")
    why = quote(message, _SHOWN_CHARACTERS) or "it did not say why"
    return GuestRaised(f"the guest raised {quote(kind, 80)}", why, "read `result.error.traceback`", turn)


def _last_words(ended: Result | Turn) -> str:
    words = ended.stderr[-1000:].decode("utf-8", "replace").strip()
    return f"its last words were `{quote(words.splitlines()[-1])}`" if words else "it did not say why"


def _limit_story(ended: Result | Turn) -> tuple[str, str, str]:
    usage = ended.usage
    why = {
        "wall": f"it was still running after {_rounded(usage.wall_seconds)}",
        "cpu": f"it had used {_rounded(usage.cpu_seconds)} of processor time",
        "fuel": f"it had run {usage.fuel} instructions",
        "memory": f"it had {about(usage.memory_bytes)} and was refused more",
        "output": f"it had written {about(usage.output_bytes)}",
    }.get(ended.limit or "", "it asked for more")
    what = f"the guest was stopped at its {ended.limit} limit"
    return what, why, f"raise `Limits({ended.limit}=…)` if it should go on"


def _denial_story(ended: Result | Turn) -> str:
    denials = ended.denials
    return f"it was refused a {denials[-1].kind} of `{denials[-1].what}`" if denials else "it asked for more"


def _rounded(value: float) -> str:
    return seconds(float(f"{value:.3g}"))
