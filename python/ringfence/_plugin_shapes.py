"""Types of plugins compared: by what they are made of, whatever their numbers are."""

from __future__ import annotations

from ._text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Interfaces = list[tuple[str, list[tuple[str, list[tuple[str, int]], int | None, str]], list[tuple[str, int]]]]

# Of the differences.
_SHOWN = 10


class Shapes:
    """
    The shapes of a plugin's types: two types have one number here where they are the same.

    Attributes:
        known: the numbers, shared by plugins that come one after the other.
    """

    def __init__(
        self, types: list[tuple[Any, ...]], resources: list[tuple[str, str, bool]], before: Shapes | None = None
    ) -> None:
        self.known: dict[object, int] = before.known if before is not None else {}
        self._own: list[int] = []
        self._resources = resources
        for described in types:
            # Each comes after those that it is made of.
            self._own.append(self.known.setdefault(self._key(described), len(self.known)))

    def of(self, kind: int | None) -> int | None:
        """Give the shape of a type."""
        return None if kind is None else self._own[kind]

    def _key(self, described: tuple[Any, ...]) -> object:
        kind, *parts = described
        if kind in {"own", "borrow"}:
            # A resource is what it is called, wherever it is among those of its plugin.
            return kind, self._resources[parts[0]]
        if kind == "fixed":
            item, length = parts
            return kind, self._own[item], length
        return kind, self._part(parts)

    def _part(self, part: Any) -> object:  # noqa: ANN401 - part of a description
        if isinstance(part, int):
            return self._own[part]
        return tuple(map(self._part, part)) if isinstance(part, (list, tuple)) else part


def differences(old: Interfaces, old_shapes: Shapes, new: Interfaces, new_shapes: Shapes) -> list[str]:
    """Say what the old one exports that the new one does not export so, in words."""
    found = {name: (functions, dict(types)) for name, functions, types in new}
    wrong: list[str] = []
    for interface, functions, types in old:
        theirs, their_types = found.get(interface, ([], {}))
        signatures = {name: (params, result, signature) for name, params, result, signature in theirs}
        place = f"{quote(interface)}: " if interface else ""
        for name, params, result, signature in functions:
            if name not in signatures:
                wrong.append(f"`{place}{signature}` is gone")
                continue
            their_params, their_result, their_signature = signatures[name]
            before = [(param, old_shapes.of(kind)) for param, kind in params], old_shapes.of(result)
            after = [(param, new_shapes.of(kind)) for param, kind in their_params], new_shapes.of(their_result)
            if before != after:
                wrong.append(f"`{place}{signature}` has become `{their_signature}`")
        for name, kind in types:
            if name not in their_types:
                wrong.append(f"the type `{place}{quote(name)}` is gone")
            elif old_shapes.of(kind) != new_shapes.of(their_types[name]):
                wrong.append(f"the type `{place}{quote(name)}` is another one")
    more = len(wrong) - _SHOWN
    return [*wrong[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def inside(kind: str, *parts: Any) -> list[int]:  # noqa: ANN401 - as a type is described
    """Give the types in the description of one."""
    if kind in {"own", "borrow"}:
        return []
    return _numbers_in(parts[:1] if kind == "fixed" else parts)


def _numbers_in(parts: Sequence[Any]) -> list[int]:
    """Give the numbers, and those of pairs of a name and a number."""
    found: list[int] = []
    for part in parts:
        if isinstance(part, int):
            found.append(part)
        elif isinstance(part, (list, tuple)):
            found += _numbers_in(part)
    return found
