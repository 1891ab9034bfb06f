"""
Everything Ringfence raises.

RingfenceError
├── PolicyError      (also ValueError)         the policy contradicts itself, or grants what cannot be granted
├── LoadError        (also ValueError)         the program is malformed, or imports what nobody provides
│   └── ProgramNotFound (also FileNotFoundError)
├── GuestError       carries `.result`         how a run or turn ended; raised only by `check`
│   ├── GuestExited                            with a code other than 0
│   ├── GuestRaised                            a turn of a session, with an error that nothing in it caught
│   ├── Trapped                                on an instruction that cannot go on
│   ├── LimitReached                           at one of its limits, named by `.result.limit`
│   │   └── WallReached (also TimeoutError)
│   ├── Denied       (also PermissionError)    ended by its policy (`on_denied="stop"`)
│   ├── Cancelled                              killed by its caller
│   └── Crashed                                Ringfence failed while it ran
├── Conflict                                   what a run changed, somebody else changed too: it is not applied
├── Busy                                       every instance slot stayed taken for as long as a caller waits
├── SessionError                               a session cannot run the turn: poisoned, closed, or at work already
├── SnapshotError    (also ValueError)         a file is no saved snapshot, is not whole, or was changed
│   ├── SnapshotNotFound (also FileNotFoundError)
│   ├── SnapshotForeign                        authenticated with another key
│   ├── SnapshotNewer                          in a format that only a newer Ringfence reads
│   └── SnapshotMismatch                       of a program that is not the one at hand
├── PluginError                                a plugin cannot be called: poisoned, closed, or at work already
├── ResultError      carries `.value`          a function of a plugin gave an error as its result
└── HostError                                  ours: the host system, or a defect of Ringfence

`str(error)` says what happened, why, and the fix. `code` is stable and names the heading in the errors page.
"""

from __future__ import annotations

from ._text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._result import Result
    from ._turn import Turn

__all__ = [
    "Busy",
    "Cancelled",
    "Conflict",
    "Crashed",
    "Denied",
    "GuestError",
    "GuestExited",
    "GuestRaised",
    "HostError",
    "LimitReached",
    "LoadError",
    "PluginError",
    "PolicyError",
    "ProgramNotFound",
    "ResultError",
    "RingfenceError",
    "SessionError",
    "SnapshotError",
    "SnapshotForeign",
    "SnapshotMismatch",
    "SnapshotNewer",
    "SnapshotNotFound",
    "Trapped",
    "WallReached",
]


class RingfenceError(Exception):
    """
    Base of the tree.

    Attributes:
        what: what happened.
        why: the reason.
        fix: what mends it; where possible something to paste.
        code: the stable name of this kind of error.
        exit_code: what the command `ringfence` exits with.
    """

    code: str = "ringfence"
    exit_code: int = 125

    def __init__(self, what: str, why: str, fix: str) -> None:
        # One argument: OSError, a base of some of these, takes a first of two for its errno.
        super().__init__(f"{what}: {why}\nhint: {fix}")
        self.what, self.why, self.fix = what, why, fix

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way home from a worker process."""
        return type(self), (self.what, self.why, self.fix), self.__dict__


class PolicyError(RingfenceError, ValueError):
    """The policy is malformed, contradicts itself, or grants what must not be granted."""

    code = "policy"
    exit_code = 2


class LoadError(RingfenceError, ValueError):
    """The program cannot be loaded: malformed, too much to compile, or it imports what nobody provides."""

    code = "load"
    exit_code = 2


class ProgramNotFound(LoadError, FileNotFoundError):
    """There is no such program."""

    code = "program-not-found"
    exit_code = 127


class Busy(RingfenceError):
    """Every instance slot stayed taken for as long as a caller waits."""

    code = "busy"


class Conflict(RingfenceError):
    """What a run changed cannot be applied: somebody else changed the same on the host."""

    code = "conflict"


class SessionError(RingfenceError):
    """
    A session cannot run the turn.

    It is poisoned, closed, in the parent of this process, at work already, or one of its totals is used up.
    """

    code = "session"


class SnapshotError(RingfenceError, ValueError):
    """A file is no saved snapshot, is not whole, or was changed since it was written. Nothing of it was used."""

    code = "snapshot"
    exit_code = 2


class SnapshotNotFound(SnapshotError, FileNotFoundError):
    """There is no such file."""

    code = "snapshot-not-found"


class SnapshotForeign(SnapshotError):
    """A saved snapshot was authenticated with another key: of another user or machine, or one that was passed in."""

    code = "snapshot-foreign"


class SnapshotNewer(SnapshotError):
    """A saved snapshot has a format that only a newer Ringfence reads."""

    code = "snapshot-newer"


class SnapshotMismatch(SnapshotError):
    """A saved snapshot is memory of a program that is not the one at hand: another pack, or another version of it."""

    code = "snapshot-mismatch"


class PluginError(RingfenceError):
    """A plugin cannot be called: it is poisoned, closed, in the parent of this process, or at work already."""

    code = "plugin"


class ResultError(RingfenceError):
    """
    A function of a plugin gave an error as its result: each function raises a class of its own, `function.Error`.

    A function of yours that a plugin imports raises it to give an error as its result: `raise ResultError(value)`.

    Attributes:
        value: the error, a value of its type in the component.
    """

    code = "result"
    exit_code = 1

    def __init__(self, *given: object) -> None:
        # The native side gives the function's name too.
        self.value = given[-1] if given else None
        self.function = str(given[0]) if len(given) > 1 else None
        what = f"`{quote(self.function)}` gave an error" if self.function else "an error as a result"
        super().__init__(what, f"{self.value!r:.300}", "catch `function.Error`, or call `function.result(…)`")

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way home from a worker process."""
        given = (self.value,) if self.function is None else (self.function, self.value)
        return type(self), given, self.__dict__


