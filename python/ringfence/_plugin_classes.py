"""Classes for the values of a plugin's types: found when it is loaded, by the shapes that its code tells."""

from __future__ import annotations

from ._plugin_kinds import MADE, kind_of
from ._plugin_names import camel, spelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    from collections.abc import Sequence
    from typing import Any


class Classes:
    """
    The classes of a plugin's types, by their numbers.

    Types of one shape are one type to WebAssembly. Here each is what the interface that defines it calls it: `names`.

    Args:
        types: as the native side describes them, each after those that it is made of.
        interfaces: what is exported and imported: the name, the functions and the types of each.
        resources: classes, by the numbers of resources.
        streams: what makes streams.
        names: by the numbers of types, the interface that defines it, and what that calls it.

    Attributes:
        given: what the native side makes values with, by the numbers of types.
        shared: whether that is the same in every plugin which has the type.
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
        self._kinds: list[Any] = []
        for number, described in enumerate(types):
            interface, name = self._names.get(number, ("", f"Type{number}"))
            cls = resources[described[1]] if described[0] in {"own", "borrow"} else None
            self._kinds.append(kind_of(described, self._kinds, interface, name, cls))
        self.given: list[Any] = [
            streams if kind.told[0] in {"stream", "future"} else kind.given for kind in self._kinds
        ]
        self.shared = [kind.is_shared for kind in self._kinds]

    def of(self, number: int) -> object:
        """Give the class of a type, or None for one of Python's own."""
        given = self._kinds[number].given
        return given[0] if isinstance(given, tuple) else given

    def hint(self, number: int | None) -> Any:  # noqa: ANN401 - what annotations are
        """Give what a value of a type is annotated with; None for no type."""
        return None if number is None else self._kinds[number].hint

    def signature(self, names: Sequence[str], params: Sequence[int], result: int | None) -> inspect.Signature:
        """
        Give a function's signature: what is given to it and comes back, unless an error that is its result is raised.

        Args:
            names: of its parameters, as Python spells them.
            params: their types.
            result: that of what it gives.
        """
        from inspect import Parameter, Signature

        given = [
            Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=self.hint(kind))
            for name, kind in zip(names, params, strict=True)
        ]
        good = self._types[result][1] if result is not None and self.is_result(result) else result
        return Signature(given, return_annotation=self.hint(good))

    @staticmethod
    def annotations(signature: inspect.Signature) -> dict[str, Any]:
        """Give what a signature says of its parameters, and as `return` of what comes back."""
        told = {name: parameter.annotation for name, parameter in signature.parameters.items()}
        return {**told, "return": signature.return_annotation}

    def is_result(self, number: int | None) -> bool:
        """Whether a function that gives this type can give an error."""
        return number is not None and self._types[number][0] == "result"

    def error_of(self, number: int | None) -> int | None:
        """Give the type of the error that is part of a result."""
        error: int | None = self._types[number][2] if number is not None and self.is_result(number) else None
        return error

    def error(self, interface: str, function: str, number: int | None) -> object:
        """Give the class of the exception for an error of this type that a function of that interface gives."""
        base = self.name(number, "Error") if number is not None else "Error"
        name = base if base.endswith("Error") else f"{base}Error"
        return kind_of(("error", function, number), self._kinds, interface, name).given

    def unlisted(self) -> list[tuple[str, int]]:
        """Give the types with classes that are in no interface of the plugin's, by their names or their numbers."""
        return [
            (self.name(at, f"type-{at}"), at)
            for at, kind in enumerate(self._kinds)
            if at not in self._listed and kind.told[0] in MADE
        ]

    def name(self, number: int, otherwise: str) -> str:
        """Give the name of a type's class, as far as the component has one."""
        return self._names.get(number, ("", otherwise))[1]
