"""What Python is told of a plugin's types while it runs, and what its stub says of them."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from array import array
from types import GenericAlias, ModuleType, NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.conftest import CASES
from plugins.resources import COUNTERS
from plugins.typed import Echo, kinds, plugin_of
from ringfence import Plugin, Program
from ringfence._bindings import bindings


class Rows:
    """Stands for `array`, which takes no type of items before Python 3.12."""

    __class_getitem__: Any = classmethod(GenericAlias)


def stub_of(program: bytes) -> ModuleType:
    """Run a stub, as if it were a module."""
    module = ModuleType("stub")
    # Without what decorates: annotations are all that is compared.
    text = re.sub(r"\n *@_.*", "", bindings(Program.from_bytes(program)))
    # Nor of what they are cases: the class around them is not there yet.
    text = re.sub(r"(\n *class \w+)\(\w+\.\w+\):", r"\1:", text)
    exec(compile("from __future__ import annotations\n" + text, "stub", "exec"), vars(module))  # noqa: S102 - our own text
    vars(module)["_array"] = SimpleNamespace(array=Rows)
    return module


def told(hint: Any, *, wide: bool = False) -> set[str]:  # noqa: PLR0911 - a line for each kind
    """
    Write what a hint says, each of a union by itself.

    A stub has a variant that comes back as the union of its cases.

    With `wide` it is what a parameter takes that was given a hint.
    """
    if hint is None or hint is NoneType:
        return {"None"}
    origin = get_origin(hint) or hint
    if origin is Annotated:
        return told(get_args(hint)[0], wide=wide)
    if origin in (Union, UnionType):
        return set().union(*(told(part, wide=wide) for part in get_args(hint)))
    if origin in (array, Rows, bytes):
        return {"Buffer", "Sequence[number]"} if wide else {"bytes" if origin is bytes else "array"}
    if isinstance(origin, type) and "__ringfence__" in vars(origin) and not issubclass(origin, enum.Enum):
        if not dataclasses.is_dataclass(origin) and not wide:
            return {f"{origin.__name__}.{name}" for name, case in vars(origin).items() if isinstance(case, type)}
        is_record = dataclasses.is_dataclass(origin)
        return {origin.__name__, "dict[str|Any]"} if wide and is_record else {origin.__name__}
    # Classes of a stub are inside of those of their interfaces.
    name = "Sequence" if wide and origin is list else getattr(origin, "__qualname__", str(origin))
    name = name.partition(".")[2] if getattr(origin, "__module__", "") == "stub" else name
    parts = "|".join(" or ".join(sorted(told(part, wide=wide))) for part in get_args(hint))
    parts = "number" if name == "Sequence" and parts in {"int", "float"} else parts
    return {f"{name}[{parts}]" if parts else name}


def agree(stub: ModuleType, place: str, space: Any) -> int:
    """Compare the classes and functions of an interface with a stub's; how many there are."""
    compared = 0
    for name in dir(space):
        here, there = getattr(space, name), getattr(getattr(stub, place), name)
        if isinstance(here, type) and dataclasses.is_dataclass(here):
            classes = [(here, there)]
        elif isinstance(here, type):
            cases = [] if issubclass(here, enum.Enum) else [own for own in vars(here) if not own.startswith("_")]
            classes = [(getattr(here, case), getattr(there, case)) for case in cases]
        else:
            classes = []
            hints, theirs = get_type_hints(here), get_type_hints(there, vars(stub))
            assert told(hints.pop("return")) == told(theirs.pop("return"))
            assert list(hints) == list(inspect.signature(here).parameters) == list(theirs)
            assert [told(hint, wide=True) for hint in hints.values()] == [told(hint) for hint in theirs.values()]
            compared += 1
        for ours, its in classes:
            hints, theirs = get_type_hints(ours), get_type_hints(its, vars(stub))
            assert {name: told(hint) for name, hint in hints.items()} == {
                name: told(hint) for name, hint in theirs.items()
            }
            assert [told(hint) for hint in hints.values()] == [told(field.type) for field in dataclasses.fields(ours)]
            compared += 1
    return compared


def test_every_type_is_what_the_stub_says(cases: tuple[Echo, Plugin]) -> None:
    """At run time, of records, of what cases carry, and of functions; a parameter takes more than it says then."""
    echo, plugin = cases
    stub = stub_of(echo.wat)

    assert agree(stub, "Exports", plugin.exports) == 2 * len(CASES)
    assert agree(stub, "TypesTypes", plugin.imports.types) >= 9


@settings(max_examples=15)
@given(types=st.lists(kinds(), min_size=1, max_size=5))
def test_types_of_any_shape_are_what_the_stub_says(types: list[object]) -> None:
    """Inside one another, in any combination."""
    echo = Echo(*types)
    stub = stub_of(echo.wat)
    with plugin_of(echo) as plugin:
        assert agree(stub, "Exports", plugin.exports) == 2 * len(types)
        agree(stub, "TypesTypes", plugin.imports.types)


def test_resource_is_annotated_with_its_class() -> None:
    """In functions, and in methods without the object where they have it."""
    with Plugin(COUNTERS) as plugin:
        api = plugin.exports.counters
        counter = api.Counter(1)

        assert {"by": int, "return": int} == get_type_hints(counter.add)
        assert {"self": api.Counter, "by": int, "return": int} == get_type_hints(api.Counter.add)
        assert api.Counter is inspect.signature(api.Counter.merge).return_annotation
        assert "(start: int)" == str(inspect.signature(api.Counter)).partition(" -> ")[0]
