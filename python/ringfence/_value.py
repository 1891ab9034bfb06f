"""
Frozen values without `dataclasses`.

Importing `dataclasses` costs 5 ms (it brings `inspect`), a quarter of what a whole `ringfence run` may take.
"""

from __future__ import annotations


class Value:
    """Frozen; equal, hashed, shown and pickled by its slots."""

    __slots__: tuple[str, ...] = ()

    def _fill(self, **values: object) -> None:
        """Give every slot its value: once, at construction."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _fields(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set, make a new one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value) or type(self) is not type(other):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((type(self), *self._fields().values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._fields().items())
        return f"{type(self).__name__}({shown})"

    def __reduce__(self) -> tuple[object, ...]:
        return _revive, (type(self), self._fields())


def _revive(kind: type[Value], fields: dict[str, object]) -> Value:
    """Unpickle: what was validated once is not validated again."""
    value = kind.__new__(kind)
    value._fill(**fields)  # noqa: SLF001
    return value