class HostError(RingfenceError):
    """Ours, never the guest's: the host system failed us, or Ringfence has a defect."""

    code = "host"


class GuestError(RingfenceError):
    """
    A run or a turn that did not end well, raised by `Result.check` and `Turn.check`.

    Attributes:
        result: the whole result, output included; of a turn, the `Turn`.
    """

    code = "guest"

    def __init__(self, what: str, why: str, fix: str, result: Result | Turn) -> None:
        super().__init__(what, why, fix)
        self.result = result

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way home from a worker process, result and all."""
        return type(self), (self.what, self.why, self.fix, self.result), self.__dict__


class GuestExited(GuestError):
    """The guest exited with a code other than 0; `exit_code` is that code, 255 for any above it."""

    code = "guest-exited"

    def __init__(self, what: str, why: str, fix: str, result: Result | Turn) -> None:
        super().__init__(what, why, fix, result)
        self.exit_code = min(result.exit_code or 1, 255)


class GuestRaised(GuestError):
    """
    The code of a turn raised an error that nothing in it caught: `result.error` has its type, message and traceback.

    Where a function of yours raised it, that exception is its `__cause__`.
    """

    code = "guest-raised"
    exit_code = 1  # as of an interpreter


class Trapped(GuestError):
    """The guest ran into an instruction that cannot go on: `result.trap` says which, `result.backtrace` where."""

    code = "trapped"
    exit_code = 134


class LimitReached(GuestError):
    """The guest used up one of its limits: `result.limit` says which."""

    code = "limit-reached"
    exit_code = 124


class WallReached(LimitReached, TimeoutError):
    """The guest used up its time on the clock."""

    code = "wall-reached"


class Denied(GuestError, PermissionError):
    """The guest asked for what its policy does not grant, and the policy ends such a run."""

    code = "denied"
    exit_code = 126


class Cancelled(GuestError):
    """The caller ended the run."""

    code = "cancelled"
    exit_code = 130


class Crashed(GuestError):
    """Ringfence failed while the guest ran: the guest is gone, the host lives."""

    code = "crashed"


_NATIVE = (
    PolicyError,
    LoadError,
    ProgramNotFound,
    Busy,
    Conflict,
    SessionError,
    PluginError,
    SnapshotError,
    SnapshotNotFound,
    SnapshotForeign,
    SnapshotNewer,
    SnapshotMismatch,
    PluginError,
    HostError,
)
_BY_CODE: dict[str, type[RingfenceError]] = {kind.code: kind for kind in _NATIVE}


def from_code(code: str, what: str, why: str, fix: str) -> RingfenceError:
    """Make the error of a code: what the native side calls to raise."""
    return _BY_CODE.get(code, HostError)(what, why, fix)
