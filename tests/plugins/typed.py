"""
Components whose functions give back what they are given, for any types: text of WebAssembly, written from the types.

A type is the name of a simple one (`"s32"`, `"string"`), or a tuple of its kind and parts: `("list", "u8")`,
`("record", [("x", "s32")])`, `("variant", [("none", None), ("some", "u8")])`, `("enum", ["a"])`, `("flags", ["a"])`,
`("option", …)`, `("result", ok, error)`, `("tuple", […])`, `("map", key, value)`, `("fixed", item, length)`.
"""

from __future__ import annotations

from array import array
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from ringfence import Err, Ok, Plugin, Some

if TYPE_CHECKING:
    from collections.abc import Callable

Type = Any

# So many more parameters than fit into numbers that all of them come in memory, the value first.
PADDING = 17

LIBRARY = """
  (core module $library
    (memory (export "memory") 64)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (block $fits
        (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (drop (memory.grow (i32.div_u (i32.add (local.get 3) (i32.const 131071)) (i32.const 65536)))))
      (local.get $at))
    (func (export "reset") (param i32) (global.set $next (i32.const 4096))))
  (core instance $library (instantiate $library))
"""
OPTIONS = '(memory (core memory $library "memory")) (realloc (core func $library "realloc"))'
RESET = '(post-return (core func $library "reset"))'

_NUMBERS = {"s64": "i64", "u64": "i64", "f32": "f32", "f64": "f64"}


class Echo:
    """A component, and the names of the classes of its types."""

    def __init__(self, *types: Type) -> None:
        self.types = types
        self._writer = _Writer()
        self.wat = _echo(self._writer, *types)

    def name(self, kind: Type) -> str:
        """Give the name under which a plugin has the class of this type."""
        return f"Type{self._writer.named(kind).removeprefix('$t')}"


def _echo(writer: _Writer, *types: Type) -> bytes:
    """
    Write a component with four functions for each type, by its number.

    `memory-N` takes the value in memory and gives it back there, in a tuple with the first of `PADDING` numbers;
    `flat-N` takes it in numbers where it fits, hands it to the import `host-N`, and gives what that gives back.
    """
    named = [writer.named(kind) for kind in types]
    functions = []
    imports = []
    bodies = []
    instances = []
    for at, (kind, name) in enumerate(zip(types, named, strict=True)):
        padding = " ".join(f'(param "p{index}" u8)' for index in range(PADDING))
        functions.append(
            f'(func (export "memory-{at}") (param "v" {name}) {padding} (result (tuple {name} u8))\n'
            f'  (canon lift (core func $i "memory") {OPTIONS} {RESET}))'
        )
        imports.append(f'(import "host-{at}" (func $host{at} (param "v" {name}) (result {name})))')
        imports.append(f"(core func $host{at} (canon lower (func $host{at}) {OPTIONS}))")
        flat = flatten(kind)
        takes = ["i32"] if len(flat) > 16 else flat
        gives, place, answer = ("", "(i32.const 64)", "(i32.const 64)") if len(flat) != 1 else (flat[0], "", "")
        params = f"(param {' '.join(takes)})" if takes else ""
        result = f"(result {gives or 'i32'})"
        wanted = f"(param {' '.join([*takes, *([] if gives else ['i32'])])}) {f'(result {gives})' if gives else ''}"
        handed = " ".join(f"(local.get {index})" for index in range(len(takes)))
        bodies.append(f'(import "host" "host-{at}" (func $host{at} {wanted}))')
        functions.append(
            f'(func (export "flat-{at}") (param "v" {name}) (result {name})\n'
            f'  (canon lift (core func $i "flat-{at}") {OPTIONS}))'
        )
        instances.append(f'(export "host-{at}" (func $host{at}))')
        bodies.append(f'(func (export "flat-{at}") {params} {result} (call $host{at} {handed} {place}) {answer})')
    # Imports come before everything else of a core module.
    bodies.sort(key=lambda line: not line.startswith("(import"))
    core = '(core module $m\n    (import "library" "memory" (memory 1))\n    ' + "\n    ".join(bodies)
    core += '\n    (func (export "memory") (param i32) (result i32) (local.get 0)))'
    instance = (
        '(core instance $i (instantiate $m (with "library" (instance $library))'
        f' (with "host" (instance {" ".join(instances)}))))'
    )
    parts = [LIBRARY, *writer.lines, *imports, core, instance, *functions]
    return ("(component\n  " + "\n  ".join(parts) + "\n)").encode()


