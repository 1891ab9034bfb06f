"""Where a plugin's time goes: calls, bytes that are copied each way and time, for every function of both sides."""

from __future__ import annotations

from time import perf_counter

from ._plugin_functions import Between
from ._plugin_names import spelled
from ._plugin_values import Ok, Some
from ._value import Value
from .errors import ResultError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from ._engine import core

_SIZES = {"bool": 1, "char": 4, "enum": 1, **{f"{sign}{bits}": bits // 8 for sign in "suf" for bits in (8, 16, 32, 64)}}
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
        sent_bytes: bytes of the values that went to the guest.
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

    def row(self, title: str, side: str, params: list[tuple[str, int]], result: int | None) -> Row:
        """Make a row for a function."""
        row = Row(self, title, side, [kind for _, kind in params], result)
        self._rows.append(row)
        return row

    def told(self) -> tuple[FunctionProfile, ...]:
        """Give what was called, what took longest first."""
        rows = sorted((row for row in self._rows if row.calls), key=lambda row: -row.wall_seconds)
        return tuple(
            FunctionProfile(row.title, row.side, row.calls, row.wall_seconds, row.sent, row.received) for row in rows
        )

    def size(self, value: Any, kind: int) -> int:  # noqa: ANN401, C901, PLR0911 - a line for each kind
        """Give the bytes of a value, as the canonical ABI lays it out but for gaps."""
        name, *parts = self.types[kind]
        if name in _SIZES:
            return _SIZES[name]
        match name:
            case "string":
                return _POINTER + (len(value) if value.isascii() else len(value.encode()))
            case "list":
                own = self.types[parts[0]][0]
                if own in _SIZES:
                    return _POINTER + len(value) * _SIZES[own]
                return _POINTER + sum(self.size(item, parts[0]) for item in value)
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
                return 1 + (0 if carried is None or carried[1] is None else self.size(value.value, carried[1]))
            case "flags":
                return -(-len(parts[0]) // 8)
            case "option":
                if value is None:
                    return 1
                is_nested = isinstance(value, Some) and self.types[parts[0]][0] == "option"
                return 1 + self.size(value.value if is_nested else value, parts[0])
            case "result":
                inner = parts[0] if isinstance(value, Ok) else parts[1]
                return 1 + (0 if inner is None else self.size(value.value, inner))
        return _POINTER


class Row:
    """What one function took so far."""

    def __init__(self, profile: Profile, title: str, side: str, params: list[int], result: int | None) -> None:
        self.title, self.side = title, side
        self.calls, self.wall_seconds, self.sent, self.received = 0, 0.0, 0, 0
        self._profile, self._params, self._result = profile, params, result

    def take(self, work: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any], order: list[str]) -> Any:  # noqa: ANN401
        """Call it, and count what that takes."""
        began = perf_counter()
        given: Any = None
        try:
            given = work(*args, **named)
        except ResultError as error:
            self._done(began, args, named, order, error.value, is_error=True)
            raise
        except BaseException:
            self._done(began, args, named, order, None, is_error=True)
            raise
        self._done(began, args, named, order, given, is_error=False)
        return given

    def _done(
        self,
        began: float,
        args: tuple[Any, ...],
        named: dict[str, Any],
        order: list[str],
        given: Any,  # noqa: ANN401 - a value of any type
        *,
        is_error: bool,
    ) -> None:
        self.wall_seconds += perf_counter() - began
        self.calls += 1
        values = [*args, *(named[name] for name in order[len(args) :] if name in named)]
        into = sum(self._size(value, kind) for value, kind in zip(values, self._params, strict=False))
        out = self._returned(given, is_error=is_error)
        sent, received = (into, out) if self.side == "export" else (out, into)
        self.sent += sent
        self.received += received

    def _returned(self, value: Any, *, is_error: bool) -> int:  # noqa: ANN401 - a value of any type
        if self._result is None or (value is None and is_error):
            return 0
        kind, *parts = self._profile.types[self._result]
        if kind != "result" or type(value).__name__ in {"Ok", "Err"}:
            return self._size(value, self._result)
        inner = parts[1] if is_error else parts[0]
        return 1 + (0 if inner is None else self._size(value, inner))

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
        return self._row.take(self._function.result, args, named, self._params)


def measured(function: Callable[..., Any], row: Row) -> Callable[..., Any]:
    """Count what calls of a function of the host take."""

    def call(*args: Any) -> Any:  # noqa: ANN401 - values of any type
        return row.take(function, args, {}, [])

    return call


def measuring(profile: Profile | None, interfaces: list[Any], functions: list[Any]) -> list[Any]:
    """Measure functions that a plugin exports, those of its resources too, if there is something to do it with."""
    if profile is None:
        return functions
    return [
        Measured(function, profile.row(title, "export", params, result), spelled((own for own, _ in params), "snake"))
        for (title, params, result), function in zip(_declared(interfaces), functions, strict=True)
    ]


def _declared(interfaces: list[Any]) -> list[tuple[str, list[tuple[str, int]], int | None]]:
    return [
        (f"{interface}.{name}" if interface else name, params, result)
        for interface, functions, _ in interfaces
        for name, params, result, _ in functions
    ]
