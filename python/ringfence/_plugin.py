"""Plugins: components whose functions are called with Python's values, and call yours."""

from __future__ import annotations

from ._engine import core
from ._failure import failure
from ._plugin_imports import functions_of
from ._plugin_names import member, short, spelled
from ._plugin_resources import Resource, attach, classes_of
from ._plugin_values import Classes
from ._policy import Policy
from ._program import to_program
from ._result import Result
from ._value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Self

    from ._program import Program
    from .errors import GuestError


class PluginUsage(Value):
    """
    What a plugin has used since it was loaded.

    Attributes:
        calls: calls of its functions, those that ended badly included.
        host_calls: calls that it made of functions of yours.
        wall_seconds: time on the clock inside of calls.
        last_wall_seconds: that of the last call.
        fuel: fuel burnt, where the policy limits it.
        last_fuel: that of the last call.
        memory_bytes: the most memory it had at one time.
    """

    __slots__ = ("calls", "fuel", "host_calls", "last_fuel", "last_wall_seconds", "memory_bytes", "wall_seconds")
    calls: int
    host_calls: int
    wall_seconds: float
    last_wall_seconds: float
    fuel: int | None
    last_fuel: int | None
    memory_bytes: int

    def __init__(
        self,
        calls: int,
        host_calls: int,
        wall_seconds: float,
        last_wall_seconds: float,
        fuel: int | None,
        last_fuel: int | None,
        memory_bytes: int,
    ) -> None:
        self._fill(
            calls=calls,
            host_calls=host_calls,
            wall_seconds=wall_seconds,
            last_wall_seconds=last_wall_seconds,
            fuel=fuel,
            last_fuel=last_fuel,
            memory_bytes=memory_bytes,
        )


