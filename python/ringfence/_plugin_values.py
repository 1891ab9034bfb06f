"""Classes for the values of a plugin's types: made once, when it is loaded, from the shapes that its code tells."""

from __future__ import annotations

import enum
from dataclasses import dataclass, make_dataclass

from ._plugin_names import camel, spelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


@dataclass(frozen=True, slots=True)
class Ok:
    """
    The good case of a `result`, where one is a value: inside of another, or asked for by `function.result(…)`.

    Attributes:
        value: what it carries; None where that is nothing.
    """

    value: Any = None


@dataclass(frozen=True, slots=True)
class Err:
    """
    The bad case of a `result`.

    Attributes:
        value: what it carries; None where that is nothing.
    """

    value: Any = None


@dataclass(frozen=True, slots=True)
class Some:
    """
    A value of an `option` whose value may be absent too, so that `Some(None)` is not `None`.

    Attributes:
        value: what is there.
    """

    value: Any


class Classes:
    """
    The classes of a plugin's types, by their numbers.

    Types of one shape are one type to WebAssembly. Here each is what the interface that defines it calls it: `names`.
    """

    def __init__(
        self,
        types: list[tuple[Any, ...]],
        interfaces: list[tuple[str, list[Any], list[tuple[str, int]]]],
        resources: Sequence[type | None] = (),
        streams: object = None,
        names: Sequence[tuple[str, str] | None] = (),
    ) -> None:
        self._names: dict[int, tuple[str, str]] = {}
        spelling: dict[tuple[str, str], str] = {}
        for interface, _, named in interfaces:
            for (name, number), own in zip(named, spelled((name for name, _ in named), "camel"), strict=True):
                spelling.setdefault((interface, name), own)
                self._names.setdefault(number, (interface, own))
        self._listed = set(self._names)
        for number, called in enumerate(names):
            if called is not None:
                self._names[number] = called[0], spelling.get(called) or camel(called[1])
        self._types = types
        self._resources, self._streams = resources, streams
        self.given: list[Any] = [self._make(number, *described) for number, described in enumerate(types)]

    def of(self, number: int) -> object:
        """Give the class of a type, or None for one of Python's own."""
        given = self.given[number]
        if given is self._streams:
            return None
        return given[0] if isinstance(given, tuple) else given

    def is_plain(self, number: int) -> bool:
        """Whether a type has a class that is made of its description alone."""
        return self._types[number][0] in {"record", "variant", "enum", "flags"}

    def is_result(self, number: int | None) -> bool:
        """Whether a function that gives this type can give an error."""
        return number is not None and self._types[number][0] == "result"

    def error_of(self, number: int | None) -> int | None:
        """Give the type of the error that is part of a result."""
        error: int | None = self._types[number][2] if number is not None and self.is_result(number) else None
        return error

    def error(self, function: str, number: int | None) -> object:
        """Make the class of the exception for an error that a function gives."""
        from .errors import ResultError

        base = self.name(number, "Error") if number is not None else "Error"
        name = base if base.endswith("Error") else f"{base}Error"
        doc = f"What `{function}` raises for an error that is its result: `error.value`."
        return type(name, (ResultError,), {"__doc__": doc, "__module__": "ringfence.plugin"})

    def unlisted(self) -> list[tuple[str, int]]:
        """Give the types with classes that are in no interface of the plugin's, by their names or their numbers."""
        return [
            (self.name(at, f"type-{at}"), at)
            for at, given in enumerate(self.given)
            if given is not None and at not in self._listed and self.is_plain(at)
        ]

    def name(self, number: int, otherwise: str) -> str:
        """Give the name of a type's class, as far as the component has one."""
        return self._names.get(number, ("", otherwise))[1]

    def _make(self, number: int, kind: str, *parts: Any) -> object:  # noqa: ANN401 - what the native side describes
        if kind in {"own", "borrow"}:
            return self._resources[parts[0]]
        if kind in {"stream", "future"}:
            return self._streams
        makers: dict[str, Callable[..., Any]]
        makers = {"record": self._record, "variant": self._variant, "enum": self._enum, "flags": self._flags}
        if kind not in makers:
            return None
        interface, name = self._names.get(number, ("", f"Type{number}"))
        made = makers[kind](name, *parts)
        cls = made[0] if isinstance(made, tuple) else made
        cls.__module__ = f"ringfence.plugin.{interface}" if interface else "ringfence.plugin"
        return made

    def _record(self, name: str, fields: list[tuple[str, int]]) -> tuple[type, list[str]]:
        names = spelled((field for field, _ in fields), "snake", ("self", "mro"))
        return make_dataclass(name, names, frozen=True, slots=True), names

    def _variant(self, name: str, cases: list[tuple[str, int | None]]) -> tuple[type, list[tuple[type, object]]]:
        base = type(name, (), {"__doc__": "One of its cases.", "__slots__": ()})
        made: list[tuple[type, object]] = []
        for (_, carries), own in zip(cases, spelled((case for case, _ in cases), "camel", ("mro",)), strict=True):
            fields: list[Any] = ["value"] if carries is not None else []
            cls = make_dataclass(own, fields, bases=(base,), frozen=True, slots=True)
            cls.__qualname__ = f"{name}.{own}"
            setattr(base, own, cls)
            made.append((cls, cls() if carries is None else None))
        return base, made

    def _enum(self, name: str, cases: list[str]) -> tuple[type, tuple[object, ...]]:
        names = spelled(cases, "upper", ("mro",))
        made = enum.Enum(name, list(zip(names, cases, strict=True)))  # type: ignore[misc]
        return made, tuple(made[own] for own in names)

    def _flags(self, name: str, flags: list[str]) -> type:
        names = spelled(flags, "upper", ("mro",))
        return enum.Flag(name, [(own, 1 << at) for at, own in enumerate(names)])  # type: ignore[return-value]
