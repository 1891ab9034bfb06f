"""
Types of plugins as Python has them: their classes, how those are annotated, and how their values are pickled.

A type is what it is made of, and what the interface that defines it calls it. Two that are the same are one here, and
have one class, whichever plugins have them: that is how a value which was pickled elsewhere finds its class again.
"""

from __future__ import annotations

import enum
import functools
import keyword
import operator
import os
import threading
import weakref
from array import array
from dataclasses import make_dataclass
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any

from ._plugin_names import spelled
from ._plugin_schema import Row, of_flags, of_record, of_variant
from ._plugin_streams import PluginFuture, PluginStream
from ._plugin_values import Err, Ok, Some
from .errors import ResultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# How a type is described, by its kind: a type by its number (`t`) or none (`?`), a number, a text, or many of those.
_FORMS = {
    **dict.fromkeys(("bool", "char", "string", "f32", "f64", "i32", "i64"), ()),
    **{f"{sign}{bits}": () for sign in "su" for bits in (8, 16, 32, 64)},
    **dict.fromkeys(("list", "option"), ("t",)),
    **dict.fromkeys(("stream", "future"), ("?",)),
    **dict.fromkeys(("enum", "flags"), (["s"],)),
    "fixed": ("t", "n"),
    "map": ("t", "t"),
    "tuple": (["t"],),
    "result": ("?", "?"),
    "record": (["st"],),
    "variant": (["s?"],),
    "error": ("s", "?"),
}
_PLAIN = {"bool": bool, "char": str, "string": str, "f32": float, "f64": float}
# Rows of numbers, as `array` calls what they are of; those of u8 are bytes. Before Python 3.12 it takes no type of
# items.
_ROWS: dict[str, Any] = {
    name: Annotated[array[_PLAIN.get(name, int)] if hasattr(array, "__class_getitem__") else array, Row(code)]  # type: ignore[misc]
    for name, code in zip(("s8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64"), "bhHiIqQfd", strict=True)
}
# Those with classes that are made of their description alone.
MADE = {"record", "variant", "enum", "flags"}
# Sets of flags that a class remembers; the guest may give another with every call.
_MOST_FLAGS = 1024
# Of a variant's cases, in an error.
_SHOWN = 10


class Kind:
    """
    A type of plugins.

    Attributes:
        told: its kind and what that is made of, as the native side describes it, with kinds instead of numbers.
        interface: the interface that defines it; nothing for that of a world, and for one that has no name.
        name: what that calls it, as Python spells it.
        given: what the native side makes values with: its class, and the names of fields, or cases or members.
        hint: what a value is annotated with.
        is_shared: whether it is the same in each plugin: a resource is one plugin's, and so is what is made of it.
    """

    __slots__ = ("__weakref__", "given", "hint", "interface", "is_shared", "name", "told")
    told: tuple[Any, ...]
    given: Any
    hint: Any
    is_shared: bool

    def __init__(self, told: tuple[Any, ...], interface: str, name: str, cls: object) -> None:
        self.told, self.interface, self.name = told, interface, name
        self.is_shared = told[0] not in {"own", "borrow"} and all(kind.is_shared for kind in _inside(told))
        made = _MAKERS[told[0]](self, *told[1:]) if told[0] in _MAKERS else cls
        self.given = made
        self.hint = _hint(*told, cls=made[0] if isinstance(made, tuple) else made)

    @property
    def module(self) -> str:
        """What its class says that it is of."""
        return f"ringfence.plugin.{self.interface}" if self.interface else "ringfence.plugin"

    def value(self, *parts: Any) -> Any:  # noqa: ANN401 - a value of it
        """Make a value of what `__reduce__` took one apart into."""
        match self.told[0]:
            case "variant":
                cls, only = self.given[1][parts[0]]
                return cls(*parts[1:]) if only is None else only
            case "enum":
                return self.given[0][parts[0]]
            case "record":
                return self.given[0](*parts)
        return self.given(*parts)

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.is_shared:
            raise TypeError(
                f"a value of {self.name} cannot be pickled: there are resources in its type, which are in a plugin\n"
                "hint: pickle what the methods of those give"
            )
        rows: list[tuple[Any, ...]] = []
        numbers: dict[Kind, int] = {}
        left = [self]
        while left:
            missing = [kind for kind in _inside(left[-1].told) if kind not in numbers]
            left += missing
            if not missing and (kind := left.pop()) not in numbers:
                numbers[kind] = len(rows)
                rows.append((kind.interface, kind.name, _mapped(kind.told, Kind, numbers.__getitem__)))
        return found, (tuple(rows),)

    def __deepcopy__(self, _: object) -> Kind:
        return self

    def __repr__(self) -> str:
        return f"<type {self.name}, {self.told[0]}>"


