"""Stubs for a plugin: its functions and types as type checkers read them, with the names that they have at run time."""

from __future__ import annotations

import builtins

from ._bindings_text import function_classes, given_mapping, headed, items
from ._engine import core
from ._plugin import Plugin, _exports, _imported
from ._plugin_classes import Classes
from ._plugin_names import camel, member, short, snake, spelled
from ._plugin_resources import METHODS_LEAVE, classes_of
from ._plugin_shapes import inside
from ._policy import Policy
from ._text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from ._plugin import Exports
    from ._program import Program

_FLOATS = {"f32", "f64"}
_NUMBERS = {*_FLOATS, "i32", "i64", *(f"{sign}{bits}" for sign in "su" for bits in (8, 16, 32, 64))}
# What a plugin has itself, which is not looked for among its exports.
_OWN = {*dir(Plugin), "exports", "imports", "policy", "program"}


class _Marker:
    """Stands for a function where names are made."""

    def __init__(self, declared: tuple[str, list[tuple[str, int]], int | None, str]) -> None:
        self.name, self.params, self.result, self.signature = declared


class _Other:
    """Stands for what a core module exports beside functions."""

    def __init__(self, of: str) -> None:
        self.of = of


def bindings(program: Program, policy: Policy | None = None, *, host: bool = False) -> str:
    """
    Write the stub of a plugin: of what it exports, or with `host` of what its host has to give.

    Raises:
        LoadError: it is no component, or has types that are not supported.
    """
    policy = Policy() if policy is None else policy
    source = core.PluginSource(program._native, policy._native, None, None)  # noqa: SLF001
    exports, imports = source.exports(), source.imports()
    classes = Classes(source.types(), [*exports, *imports], classes_of(source.resources(), {}), names=source.names())
    stub = _Stub(source.types(), exports, imports, classes, source.others())
    return stub.host(program.name) if host else stub.plugin(program.name)


