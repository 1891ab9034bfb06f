"""Where a plugin's time goes: calls, bytes that are copied each way and time, for every function of both sides."""

from __future__ import annotations

from time import perf_counter

from ._plugin_functions import Between
from ._plugin_names import spelled
from ._plugin_values import Err, Ok, Some
from ._value import Value
from .errors import ResultError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from ._engine import core

_SIZES = {"bool": 1, "char": 4, **{f"{sign}{bits}": bits // 8 for sign in "suif" for bits in (8, 16, 32, 64)}}
# What stands for a resource, a stream or a future.
_HANDLE = 4
# The place and the length of text, or of a list.
_POINTER = 8


class FunctionProfile(Value):
    """
    What calls of one function took.

    Attributes:
        function: its name in the component, with its interface: `app:markdown/content@1.0.0.parse`.
        side: "export" for one of the plugin's, "import" for one of the host's.
        calls: how often it was called, those that failed included.
        wall_seconds: time on the clock, from the call to its end. What a function of the host takes is in here, and in
            that of the export it was called from.
        sent_bytes: bytes of the values that went to the guest; none of those that were refused before.
        received_bytes: bytes of those that came from it.
    """

    __slots__ = ("calls", "function", "received_bytes", "sent_bytes", "side", "wall_seconds")
    function: str
    side: Literal["export", "import"]
    calls: int
    wall_seconds: float
    sent_bytes: int
    received_bytes: int

    def __init__(
        self, function: str, side: str, calls: int, wall_seconds: float, sent_bytes: int, received_bytes: int
    ) -> None:
        self._fill(
            function=function,
            side=side,
            calls=calls,
            wall_seconds=wall_seconds,
            sent_bytes=sent_bytes,
            received_bytes=received_bytes,
        )


class Profile:
    """What was measured so far."""

    def __init__(self, types: list[tuple[Any, ...]], classes: list[Any]) -> None:
        self.types, self.classes = types, classes
        self._rows: list[Row] = []

    def imports(
        self, interfaces: list[Any], functions: list[Callable[..., Any] | None]
    ) -> list[Callable[..., Any] | None]:
        """Measure functions of the host, in the order of the imports; those that nobody gave are none."""
        return [
            function and measured(function, self.row(title, "import", params, result))
            for (title, params, result), function in zip(_declared(interfaces), functions, strict=True)
        ]

    def row(
        self,
        title: str,
        side: str,
        params: list[tuple[str, int]],
        result: int | None,
        begun: Callable[[], int | None] = lambda: None,
    ) -> Row:
        """Make a row for a function; `begun` tells how many calls the guest has begun, if it is the guest's."""
        row = Row(self, title, side, [kind for _, kind in params], result, begun)
        self._rows.append(row)
        return row

    def told(self) -> tuple[FunctionProfile, ...]:
        """Give what was called, what took longest first."""
        rows = sorted((row for row in self._rows if row.calls), key=lambda row: -row.wall_seconds)
        return tuple(
            FunctionProfile(row.title, row.side, row.calls, row.wall_seconds, row.sent, row.received) for row in rows
        )

    def size(self, value: Any, kind: int) -> int:  # noqa: ANN401, C901, PLR0911, PLR0912 - a line for each kind
        """Give the bytes of a value, as the canonical ABI lays it out but for gaps."""
        name, *parts = self.types[kind]
        if name in _SIZES:
            return _SIZES[name]
        match name:
            case "string":
                return _POINTER + (len(value) if value.isascii() else len(value.encode()))
            case "list":
                return _POINTER + self._row(value, parts[0])
            case "fixed":
                return self._row(value, parts[0])
            case "map":
                return _POINTER + sum(self.size(own, of) for pair in value.items() for own, of in zip(pair, parts))  # noqa: B905 - two each
            case "tuple":
                return sum(self.size(item, part) for item, part in zip(value, parts[0], strict=True))
            case "record":
                is_dict = isinstance(value, dict)
                return sum(
                    self.size(value[own] if is_dict else getattr(value, own), part)
                    for own, (_, part) in zip(self.classes[kind][1], parts[0], strict=True)
                )
            case "variant":
                carried = dict(zip((cls for cls, _ in self.classes[kind][1]), parts[0], strict=True)).get(type(value))
                return _case_size(len(parts[0])) + (
                    0 if carried is None or carried[1] is None else self.size(value.value, carried[1])
                )
            case "flags":
                return _flags_size(len(parts[0]))
            case "enum":
                return _case_size(len(parts[0]))
            case "option":
                if value is None:
                    return 1
                is_nested = isinstance(value, Some) and self.types[parts[0]][0] == "option"
                return 1 + self.size(value.value if is_nested else value, parts[0])
            case "result":
                inner = parts[0] if isinstance(value, Ok) else parts[1]
                return 1 + (0 if inner is None else self.size(value.value, inner))
        return _HANDLE

    def _row(self, value: Any, kind: int) -> int:  # noqa: ANN401 - many of a type
        """Give the bytes of values that lie one after the other."""
        own = self.types[kind][0]
        return len(value) * _SIZES[own] if own in _SIZES else sum(self.size(item, kind) for item in value)


def _case_size(cases: int) -> int:
    """Give the bytes of what says which of so many cases it is."""
    return 1 if cases <= 1 << 8 else 2 if cases <= 1 << 16 else 4


def _flags_size(flags: int) -> int:
    """Give the bytes of so many flags: words, from the seventeenth on."""
    return -(-flags // 8) if flags <= 16 else -(-flags // 32) * 4  # noqa: PLR2004


class Row:
    """What one function took so far."""

    def __init__(
        self,
        profile: Profile,
        title: str,
        side: str,
        params: list[int],
        result: int | None,
        begun: Callable[[], int | None],
    ) -> None:
        self._begun = begun
        self.title, self.side = title, side
        self.calls, self.wall_seconds, self.sent, self.received = 0, 0.0, 0, 0
        self._profile, self._params, self._result = profile, params, result

    def take(
        self,
        work: Callable[..., Any],
        args: tuple[Any, ...],
        named: dict[str, Any],
        order: list[str],
        *,
        is_whole: bool = False,
    ) -> Any:  # noqa: ANN401
        """Call it, and count what that takes; `is_whole` where it gives `Ok(…)` whatever its type is."""
        begun, before = perf_counter(), self._begun()
        into = out = 0
        try:
            given = work(*args, **named)
            out = self._given(given, is_whole=is_whole)
        except ResultError as error:
            out = self._raised(error.value)
            raise
        else:
            return given
        finally:
            self.wall_seconds += perf_counter() - begun
            self.calls += 1
            # The guest saw nothing of what was refused before its call began.
            if before is None or before != self._begun():
                values = [*args, *(named[name] for name in order[len(args) :] if name in named)]
                into = sum(self._size(value, kind) for value, kind in zip(values, self._params, strict=False))
            sent, received = (into, out) if self.side == "export" else (out, into)
            self.sent += sent
            self.received += received

    def _given(self, value: Any, *, is_whole: bool) -> int:  # noqa: ANN401 - a value of any type
        if self._result is None:
            return 0
        kind, *parts = self._profile.types[self._result]
        if kind != "result":
            return self._size(value.value if is_whole else value, self._result)
        if is_whole or (self.side == "import" and isinstance(value, (Ok, Err))):
            return self._size(value, self._result)
        return 1 + (0 if parts[0] is None else self._size(value, parts[0]))

    def _raised(self, value: Any) -> int:  # noqa: ANN401 - a value of any type
        """Give the bytes of an error that is a result; another's error, which came through, is none of them."""
        kind, *parts = ("", None) if self._result is None else self._profile.types[self._result]
        if kind != "result":
            return 0
        return 1 + (0 if parts[1] is None else self._size(value, parts[1]))

    def _size(self, value: Any, kind: int) -> int:  # noqa: ANN401 - a value of any type
        try:
            return self._profile.size(value, kind)
        except (AttributeError, KeyError, TypeError, ValueError):
            return 0  # it did not fit its type, and was not copied


class Measured(Between):
    """A function of a plugin that counts what its calls take; otherwise the same."""

    __slots__ = ("_params", "_row")

    def __init__(self, function: core.PluginFunction, row: Row, params: list[str]) -> None:
        super().__init__(function)
        self._row, self._params = row, params

    def __call__(self, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - values of any type
        """Call it."""
        return self._row.take(self._function, args, named, self._params)

    def result(self, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - values of any type
        """Call it, and give `Ok(…)` or `Err(…)` instead of raising an error that is its result."""
        return self._row.take(self._function.result, args, named, self._params, is_whole=True)


def measured(function: Callable[..., Any], row: Row) -> Callable[..., Any]:
    """Count what calls of a function of the host take."""

    def call(*args: Any) -> Any:  # noqa: ANN401 - values of any type
        return row.take(function, args, {}, [])

    return call


def measuring(profile: Profile | None, interfaces: list[Any], native: core.Plugin) -> list[Any]:
    """Measure functions that a plugin exports, those of its resources too, if there is something to do it with."""
    functions = native.functions()
    if profile is None:
        return list(functions)

    def begun() -> int:
        return native.usage()[0]

    return [
        Measured(
            function, profile.row(title, "export", params, result, begun), spelled((own for own, _ in params), "snake")
        )
        for (title, params, result), function in zip(_declared(interfaces), functions, strict=True)
    ]


def _declared(interfaces: list[Any]) -> list[tuple[str, list[tuple[str, int]], int | None]]:
    return [
        (f"{interface}.{name}" if interface else name, params, result)
        for interface, functions, _ in interfaces
        for name, params, result, _ in functions
    ]