_known: weakref.WeakValueDictionary[tuple[Any, ...], Kind] = weakref.WeakValueDictionary()
# A finalizer that runs meanwhile may load a plugin.
_lock = threading.RLock()


def _begin_anew() -> None:
    global _lock  # noqa: PLW0603 - a fork has it as another thread left it
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_begin_anew)


def kind_of(
    described: tuple[Any, ...], before: Sequence[Kind], interface: str, name: str, cls: type | None = None
) -> Kind:
    """
    Give a type by its description, which has those that it is made of by their number in `before`.

    Args:
        described: as the native side describes it.
        before: types that are known already.
        interface: the interface that defines it.
        name: what that calls it, as Python spells it.
        cls: its class, of a resource.
    """
    kind, *parts = described
    if kind in {"own", "borrow"}:
        return Kind((kind, cls), interface, name, cls)
    told = (kind, before[parts[0]], parts[1]) if kind == "fixed" else (kind, *_mapped(parts, int, before.__getitem__))
    named = (interface, name) if kind in MADE or kind == "error" else ("", "")
    known = _known.get((*named, told))
    if known is not None:
        return known
    made = Kind(told, *named, None)
    if not made.is_shared:
        return made
    with _lock:
        return _known.setdefault((*named, told), made)


def found(rows: tuple[tuple[str, str, tuple[Any, ...]], ...]) -> Kind:
    """
    Find the type that a pickled value is of, or make it: of data alone, which may be anything.

    Raises:
        ValueError: they describe no type.
    """
    kinds: list[Kind] = []
    for row in rows:
        if not _is_row(row, len(kinds)):
            kinds.clear()
            break
        interface, name, described = row
        kinds.append(kind_of(described, kinds, interface, name))
    if not kinds:
        raise ValueError("what was unpickled describes no type of a plugin\nhint: pickle it again")
    return kinds[-1]


def remade(kind: Kind, *parts: object) -> object:
    """Make a value again that was taken apart to be copied or pickled."""
    return kind.value(*parts)


class _Plain:
    """A value that is made of others: a record, or a case of a variant."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:  # noqa: ANN401 - as of any object
        """Take it apart: its class is found again by what it is made of."""
        own = type(self)
        if "__ringfence__" not in vars(own):
            return super().__reduce_ex__(protocol)
        return remade, (*own.__ringfence__, *(getattr(self, name) for name in own.__match_args__))  # type: ignore[attr-defined]


class _Record(_Plain):
    """Its fields, by their names."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:  # noqa: ANN401 - pydantic's
        return of_record(cls, handler) if "__ringfence__" in vars(cls) else handler(source)


