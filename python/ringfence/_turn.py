"""What came of a turn of a session: `Turn`, `TurnError`, `TurnUsage`."""

from __future__ import annotations

from ._result import Denial
from ._text import quote
from ._units import seconds
from ._value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, Self

    TurnOutcome = Literal["returned", "raised", "exited", "limited", "trapped", "denied", "cancelled", "crashed"]

# Of a guest's text in a `repr`.
_SHOWN_CHARACTERS = 60


class TurnError(Value):
    """
    An error that nothing in the guest caught, in the guest's own words. Not escaped: a guest can put anything in it.

    Attributes:
        type: the name of its type, such as "ZeroDivisionError".
        message: what it says.
        traceback: as the language prints it, with the lines of the source.
    """

    __slots__ = ("type", "message", "traceback")
    type: str
    message: str
    traceback: str

    def __init__(self, type: str, message: str, traceback: str) -> None:  # noqa: A002
        self._fill(type=type, message=message, traceback=traceback)


class TurnUsage(Value):
    """
    What a turn used up.

    Attributes:
        wall_seconds: time on the clock, waiting included.
        cpu_seconds: processor time.
        memory_bytes: memories and tables together, the most that the session ever had.
        output_bytes: stdout and stderr together.
        fuel: instructions; None unless the policy limits them.
        calls: calls of functions of the host.
        calls_seconds: time inside them.
    """

    __slots__ = ("wall_seconds", "cpu_seconds", "memory_bytes", "output_bytes", "fuel", "calls", "calls_seconds")
    wall_seconds: float
    cpu_seconds: float
    memory_bytes: int
    output_bytes: int
    fuel: int | None
    calls: int
    calls_seconds: float

    def __init__(
        self,
        wall_seconds: float,
        cpu_seconds: float,
        memory_bytes: int,
        output_bytes: int,
        fuel: int | None,
        calls: int,
        calls_seconds: float,
    ) -> None:
        self._fill(
            wall_seconds=wall_seconds,
            cpu_seconds=cpu_seconds,
            memory_bytes=memory_bytes,
            output_bytes=output_bytes,
            fuel=fuel,
            calls=calls,
            calls_seconds=calls_seconds,
        )


class Turn:
    """How a turn ended, what it gave, wrote, used and was refused. Frozen; equal by what is in it; pickles."""

    __slots__ = ("_cause", "_fields")

    def __init__(self, fields: tuple[Any, ...], cause: Exception | None = None, /) -> None:
        # As they come: a turn takes microseconds, and most of them nobody looks at.
        self._fields = fields
        self._cause = cause

    @property
    def outcome(self) -> TurnOutcome:
        """
        How it ended.

        - "returned": at its end
        - "raised": with an error that nothing caught; the session goes on
        - "exited": with `exit_code`, by `sys.exit`, after which the session goes on, or by ending the interpreter
        - "limited", "trapped", "denied", "cancelled" or "crashed": as a run may end
        """
        outcome: TurnOutcome = self._fields[0]
        return outcome

    @property
    def value(self) -> Any:  # noqa: ANN401 - whatever the guest's last expression was
        """The value of a last expression: None, bool, int, float, str, bytes, list or dict as itself."""
        return self._fields[1]

    @property
    def is_repr(self) -> bool:
        """Whether `value` is text that the language printed of a value of another type."""
        return bool(self._fields[2])

    @property
    def stdout(self) -> bytes:
        """What it wrote to standard output, as far as that was captured."""
        return bytes(self._fields[4])

    @property
    def stderr(self) -> bytes:
        """What it wrote to standard error, as far as that was captured."""
        return bytes(self._fields[5])

    @property
    def exit_code(self) -> int | None:
        """The code it exited with; None if it did not."""
        code: int | None = self._fields[6]
        return code

    @property
    def limit(self) -> str | None:
        """The limit that was reached. The guest may have heard of it, and gone on to its end in time."""
        limit: str | None = self._fields[7]
        return limit

    @property
    def trap(self) -> str | None:
        """What it could not go on from, escaped."""
        trap: str | None = self._fields[8]
        return trap

    @property
    def backtrace(self) -> str | None:
        """Where it trapped, escaped."""
        backtrace: str | None = self._fields[9]
        return backtrace

    @property
    def truncated(self) -> bool:
        """Whether output was cut at its limit."""
        return bool(self._fields[10])

    @property
    def poisoned(self) -> bool:
        """Whether the session can run no further turn."""
        return bool(self._fields[13])

    @property
    def ok(self) -> bool:
        """Whether it came to its end."""
        return self.outcome == "returned"

    @property
    def error(self) -> TurnError | None:
        """The error that nothing caught."""
        if self._fields[3] is None:
            return None
        kind, message, traceback = self._fields[3]
        if kind:
            return TurnError(kind, message, traceback)
        # An interpreter whose memory is used up has none to write down what it raised.
        return TurnError("Error", message or "its language could not say what it was", traceback)

    @property
    def cause(self) -> Exception | None:
        """The exception of a function of yours, where that is what nothing caught; it is not pickled with the turn."""
        return self._cause

    def check(self) -> Self:
        """
        Return this turn if it came to its end.

        Raises:
            GuestRaised: it raised an error that nothing caught; `__cause__` is the exception of yours, if it was one.
            GuestExited: it exited, with whatever code.
            Trapped: it trapped.
            LimitReached: it reached a limit; WallReached, also a TimeoutError, for `wall`.
            Denied: its policy ended it.
            Cancelled: its caller ended it.
            Crashed: Ringfence failed while it ran.
        """
        if self.ok:
            return self
        from ._failure import failure, raised

        raise raised(self) if self.outcome == "raised" else failure(self) from self._cause

    @property
    def text(self) -> str:
        """Standard output as UTF-8; what is not becomes U+FFFD. Not escaped: a guest can put anything in it."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def usage(self) -> TurnUsage:
        """What it used up."""
        return TurnUsage(*self._fields[11])

    @property
    def denials(self) -> tuple[Denial, ...]:
        """What it was refused."""
        return tuple(Denial(*denial) for denial in self._fields[12])

    def too_late(self) -> Turn:
        """The same turn where not all that it wrote has arrived in time."""
        fields = self._fields
        return Turn(("limited", *fields[1:7], "wall", *fields[8:]), self._cause)

    def __eq__(self, other: object) -> bool:
        return self._fields == other._fields if isinstance(other, Turn) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.outcome, self.stdout, self.stderr, self.exit_code, self.limit))

    def __reduce__(self) -> tuple[object, ...]:
        return Turn, (self._fields,)

    def __repr__(self) -> str:
        shown = [self.outcome if self.limit is None else f"{self.outcome} {self.limit}"]
        if self.value is not None:
            shown.append(quote(self.value if self.is_repr else repr(self.value), _SHOWN_CHARACTERS))
        if self._fields[3] is not None:
            shown.append(quote(self._fields[3][0], _SHOWN_CHARACTERS))
        if self.poisoned:
            shown.append("poisoned")
        return f"<Turn {', '.join(shown)}, {seconds(self._fields[11][0])}>"
