"""What the command exits with."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ringfence._result import Result


class Exit:
    """
    Our own exit codes. A guest's own code passes through: `--json` tells which of the two it was.

    Plain numbers, as importing `enum` costs every run 3 ms.
    """

    OK = 0
    PROBLEM = 1
    """`ringfence doctor` found something missing."""
    USAGE = 2
    """The command line, the policy or the program is wrong."""
    LIMIT = 124
    """The guest was stopped at a limit."""
    OURS = 125
    """Ringfence failed, or the guest crashed."""
    DENIED = 126
    """The guest was ended by its policy."""
    NOT_FOUND = 127
    """There is no such program."""
    CANCELLED = 130
    """Ctrl-C, unless the guest caught it and ended by itself."""
    TRAP = 134
    """The guest trapped."""


_BY_OUTCOME = {
    "limited": Exit.LIMIT,
    "trapped": Exit.TRAP,
    "denied": Exit.DENIED,
    "cancelled": Exit.CANCELLED,
    "crashed": Exit.OURS,
}


def of(result: Result) -> int:
    """Give the exit code of a run: the guest's own, 255 for any above it, or ours for how it was ended."""
    if result.outcome == "exited":
        return min(result.exit_code or 0, 255)
    return _BY_OUTCOME[result.outcome]