class _Variant(_Plain):
    """One of some cases."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: Any) -> Any:  # noqa: ANN401 - pydantic's
        return of_variant(cls, handler)


class _Named(enum.Enum):
    """Shown by its name, as it is written, and pickled by it."""

    def __reduce_ex__(self, _: object) -> Any:  # noqa: ANN401 - as of any object
        return remade, (*type(self).__ringfence__, self.name)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}.{self.name}"


class _Set(enum.Flag):
    """Shown as it is written, and equal by what is in it."""

    @classmethod
    def _missing_(cls, value: object) -> Any:  # noqa: ANN401 - one of it
        made = super()._missing_(value)
        # Python keeps each that there ever was.
        if len(cls._value2member_map_) > _MOST_FLAGS:
            cls._value2member_map_.pop(value, None)
        return made

    def __eq__(self, other: object) -> bool:
        return self.value == other.value if type(self) is type(other) and isinstance(other, _Set) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.value)

    def __reduce_ex__(self, _: object) -> Any:  # noqa: ANN401 - as of any object
        return remade, (*type(self).__ringfence__, self.value)  # type: ignore[attr-defined]

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> Any:  # noqa: ANN401 - pydantic's
        return of_flags(cls)

    def __repr__(self) -> str:
        own = type(self).__qualname__
        return "|".join(f"{own}.{member.name}" for member in self) or f"{own}(0)"


class _Raised(ResultError):
    """An error of a function that has a class for it."""

    def __reduce__(self) -> tuple[object, ...]:
        own = type(self)
        if "__ringfence__" not in vars(own):
            return super().__reduce__()
        _, given, state = super().__reduce__()
        return remade, (*own.__ringfence__, *given), state  # type: ignore[attr-defined, misc]


def _record(kind: Kind, fields: tuple[tuple[str, Kind], ...]) -> tuple[type, list[str]]:
    names = spelled((field for field, _ in fields), "snake", ("self", "mro"))
    hints = [(own, inside.hint) for own, (_, inside) in zip(names, fields, strict=True)]
    # Without text of ours, Python would make one of the fields and their types, which may be long.
    doc = {"__doc__": f"A record of a plugin's: {', '.join(names)}."}
    cls = make_dataclass(kind.name, hints, bases=(_Record,), namespace=doc, frozen=True, slots=True)
    return _homed(cls, kind), names


def _variant(kind: Kind, cases: tuple[tuple[str, Kind | None], ...]) -> tuple[type, list[tuple[type, object]]]:
    doc = "A variant of a plugin's: one of its cases."
    base = _homed(type(kind.name, (_Variant,), {"__doc__": doc, "__slots__": (), "__init__": _no_case}), kind)
    made: list[tuple[type, object]] = []
    names = spelled((case for case, _ in cases), "camel", ("mro",))
    for at, ((case, carries), own) in enumerate(zip(cases, names, strict=True)):
        fields: list[Any] = [] if carries is None else [("value", carries.hint)]
        doc = f"The case `{case}`."
        cls = make_dataclass(own, fields, bases=(base,), namespace={"__doc__": doc}, frozen=True, slots=True)
        cls.__qualname__ = f"{kind.name}.{own}"
        setattr(base, own, _homed(cls, kind, at))
        # The only value of a class keeps it.
        made.append((cls, cls() if carries is None and kind.is_shared else None))
    return base, made


def _no_case(of: object, *_: object, **__: object) -> None:
    """Refuse to be a variant that is none of its cases, each of which has an `__init__` of its own."""
    kind = type(of).__ringfence__[0]  # type: ignore[attr-defined]
    cases = [made for made, _ in kind.given[1]]
    shown = ", ".join(f"`{made.__qualname__}({'' if not made.__match_args__ else '…'})`" for made in cases[:_SHOWN])
    more = f" and {len(cases) - _SHOWN} more" if len(cases) > _SHOWN else ""
    raise TypeError(f"{kind.name} is one of its cases, and none by itself\nhint: {shown}{more}")


def _enum(kind: Kind, cases: tuple[str, ...]) -> tuple[type, tuple[object, ...]]:
    names = spelled(cases, "upper", ("mro",))
    made: Any = _Named(kind.name, list(zip(names, cases, strict=True)), module=kind.module)  # type: ignore[call-arg]
    return _homed(made, kind), tuple(made[own] for own in names)


def _flags(kind: Kind, flags: tuple[str, ...]) -> type:
    names = spelled(flags, "upper", ("mro",))
    made: Any = _Set(kind.name, [(own, 1 << at) for at, own in enumerate(names)], module=kind.module)  # type: ignore[call-arg]
    return _homed(made, kind)


def _error(kind: Kind, function: str, _: Kind | None) -> type:
    doc = f"What `{function}` raises for an error that is its result: `error.value`."
    return _homed(type(kind.name, (_Raised,), {"__doc__": doc}), kind)


def _homed(cls: type, kind: Kind, *case: int) -> type:
    """Say of a class where it is from, and what its values are pickled by."""
    cls.__module__ = kind.module
    cls.__ringfence__ = (kind, *case)  # type: ignore[attr-defined]
    return cls


_MAKERS: dict[str, Callable[..., Any]]
_MAKERS = {"record": _record, "variant": _variant, "enum": _enum, "flags": _flags, "error": _error}


def _hint(kind: str, *parts: Any, cls: object) -> Any:  # noqa: ANN401, PLR0911 - a line for each kind
    """Give what a value is annotated with, by the kind and the parts of its type."""
    match kind:
        case "list" | "fixed":
            item = parts[0].told[0]
            return bytes if item == "u8" else _ROWS.get(item) or GenericAlias(list, (parts[0].hint,))
        case "map":
            return GenericAlias(dict, (parts[0].hint, parts[1].hint))
        case "tuple":
            return GenericAlias(tuple, tuple(part.hint for part in parts[0]))
        case "option":
            inside = parts[0].hint
            return (GenericAlias(Some, (inside,)) if parts[0].told[0] == "option" else inside) | None
        case "result":
            cases = (GenericAlias(of, (part and part.hint,)) for of, part in zip((Ok, Err), parts, strict=True))
            return functools.reduce(operator.or_, cases)
        case "stream" | "future":
            item = parts[0]
            is_bytes = kind == "stream" and item is not None and item.told[0] == "u8"
            later = PluginStream if kind == "stream" else PluginFuture
            return GenericAlias(later, (bytes if is_bytes else item and item.hint,))
    return _PLAIN.get(kind, int) if cls is None and kind not in {"own", "borrow"} else cls or Any


def _inside(part: Any) -> Iterator[Kind]:  # noqa: ANN401 - part of a description
    """Give the types that a description mentions."""
    for inner in part:
        if isinstance(inner, Kind):
            yield inner
        elif isinstance(inner, tuple):
            yield from _inside(inner)


def _mapped(part: Any, which: type, of: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - part of a description
    """Give a description with others for the types that it mentions."""
    if isinstance(part, which):
        return of(part)
    return tuple(_mapped(inner, which, of) for inner in part) if isinstance(part, (list, tuple)) else part


def _is_row(row: Any, before: int) -> bool:  # noqa: ANN401 - what was unpickled
    """Whether it is a type of a pickled value, with the name that a class of it may have."""
    if type(row) is not tuple or [type(part) for part in row] != [str, str, tuple] or not row[2]:
        return False
    _, name, (kind, *parts) = row
    is_name = name.isascii() and name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")
    form = _FORMS.get(kind) if type(kind) is str else None
    return form is not None and (is_name or kind not in _MAKERS) and _fits(form, tuple(parts), before)


def _fits(form: Any, parts: Any, before: int) -> bool:  # noqa: ANN401 - what was unpickled
    """Whether parts of a description are what its form says."""
    if isinstance(form, list):
        return type(parts) is tuple and all(_fits(form[0], part, before) for part in parts)
    if len(form) != 1:
        is_row = type(parts) is tuple and len(parts) == len(form)
        return is_row and all(_fits(inner, part, before) for inner, part in zip(form, parts, strict=True))
    if isinstance(form, tuple):
        return type(parts) is tuple and len(parts) == 1 and _fits(form[0], parts[0], before)
    if form == "s":
        return type(parts) is str and parts.isascii()
    if form == "?" and parts is None:
        return True
    return type(parts) is int and parts >= 0 and (form == "n" or parts < before)
