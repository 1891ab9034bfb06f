"""How a run ended: `Result`, `Usage`, `Denial`."""

from __future__ import annotations

from ._text import quote
from ._value import Value
from .errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, Self

    from ._changes import ChangedFiles, Changes
    from ._engine import core
    from .errors import GuestError

    Outcome = Literal["exited", "trapped", "limited", "denied", "cancelled", "crashed"]
    Limit = Literal["wall", "cpu", "fuel", "memory", "output", "host_bytes"]


class Usage(Value):
    """
    What a run used up.

    Attributes:
        wall_seconds: time on the clock, waiting included.
        cpu_seconds: processor time.
        memory_bytes: memories, tables and heaps together, at most.
        output_bytes: stdout and stderr together.
        fuel: instructions; None unless the policy limits them.
    """

    __slots__ = ("wall_seconds", "cpu_seconds", "memory_bytes", "output_bytes", "fuel")
    wall_seconds: float
    cpu_seconds: float
    memory_bytes: int
    output_bytes: int
    fuel: int | None

    def __init__(
        self, wall_seconds: float, cpu_seconds: float, memory_bytes: int, output_bytes: int, fuel: int | None
    ) -> None:
        self._fill(
            wall_seconds=wall_seconds,
            cpu_seconds=cpu_seconds,
            memory_bytes=memory_bytes,
            output_bytes=output_bytes,
            fuel=fuel,
        )


class Denial(Value):
    """
    Something the guest asked for and was refused.

    Attributes:
        kind: "read", "write", "resolve", "connect", "listen", "http", "open_files", "connections", "disk", "files",
            "path" or "memory".
        what: of what, escaped: a guest path, or for "memory" the total it would have had.
        count: how often.
        first_seconds: when first, in seconds from the start of the run.
    """

    __slots__ = ("kind", "what", "count", "first_seconds")
    kind: str
    what: str
    count: int
    first_seconds: float

    def __init__(self, kind: str, what: str, count: int, first_seconds: float) -> None:
        self._fill(kind=kind, what=quote(what), count=count, first_seconds=first_seconds)


class Result:
    """How a run ended, what it wrote, what it used and what it was refused. Frozen; pickles."""

    __slots__ = ("_native",)

    def __init__(self, native: core.Result, /) -> None:
        self._native = native

    @property
    def outcome(self) -> Outcome:
        """
        How it ended.

        - "exited": by itself, with `exit_code`
        - "trapped": on an instruction that cannot go on; `trap` says which, `backtrace` where
        - "limited": at the limit that `limit` names
        - "denied": by its policy, which ends a run that asks for more (`on_denied="stop"`)
        - "cancelled": by its caller
        - "crashed": because Ringfence failed while it ran
        """
        outcome: Outcome = self._native.outcome  # type: ignore[assignment]
        return outcome

    @property
    def ok(self) -> bool:
        """Whether it exited with code 0."""
        return self._native.outcome == "exited" and self._native.exit_code == 0

    @property
    def exit_code(self) -> int | None:
        """The code it exited with; None if it did not. Out of memory, a guest may exit and still be "limited"."""
        return self._native.exit_code

    @property
    def stdout(self) -> bytes:
        """What it wrote to standard output, as far as that was captured."""
        return self._native.stdout

    @property
    def stderr(self) -> bytes:
        """What it wrote to standard error, as far as that was captured."""
        return self._native.stderr

    @property
    def text(self) -> str:
        """Standard output as UTF-8; what is not becomes U+FFFD. Not escaped: a guest can put anything in it."""
        return self._native.stdout.decode("utf-8", "replace")

    @property
    def limit(self) -> Limit | None:
        """The limit that ended it, by its name in `Limits`."""
        limit: Limit | None = self._native.limit  # type: ignore[assignment]
        return limit

    @property
    def trap(self) -> str | None:
        """What it could not go on from, escaped."""
        return self._native.trap

    @property
    def backtrace(self) -> str | None:
        """Where it trapped, escaped."""
        return self._native.backtrace

    @property
    def truncated(self) -> bool:
        """Whether its output was cut at the limit."""
        return self._native.truncated

    @property
    def usage(self) -> Usage:
        """What it used up."""
        return Usage(*self._native.usage)

    @property
    def denials(self) -> tuple[Denial, ...]:
        """What it asked for and was refused, each once with its count."""
        return tuple(Denial(*denial) for denial in self._native.denials)

    @property
    def changes(self) -> Changes:
        """What it changed where its policy grants `mode="overlay"`; the host is as it was until they are applied."""
        from ._changes import Changes

        return Changes(self._native.changes)

    @property
    def files(self) -> ChangedFiles:
        """The bytes of the files that it added or modified there, by guest path."""
        from ._changes import ChangedFiles

        return ChangedFiles(self.changes)

    def check(self) -> Self:
        """
        Return this result if the guest exited with code 0.

        Raises:
            GuestExited: it exited with another code.
            Trapped: it trapped.
            LimitReached: it reached a limit; WallReached, also a TimeoutError, for `wall`.
            Denied: its policy ended it.
            Cancelled: its caller ended it.
            Crashed: Ringfence failed while it ran.
        """
        if self.ok:
            return self
        raise self.error()

    def error(self) -> GuestError:
        """Make the error that `check` raises of a run that did not end well."""
        from ._failure import failure

        return failure(self)

    def json(self) -> str:
        """
        Write the result as JSON, as `ringfence run --json` does; its schema is `Result.schema()`.

        `stdout` and `stderr` are text, with U+FFFD for what is not UTF-8; where that loses something, the exact bytes
        are in `stdout_base64` and `stderr_base64`, which are otherwise null.
        """
        import json

        return json.dumps(self._document(), ensure_ascii=False, indent=2)

    @staticmethod
    def schema() -> str:
        """Get the JSON schema of `json()`, as text."""
        from ._schema import result_schema

        return result_schema()

    def _document(self) -> dict[str, object]:
        return {
            "outcome": self.outcome,
            "ok": self.ok,
            "exit_code": self.exit_code,
            "limit": self.limit,
            "trap": self.trap,
            "backtrace": self.backtrace,
            "stdout": self.text,
            "stdout_base64": _exact(self.stdout),
            "stderr": self.stderr.decode("utf-8", "replace"),
            "stderr_base64": _exact(self.stderr),
            "truncated": self.truncated,
            "usage": self.usage._fields(),
            "denials": [denial._fields() for denial in self.denials],
            "changes": self._changes_fields(),
        }

    def _changes_fields(self) -> list[dict[str, object]] | None:
        try:
            return [change._fields() for change in self.changes]
        except HostError:
            return None

    def __eq__(self, other: object) -> bool:
        return self._native.state() == other._native.state() if isinstance(other, Result) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        detail = self.exit_code if self.outcome == "exited" else self.limit or quote(self.trap or "")
        shown = f"{self.outcome} {detail}".rstrip()
        return f"<Result {shown}: {len(self.stdout)} bytes of stdout, {len(self.stderr)} of stderr>"

    def __reduce__(self) -> tuple[object, ...]:
        return _revive, (self._native.state(),)


def _revive(state: tuple[Any, ...]) -> Result:
    from ._engine import core

    *plain, changes = state
    state = (*plain, None if changes is None else core.Changes(changes))
    return Result(core.Result(*state))


def _exact(data: bytes) -> str | None:
    """Give the bytes in base64 where text would lose some."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        import base64

        return base64.b64encode(data).decode("ascii")
    return None