class _Stub:
    def __init__(
        self,
        types: list[tuple[Any, ...]],
        exports: list[Any],
        imports: list[Any],
        classes: Classes,
        others: tuple[list[str], list[str], list[tuple[str, str]]],
    ) -> None:
        self._types = types
        self._needed: set[int] | None = None
        # What the objects of a resource have that the host gives, by the resource's number.
        self._objects: dict[int, str] = {}
        self._imports = imports
        self._classes = classes
        # The methods of each resource, by its class.
        self._methods_of: dict[int, list[Any]] = {}
        for _, functions, named in exports:
            there = {name: id(classes.of(number)) for name, number in named}
            for function in functions:
                of = member(function[0])
                if of is not None and of[1] in there:
                    self._methods_of.setdefault(there[of[1]], []).append(function)
        exports = [
            (name, [one for one in functions if member(one[0]) is None], named) for name, functions, named in exports
        ]
        self._numbers = {id(classes.of(at)): at for at in range(len(types)) if classes.of(at) is not None}
        markers = [_Marker(function) for _, there, _ in exports for function in there]
        kinds = zip(("_Memory", "_Global", "object"), (*others[:2], [name for name, _ in others[2]]), strict=True)
        self._others = [(name, _Other(of)) for of, names in kinds for name in names]
        self._tree = _exports(exports, markers, classes, self._others)
        self._interfaces = [name for name, _, _ in exports if name]
        self._given = _imported(imports, classes)
        self._names = _taken(self._tree) | _taken(self._given) | _taken_by(classes)
        self._builtins = "_builtins." if self._names & {*dir(builtins)} else ""
        # Where a class is written: the name of the class of its interface, and its own.
        self._homes: dict[int, tuple[str, str]] = {}
        self._top = ["Plugin", "Exports", "Imports"]
        self._places = {id(space): self._place(key, space, "") for key, space in _interfaces(self._tree)} | {
            id(space): self._place(key, space, "Types") for key, space in _interfaces(self._given)
        }
        self._seat("Exports", self._tree)
        self._seat("Imports", self._given)
        # A class that has the name of one around it would hide that: then those have names of their own inside.
        self._hidden = bool(self._names & {*self._top})

    def plugin(self, name: str) -> str:
        has = {other.of for _, other in self._others}
        lines = ["", *function_classes(self._builtins, with_memory="_Memory" in has, with_global="_Global" in has)]
        for tree in (self._tree, self._given):
            for _, space in _interfaces(tree):
                lines += ["", *self._space(self._places[id(space)], space)]
        for place, tree, names in (
            ("Exports", self._tree, self._interfaces),
            ("Imports", self._given, [name for name, _, _ in self._imports if name]),
        ):
            full = vars(tree)["_Exports__full"]
            found = [(name, self._of(self._places[id(full[name])])) for name in names]
            lines += ["", *self._space(place, tree, found)]
        lines += [
            "",
            "class Plugin(_ringfence.Plugin):",
            f"    exports: {self._of('Exports')}  # type: ignore[assignment]",
        ]
        lines += [f"    imports: {self._of('Imports')}  # type: ignore[assignment]"]
        lines += self._members("Plugin", self._tree, with_functions=True, without=_OWN)
        lines += self._aliases(lines)
        return headed(lines, f"`ringfence bindings`, of {quote(name)}")

    def host(self, name: str) -> str:
        lines: list[str] = []
        self._needed = self._reached(self._imports)
        wanted = [self._given] if vars(self._given) else []
        spaces = [
            (self._places[id(space)], space) for tree in (self._tree, self._given) for _, space in _interfaces(tree)
        ]
        for place, space in [*spaces, ("Exports", self._tree), *((("Imports", space)) for space in wanted)]:
            types = self._members(place, space, with_functions=False)
            if types:
                lines += ["", f"class {place}:", *types]
        keys: list[tuple[str, str]] = []
        others: list[tuple[str, str]] = []
        for interface, functions, types in self._imports:
            if not functions:
                # Types alone: nothing is given for them.
                continue
            rest, of = _by_resource(functions, types)
            for resource, (number, _) in of.items():
                self._objects[self._types[number][1]] = self._named(f"{short(interface) or 'a'}-{resource}")
            classes = [
                (resource, self._resource_given(number, there, lines)) for resource, (number, there) in of.items()
            ]
            if interface:
                own = self._named(short(interface))
                # In a mapping there are functions alone, or classes beside them, of which type checkers make objects.
                items_of = "_Any" if classes else "_Callable[..., _Any]"
                keys.append((interface, f"{own} | _Mapping[str, {items_of}]"))
                lines += ["", f"class {own}(_Protocol):", *self._doc(interface)]
                for resource, cls in classes:
                    lines += ["    @property", f"    def {camel(resource)}(self) -> {cls}: ..."]
                lines += self._methods(rest) or ([] if classes else ["    ..."])
                continue
            others += [(camel(resource), cls) for resource, cls in classes]
            for declared in rest:
                own = self._named(declared[0])
                others.append((declared[0], own))
                lines += ["", f"class {own}(_Protocol):", *self._methods([declared], "__call__")]
        (own,) = spelled(["given"], "camel", self._top)
        lines += ["", *given_mapping(own, keys, others)]
        lines += self._aliases(lines)
        return headed(lines, f"`ringfence bindings --host`, of {quote(name)}")

    def _named(self, name: str) -> str:
        """Give a class of the stub a name that no other has."""
        (own,) = spelled([name], "camel", self._top)
        self._top.append(own)
        return own

    def _resource_given(self, number: int, functions: list[Any], lines: list[str]) -> str:
        """Write what the objects of a resource have, and what their class has, which makes them."""
        of_objects = self._objects[self._types[number][1]]
        of_class = self._named(f"{of_objects}-class")
        kinds = {declared[0]: (member(declared[0]) or ("", "", ""))[0] for declared in functions}
        methods = [declared for declared in functions if kinds[declared[0]] == "method"]
        lines += ["", f"class {of_objects}(_Protocol):", *(self._methods(methods) or ["    ..."])]
        lines += ["", f"class {of_class}(_Protocol):"]
        made = [declared for declared in functions if kinds[declared[0]] == "constructor"]
        rest = [declared for declared in functions if kinds[declared[0]] == "static"]
        lines += [*self._methods(made, "__call__", may_wait=False), *self._methods(rest)] or ["    ..."]
        return of_class

    def _reached(self, interfaces: list[Any]) -> set[int]:
        """Give the types that these functions mention, and those that they are made of."""
        reached: set[int] = set()
        left = [kind for _, there, _ in interfaces for _, params, _, _ in there for _, kind in params]
        left += [result for _, there, _ in interfaces for _, _, result, _ in there if result is not None]
        while left:
            number = left.pop()
            if number not in reached:
                reached |= {number, self._numbers.get(id(self._classes.of(number)), number)}
                left += inside(*self._types[number])
        return reached

    def _aliases(self, lines: list[str]) -> list[str]:
        written = [line[6:-1] for line in lines if line.startswith("class ") and line[6:-1] in self._top]
        return ["", *(f"_{name} = {name}" for name in written)] if self._hidden and written else []

    def _of(self, place: str) -> str:
        return f"_{place}" if self._hidden else place

    def _place(self, key: str, space: Exports, end: str) -> str:
        (own,) = spelled([f"{key.replace('_', '-')}{'-' if end else ''}{end}"], "camel", self._top)
        self._top.append(own)
        for name, value in _members(space):
            self._homes.setdefault(self._numbers.get(id(value), -1), (own, name))
        return own

    def _seat(self, place: str, tree: Exports) -> None:
        for name, value in _members(tree):
            self._homes.setdefault(self._numbers.get(id(value), -1), (place, name))

    def _space(self, place: str, space: Exports, found: Sequence[tuple[str, str]] = ()) -> list[str]:
        lines = self._members(place, space, with_functions=True)
        return [f"class {place}:", *lines, *items(found, self._builtins)]

    def _members(self, place: str, space: Exports, *, with_functions: bool, without: Iterable[str] = ()) -> list[str]:
        lines: list[str] = []
        for name, value in sorted(_members(space), key=lambda member: isinstance(member[1], _Marker)):
            if name in without or (without and name.startswith("_")):
                continue
            if isinstance(value, _Other):
                told = f"{self._builtins}object" if value.of == "object" else value.of
                lines += [f"    {name}: {told}"] if with_functions else []
            elif isinstance(value, _Marker):
                lines += self._function(name, value) if with_functions else []
            elif id(value) in self._places:
                lines += [f"    {name}: {self._of(self._places[id(value)])}"] if with_functions else []
            elif id(value) in self._numbers:
                number = self._numbers[id(value)]
                if self._needed is not None and number not in self._needed:
                    continue
                home = self._homes[number]
                own = home == (place, name)
                lines += self._class(name, number) if own else [f"    {name} = {self._of(home[0])}.{home[1]}"]
        return lines

    def _doc(self, text: str) -> list[str]:
        safe = quote(text).replace("\\", "\\\\").replace('"', "'")
        return [f'    """{safe}"""']

    def _function(self, name: str, marker: _Marker) -> list[str]:
        names = spelled((param for param, _ in marker.params), "snake")
        params = [f"{own}: {self._type(kind, given=True)}" for own, (_, kind) in zip(names, marker.params, strict=True)]
        self_name = "self"
        while self_name in names:
            self_name += "_"
        told = ", ".join([f"{self_name}", *params])
        return [
            f"    @{self._decorator(marker.result)}",
            f"    def {name}({told}) -> {self._returned(marker.result)}: ...",
        ]

    def _decorator(self, result: int | None) -> str:
        """Write what makes of a function one of a plugin's, with the class of its errors."""
        if result is None or self._types[result][0] != "result":
            return "_function"
        error = self._types[result][2]
        return f"_failing[{'None' if error is None else self._type(error, given=False)}]()"

    def _methods(self, functions: list[Any], name: str | None = None, *, may_wait: bool = True) -> list[str]:
        lines: list[str] = []
        seen = set()
        for own, params, result, _ in functions:
            kind, _, of_resource = member(own) or ("", "", own)
            spelling = name or snake(of_resource)
            if spelling in seen:
                continue
            seen.add(spelling)
            taken = params[1:] if kind == "method" else params
            names = spelled((param for param, _ in taken), "snake", ["self"])
            told = "".join(
                f", {own}: {self._type(kind, given=False)}" for own, (_, kind) in zip(names, taken, strict=True)
            )
            end = ", /" if taken else ""
            gives = self._returned(result, given=True)
            gives += f" | _Coroutine[_Any, _Any, {gives}]" if may_wait else ""
            lines.append(f"    def {spelling}(self{told}{end}) -> {gives}: ...")
        return lines

    def _returned(self, kind: int | None, *, given: bool = False) -> str:
        if kind is None:
            return "None"
        if self._types[kind][0] != "result":
            return self._type(kind, given=given)
        ok = self._types[kind][1]
        told = "None" if ok is None else self._type(ok, given=given)
        return f"{told} | {self._type(kind, given=given)}" if given else told

    def _class(self, name: str, number: int) -> list[str]:
        kind, *parts = self._types[number]
        made = self._classes.given[number]
        decorated = "    @_dataclasses.dataclass(frozen=True, slots=True)"
        match kind:
            case "record":
                fields = zip(made[1], parts[0], strict=True)
                lines = [f"        {own}: {self._type(field, given=False)}" for own, (_, field) in fields]
                return [decorated, f"    class {name}:", *(lines or ["        ..."])]
            case "variant":
                lines = [f"    class {name}:"]
                home, own = self._homes[number]
                for (case, _), (_, carries) in zip(made[1], parts[0], strict=True):
                    lines += ["    " + decorated, f"        class {case.__name__}({self._of(home)}.{own}):"]
                    lines.append(
                        "            "
                        + (f"value: {self._type(carries, given=False)}" if carries is not None else "...")
                    )
                return lines
            case "enum":
                return [f"    class {name}(_enum.Enum):", *(f"        {of.name} = {of.value!r}" for of in made[1])]
            case "flags":
                return [f"    class {name}(_enum.Flag):", *(f"        {of.name} = {of.value!r}" for of in made)]
            case "own" | "borrow":
                return self._resource(name, self._methods_of.get(id(self._classes.of(number)), []))
            case _:
                return [f"    {name}: _Any"]

    def _resource(self, name: str, functions: list[Any]) -> list[str]:
        lines = [f"    class {name}:"]
        taken = list(METHODS_LEAVE)
        for declared, params, result, _ in functions:
            kind, _, method = member(declared) or ("", "", "")
            own = "__init__"
            if kind != "constructor":
                (own,) = spelled([method], "snake", taken)
                taken.append(own)
            names = spelled((param for param, _ in params), "snake")
            given = [f"{param}: {self._type(part, given=True)}" for param, (_, part) in zip(names, params, strict=True)]
            if kind == "constructor" or self._needed is not None:
                given = ["self", *(given if kind != "method" else given[1:])]
            else:
                # Those of a class are called like those of its objects: what they are is no function of Python's.
                given = ["self", *(given if kind == "static" else given[1:])]
                lines.append(f"        @{self._decorator(result)}")
            returned = "None" if kind == "constructor" else self._returned(result)
            lines.append(f"        def {own}({', '.join(given)}) -> {returned}: ...")
        lines += ["        def drop(self) -> None: ...", "        def __enter__(self) -> _Self: ..."]
        return [*lines, f"        def __exit__(self, *_: {self._builtins}object) -> None: ..."]

    def _type(self, number: int, *, given: bool) -> str:  # noqa: C901, PLR0911, PLR0912 - a line for each kind
        kind, *parts = self._types[number]
        plain = self._builtins
        if kind in _NUMBERS:
            return f"{plain}float" if kind in _FLOATS else f"{plain}int"
        match kind:
            case "bool":
                return f"{plain}bool"
            case "char" | "string":
                return f"{plain}str"
            case "list":
                return self._list(parts[0], given=given)
            case "tuple":
                return f"{plain}tuple[{', '.join(self._type(part, given=given) for part in parts[0])}]"
            case "option":
                told = self._type(parts[0], given=given)
                return (f"_ringfence.Some[{told}]" if self._types[parts[0]][0] == "option" else told) + " | None"
            case "result":
                cases = ("None" if part is None else self._type(part, given=given) for part in parts)
                return " | ".join(f"_ringfence.{of}[{inner}]" for of, inner in zip(("Ok", "Err"), cases, strict=True))
            case "map":
                key, value = (self._type(part, given=given) for part in parts)
                return f"{plain}dict[{key}, {value}]"
            case "fixed":
                return self._list(parts[0], given=given)
            case "stream" | "future":
                return self._later(kind, parts[0], given=given)
        if kind in {"own", "borrow"}:
            if given and parts[0] in self._objects:
                return self._objects[parts[0]]
            number = self._numbers.get(id(self._classes.of(number)), number)
        if number not in self._homes:
            return "_Any"
        place, name = self._homes[number]
        whole = f"{self._of(place)}.{name}"
        if kind == "variant" and not given:
            # All of its cases, for what tells them apart.
            return " | ".join(f"{whole}.{case.__name__}" for case, _ in self._classes.given[number][1])
        return f"{whole} | {plain}dict[{plain}str, _Any]" if kind == "record" and given else whole

    def _later(self, kind: str, item: int | None, *, given: bool) -> str:
        is_bytes = kind == "stream" and item is not None and self._types[item][0] == "u8"
        told = "None" if item is None else self._type(item, given=given)
        told = f"{self._builtins}bytes" if is_bytes else told
        if not given:
            return f"_ringfence.Plugin{kind.capitalize()}[{told}]"
        if kind == "future":
            return f"_Awaitable[{told}] | _ringfence.PluginFuture[{told}]"
        return f"_Iterable[{told}] | _AsyncIterable[{told}]{' | _Buffer' if item is not None else ''}"

    def _list(self, item: int, *, given: bool) -> str:
        kind = self._types[item][0]
        told = self._type(item, given=given)
        if kind in _NUMBERS:
            if given:
                return f"_Buffer | _Sequence[{told}]"
            return f"{self._builtins}bytes" if kind == "u8" else f"_array.array[{told}]"
        return f"_Sequence[{told}]" if given else f"{self._builtins}list[{told}]"