def flatten(kind: Type) -> list[str]:  # noqa: C901, PLR0911, PLR0912 - a line for each kind
    """Give the numbers that a value of this type is handed over in, as the canonical ABI has it."""
    if isinstance(kind, str):
        return ["i32", "i32"] if kind == "string" else [_NUMBERS.get(kind, "i32")]
    name, *parts = kind
    match name:
        case "list" | "map":
            return ["i32", "i32"]
        case "fixed":
            return [number for _ in range(parts[1]) for number in flatten(parts[0])]
        case "record":
            return [number for _, part in parts[0] for number in flatten(part)]
        case "tuple":
            return [number for part in parts[0] for number in flatten(part)]
        case "enum":
            return ["i32"]
        case "flags":
            return ["i32"] * (-(-len(parts[0]) // 32))
        case "option":
            cases = [None, parts[0]]
        case "result":
            cases = list(parts)
        case _:
            cases = [part for _, part in parts[0]]
    joined: list[str] = []
    for case in cases:
        for at, number in enumerate(flatten(case) if case is not None else []):
            if at == len(joined):
                joined.append(number)
            elif joined[at] != number:
                joined[at] = "i32" if {joined[at], number} == {"i32", "f32"} else "i64"
    return ["i32", *joined]


class _Writer:
    """Writes types, those that need a name under one of their own."""

    def __init__(self) -> None:
        self.declared: list[str] = []
        self.aliased: list[str] = []
        self._known: dict[str, str] = {}

    @property
    def lines(self) -> list[str]:
        return [f'(import "test:zoo/types" (instance $types {" ".join(self.declared)}))', *self.aliased]

    def named(self, kind: Type) -> str:  # noqa: PLR0911 - a line for each kind
        if isinstance(kind, str):
            return kind
        name, *parts = kind
        match name:
            case "list" | "option":
                return f"({name} {self.named(parts[0])})"
            case "map":
                return f"(map {self.named(parts[0])} {self.named(parts[1])})"
            case "fixed":
                return f"(list {self.named(parts[0])} {parts[1]})"
            case "tuple":
                return f"(tuple {' '.join(self.named(part) for part in parts[0])})"
            case "result":
                ok, error = parts
                told = f" {self.named(ok)}" if ok is not None else ""
                told += f" (error {self.named(error)})" if error is not None else ""
                return f"(result{told})"
            case "record":
                text = "(record " + " ".join(f'(field "{field}" {self.named(part)})' for field, part in parts[0]) + ")"
            case "variant":
                cases = (
                    f'(case "{case}"{f" {self.named(part)}" if part is not None else ""})' for case, part in parts[0]
                )
                text = f"(variant {' '.join(cases)})"
            case _:
                names = " ".join(f'"{own}"' for own in parts[0])
                text = f"({name} {names})"
        if text not in self._known:
            number = len(self._known)
            self._known[text] = f"$t{number}"
            self.declared.append(f"(type $raw{number} {text})")
            self.declared.append(f'(export "type-{number}" (type $t{number} (eq $raw{number})))')
            self.aliased.append(f'(alias export $types "type-{number}" (type $t{number}))')
        return self._known[text]


def plugin_of(echo: Echo, **given: Any) -> Plugin:
    """Load it, with a host that gives back what it is given too."""
    return Plugin(echo.wat, imports={f"host-{at}": _same for at in range(len(echo.types))}, **given)


def round_trips(echo: Echo, plugin: Plugin, at: int, value: object) -> list[object]:
    """Send a value through the guest's memory, and through numbers and the host."""
    by_memory = plugin.exports[f"memory-{at}"](value, *[0] * PADDING)[0]
    flat = plugin.exports[f"flat-{at}"].result(value)
    return [by_memory, flat if echo.types[at][0] == "result" else flat.value]


def _same(value: object) -> object:
    return value


def values(  # noqa: C901, PLR0911, PLR0912 - a line for each kind
    echo: Echo, plugin: Plugin, kind: Type
) -> st.SearchStrategy[Any]:
    """Throw values of a type, as a plugin takes them."""
    if isinstance(kind, str):
        return _SIMPLE[kind]
    name, *parts = kind
    match name:
        case "map":
            return st.dictionaries(values(echo, plugin, parts[0]), values(echo, plugin, parts[1]), max_size=4)
        case "fixed" if parts[0] == "u8":
            return st.binary(min_size=parts[1], max_size=parts[1])
        case "fixed":
            return _row(parts[0], st.lists(values(echo, plugin, parts[0]), min_size=parts[1], max_size=parts[1]))
        case "list" if parts[0] == "u8":
            return st.binary(max_size=40)
        case "list":
            return _row(parts[0], st.lists(values(echo, plugin, parts[0]), max_size=5))
        case "tuple":
            return st.tuples(*(values(echo, plugin, part) for part in parts[0]))
        case "record":
            return st.builds(_class(echo, plugin, kind), *(values(echo, plugin, part) for _, part in parts[0]))
        case "variant":
            cases = [case for case in vars(_class(echo, plugin, kind)).values() if isinstance(case, type)]
            carried = [st.just(()) if part is None else st.tuples(values(echo, plugin, part)) for _, part in parts[0]]
            pairs = zip(cases, carried, strict=True)
            return st.one_of(*(given.map(partial(_applied, case)) for case, given in pairs))
        case "enum":
            return st.sampled_from(list(_class(echo, plugin, kind)))
        case "flags":
            made = _class(echo, plugin, kind)
            return st.integers(0, 2 ** len(parts[0]) - 1).map(made)
        case "option":
            value = values(echo, plugin, parts[0])
            is_nested = isinstance(parts[0], tuple) and parts[0][0] == "option"
            return st.none() | (value.map(Some) if is_nested else value)
        case _:
            ok, error = (st.none() if part is None else values(echo, plugin, part) for part in parts)
            return ok.map(Ok) | error.map(Err)


def _row(kind: Type, items: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[Any]:
    code = _CODES.get(kind) if isinstance(kind, str) else None
    return items if code is None else items.map(partial(array, code))


def _applied(case: Callable[..., object], carried: tuple[object, ...]) -> object:
    return case(*carried)


def _class(echo: Echo, plugin: Plugin, kind: Type) -> Any:
    return getattr(plugin.imports["test:zoo/types"], echo.name(kind))


_SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "f32": st.floats(width=32, allow_nan=False),
    "f64": st.floats(allow_nan=False),
    "char": st.characters(codec="utf-8"),
    "string": st.text(st.characters(codec="utf-8"), max_size=20),
    **{f"s{bits}": st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"u{bits}": st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}
_CODES = {"s8": "b", "s16": "h", "u16": "H", "s32": "i", "u32": "I", "s64": "q", "u64": "Q", "f32": "f", "f64": "d"}


def kinds() -> st.SearchStrategy[Type]:
    """Throw types."""
    names = st.lists(st.sampled_from([f"n{number}" for number in range(20)]), min_size=1, max_size=12, unique=True)
    simple = st.sampled_from(sorted(_SIMPLE)) | st.tuples(st.sampled_from(["enum", "flags"]), names)

    keys = st.sampled_from(["bool", "u8", "s64", "char", "string"])

    def larger(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
        few = st.lists(inner, min_size=1, max_size=4)
        named = few.map(lambda parts: [(f"f{at}", part) for at, part in enumerate(parts)])
        maybe = st.none() | inner
        cases = st.lists(maybe, min_size=1, max_size=4).map(
            lambda parts: [(f"c{at}", part) for at, part in enumerate(parts)]
        )
        return st.one_of(
            st.tuples(st.sampled_from(["list", "option"]), inner),
            st.tuples(st.just("fixed"), inner, st.integers(1, 3)),
            st.tuples(st.just("map"), keys, inner),
            st.tuples(st.just("tuple"), few),
            st.tuples(st.just("record"), named),
            st.tuples(st.just("variant"), cases),
            st.tuples(st.just("result"), maybe, maybe),
        )

    return st.recursive(simple, larger, max_leaves=8)
