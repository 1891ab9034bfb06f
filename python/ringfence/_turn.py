"""What came of a turn of a session: `Turn`, `TurnError`, `TurnUsage`."""

from __future__ import annotations

from ._result import Denial
from ._text import quote
from ._units import seconds
from ._value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

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


class Turn(Value):
    """
    How a turn ended, what it gave, wrote, used and was refused. Frozen; pickles.

    Attributes:
        outcome: "returned" at its end; "raised" an error that nothing caught, or "exited" by `sys.exit`, after which
            the session goes on; or, as a run may end: "limited", "trapped", "denied", "cancelled", "crashed".
        value: the value of a last expression: None, bool, int, float, str, bytes, list or dict as itself.
        is_repr: whether `value` is text that the language printed of a value of another type.
        stdout: what it wrote to standard output, as far as that was captured.
        stderr: the same for standard error.
        exit_code: the code it exited with; None if it did not.
        limit: the limit that was reached. The guest may have heard of it, and gone on to its end in time.
        trap: what it could not go on from, escaped.
        backtrace: where it trapped, escaped.
        truncated: whether output was cut at its limit.
        poisoned: whether the session can run no further turn.
    """

    __slots__ = (
        "outcome",
        "value",
        "is_repr",
        "_error",
        "stdout",
        "stderr",
        "exit_code",
        "limit",
        "trap",
        "backtrace",
        "truncated",
        "_usage",
        "_denials",
        "poisoned",
    )
    outcome: TurnOutcome
    value: Any
    is_repr: bool
    _error: tuple[str, str, str] | None
    stdout: bytes
    stderr: bytes
    exit_code: int | None
    limit: str | None
    trap: str | None
    backtrace: str | None
    truncated: bool
    _usage: tuple[float, float, int, int, int | None, int, float]
    _denials: list[tuple[str, str, int, float]]
    poisoned: bool

    def __init__(self, fields: tuple[Any, ...], /) -> None:
        put = object.__setattr__
        for name, value in zip(self.__slots__, fields, strict=True):
            put(self, name, value)

    @property
    def ok(self) -> bool:
        """Whether it came to its end."""
        return self.outcome == "returned"

    @property
    def error(self) -> TurnError | None:
        """The error that nothing caught."""
        return None if self._error is None else TurnError(*self._error)

    @property
    def text(self) -> str:
        """Standard output as UTF-8; what is not becomes U+FFFD. Not escaped: a guest can put anything in it."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def usage(self) -> TurnUsage:
        """What it used up."""
        return TurnUsage(*self._usage)

    @property
    def denials(self) -> tuple[Denial, ...]:
        """What it was refused."""
        return tuple(Denial(*denial) for denial in self._denials)

    def too_late(self) -> Turn:
        """The same turn where not all that it wrote has arrived in time."""
        fields = [getattr(self, name) for name in self.__slots__]
        fields[0], fields[7] = "limited", "wall"
        return Turn(tuple(fields))

    def __hash__(self) -> int:
        return hash((self.outcome, self.stdout, self.stderr, self.exit_code, self.limit))

    def __repr__(self) -> str:
        shown = [self.outcome if self.limit is None else f"{self.outcome} {self.limit}"]
        if self.value is not None:
            shown.append(quote(self.value if self.is_repr else repr(self.value), _SHOWN_CHARACTERS))
        if self._error is not None:
            shown.append(quote(self._error[0], _SHOWN_CHARACTERS))
        if self.poisoned:
            shown.append("poisoned")
        return f"<Turn {', '.join(shown)}, {seconds(self._usage[0])}>"