class Exports:
    """
    What a plugin exports or imports.

    Functions and types have their names as Python spells them, interfaces their short names.

    `exports["app:markdown/content@1.0.0"]` is an interface by its full name. Nothing else is in here: every name is the
    plugin's.
    """

    def __init__(self, members: dict[str, Any], full: dict[str, Any]) -> None:
        self.__dict__.update(members)
        object.__setattr__(self, "_Exports__full", full)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # noqa: ANN401 - a function, a class or an interface

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a function, a class or an interface
        """Give what has this name in the component itself."""
        full: dict[str, Any] = self.__dict__["_Exports__full"]
        return full[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the component itself."""
        return iter(self.__dict__["_Exports__full"])

    def __dir__(self) -> list[str]:
        """List the names as Python spells them."""
        return sorted(name for name in self.__dict__ if name != "_Exports__full")

    def __repr__(self) -> str:
        return f"<exports {', '.join(dir(self))}>"


class Plugin:
    """
    One live instance of a component. Its functions are called with Python's values, checked before it sees them.

    Safe to use from many threads, one call at a time; the interpreter is let go of while the guest runs. Every call
    has the policy's limits to itself. A call that traps, reaches a limit or raises an exception of yours leaves the
    instance in an unknown state: the plugin is poisoned, until `restart`.

    Args:
        program: a path, the bytes themselves, or a `Program`; a component.
        policy: what it may do; nothing unless given.
        imports: objects for the interfaces that it imports, by their names, with or without the version: a mapping, or
            an object, a class or a module whose functions they are. What one raises goes through the guest and comes
            out of the call as itself.
        inline: call them on the caller's thread. A function that blocks then blocks its caller past the deadline.
        progress: called while the program compiles, from the first second on, with the seconds so far.

    Attributes:
        exports: its functions, types and interfaces.
        imports: the types of the interfaces that it imports, and those that have no name, as `Type0` and so on.

    Raises:
        ProgramNotFound: there is no such program.
        LoadError: it is no component, its types are not supported, or what it imports is not given as it should be.
    """

    def __init__(
        self,
        program: str | os.PathLike[str] | bytes | Program,
        *,
        policy: Policy | None = None,
        imports: Mapping[str, object] | None = None,
        inline: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.program = to_program(program)
        self.policy = Policy() if policy is None else policy
        source = core.PluginSource(self.program._native, self.policy._native, progress)  # noqa: SLF001
        exports, wanted = source.exports(), source.imports()
        resources = classes_of(source.resources(), imports or {})
        classes = Classes(source.types(), [*exports, *wanted], resources)
        functions = functions_of(imports or {}, wanted, self.program.name)
        names = [
            (
                (member(name) or ("", "", name))[2],
                spelled((param for param, _ in params), "snake"),
                classes.error(name, classes.error_of(result)) if classes.is_result(result) else None,
            )
            for _, functions_there, _ in exports
            for name, params, result, _ in functions_there
        ]
        self._native = source.open(classes.given, functions, names, inline)
        self.exports = _exports(exports, self._native.functions(), classes)
        nameless: tuple[str, list[Any], list[tuple[str, int]]] = (
            "",
            [],
            [(f"type-{number}", number) for number in classes.nameless()],
        )
        self.imports = _exports([nameless, *((name, [], types) for name, _, types in wanted if name)], [], classes)

    @property
    def poisoned(self) -> str | None:
        """Why it cannot be called any more, or None while it can."""
        return self._native.poisoned

    @property
    def usage(self) -> PluginUsage:
        """What it has used so far."""
        return PluginUsage(*self._native.usage())

    def restart(self) -> None:
        """Begin anew with a new instance, of which nothing has been called."""
        self._native.restart()

    def close(self) -> None:
        """Free everything; a call that is under way goes on, and is the last."""
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a function, a class or an interface
        """Give what the plugin exports under a name that is none of ours."""
        exports = self.__dict__.get("exports")
        if exports is None or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        try:
            return getattr(exports, name)
        except AttributeError:
            raise AttributeError(
                f"the plugin {self.program.name!r} exports no {name!r}", name=name, obj=exports
            ) from None

    def __repr__(self) -> str:
        return f"<Plugin {self.program.name!r}>"


def failed(native: core.Result) -> GuestError:
    """Make the error for a call whose guest did not return: what the native side calls to raise."""
    return failure(Result(native))


def _exports(interfaces: list[Any], functions: list[core.PluginFunction], classes: Classes) -> Exports:
    made: list[tuple[str, Exports]] = []
    root: tuple[list[tuple[str, str, Any]], dict[str, Any]] = ([], {})
    at = 0
    for name, declared, types in interfaces:
        here = [(own, function) for (own, *_), function in zip(declared, functions[at:], strict=False)]
        at += len(declared)
        rest = _attached(here, {own: classes.of(number) for own, number in types})
        members: list[tuple[str, str, Any]] = [(own, "snake", function) for own, function in rest]
        members += [(own, "camel", classes.of(number)) for own, number in types if classes.of(number) is not None]
        if name:
            made.append((name, _namespace(members, {})))
        else:
            root = (members, {})
    shorts = spelled((short(name) for name, _ in made), "snake", [own for own, *_ in _spell(root[0])])
    full = dict(made)
    return _namespace(root[0], {own: exports for own, (_, exports) in zip(shorts, made, strict=True)}, full)


def _attached(
    functions: list[tuple[str, core.PluginFunction]], classes: dict[str, object]
) -> list[tuple[str, core.PluginFunction]]:
    """Give classes of resources their methods, and the functions that are none."""
    rest: list[tuple[str, core.PluginFunction]] = []
    of: dict[str, list[tuple[str, core.PluginFunction]]] = {}
    for name, function in functions:
        _, resource, _ = member(name) or ("", "", "")
        cls = classes.get(resource)
        is_method = isinstance(cls, type) and issubclass(cls, Resource)
        (of.setdefault(resource, []) if is_method else rest).append((name, function))
    for resource, methods in of.items():
        attach(classes[resource], methods)  # type: ignore[arg-type]
    return rest


def _namespace(
    members: list[tuple[str, str, Any]], more: dict[str, Any], full: dict[str, Any] | None = None
) -> Exports:
    named = {own: value for own, _, value in _spell(members)}
    return Exports({**named, **more}, {**{name: value for _, name, value in _spell(members)}, **(full or {})})


def _spell(members: list[tuple[str, str, Any]]) -> list[tuple[str, str, Any]]:
    taken: list[str] = []
    for name, spell, _ in members:
        taken += spelled([name], spell, taken)
    return [(own, name, value) for own, (name, _, value) in zip(taken, members, strict=True)]