def _members(space: Exports) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in vars(space).items() if name != "_Exports__full")


def _interfaces(tree: Exports) -> Iterator[tuple[str, Exports]]:
    return ((name, value) for name, value in _members(tree) if isinstance(value, type(tree)))


def _taken(tree: Exports) -> set[str]:
    names = {name for name, _ in _members(tree)}
    return names.union(*(_taken(space) for _, space in _interfaces(tree)))


def _taken_by(classes: Classes) -> set[str]:
    """Give the names of fields and cases, which are names in the body of a class too."""
    names: set[str] = set()
    for given in classes.given:
        if isinstance(given, tuple) and isinstance(given[1], list):
            names |= {own if isinstance(own, str) else own[0].__name__ for own in given[1]}
    return names


def _by_resource(
    functions: list[Any], types: list[tuple[str, int]]
) -> tuple[list[Any], dict[str, tuple[int, list[Any]]]]:
    """Tell the functions of an interface that are none of a resource's, and by resource its type and its own."""
    numbers = dict(types)
    rest: list[Any] = []
    of: dict[str, tuple[int, list[Any]]] = {}
    for function in functions:
        resource = (member(function[0]) or ("", "", ""))[1]
        if resource in numbers:
            of.setdefault(resource, (numbers[resource], []))[1].append(function)
        else:
            rest.append(function)
    return rest, of
