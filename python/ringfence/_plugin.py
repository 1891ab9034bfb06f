"""Plugins: components and core modules whose functions are called with Python's values, and call yours."""

from __future__ import annotations

from ._engine import core
from ._failure import failure
from ._isolation import close_at_exit
from ._plugin_classes import Classes
from ._plugin_imports import FIX, checked, functions_of, spare, waiting
from ._plugin_names import Spelling, member, short, spelled
from ._plugin_profile import Profile, measuring
from ._plugin_reload import follow, refuse_closed
from ._plugin_resources import Resource, attach, classes_of
from ._plugin_shapes import Shapes
from ._plugin_snapshot import PluginSnapshot, without_instance
from ._plugin_streams import Streams
from ._policy import Policy, check_policy
from ._program import to_program
from ._result import Result
from ._text import quote
from ._value import Value
from ._wave import Wave
from .errors import PluginError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Self

    from ._isolation import Isolation
    from ._plugin_imports import Bridge
    from ._plugin_profile import FunctionProfile
    from ._program import Program
    from .errors import GuestError


_SHOWN = 10  # of the names that there are, in an error


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

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a function, a class or an interface
        """Say what there is."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"there is no {name!r:.60} here{_instead(self, name)}", name=name, obj=self)

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

    Or of a core module: its functions take and give numbers, several as a tuple; its memories have `size`, `read`,
    `write` and `grow`, which copy; its globals have a `value`.

    Safe to use from many threads, one call at a time; the interpreter is let go of while the guest runs. Every call
    has the policy's limits to itself. A call that traps, reaches a limit or raises an exception of yours leaves the
    instance in an unknown state: the plugin is poisoned, until `restart`.

    Args:
        program: a path, the bytes themselves, or a `Program`; a component or a core module.
        policy: what it may do; nothing unless given.
        imports: objects for the interfaces that it imports, by their names, with or without the version: a mapping, or
            an object, a class or a module whose functions they are. What one raises goes through the guest and comes
            out of the call as itself.
        inline: call them on the caller's thread. A function that blocks then blocks its caller past the deadline.
        stub: let functions be missing from `imports`; a call of one of those is a trap.
        isolation: what keeps it from this process, as for `Sandbox`: with "process" or "worker" each instance has a
            child process of its own. A call costs more there. Functions of yours stay in this process; with `inline`
            its guest is ended at the deadline, though a function of yours is not. Components with streams or futures
            are refused there.
        tenant: whose it is, as for `Sandbox`.
        profile: measure every call, for `profile()`; without it none is, and nothing is slower for it.
        progress: called while the program compiles, from the first second on, with the seconds so far.

    Attributes:
        exports: its functions, types and interfaces.
        imports: the types of the interfaces that it imports, and those that have no name, as `Type0` and so on.

    Raises:
        ProgramNotFound: there is no such program.
        LoadError: it is no plugin, its types are not supported, or not in isolation, or what it imports is not given as
            it should be.
        PolicyError: `isolation` and `tenant` contradict each other.
        Busy: in isolation, as many child processes as there may be have guests.
    """

    # The types, and the classes of resources, of what it is loaded to follow.
    _before: tuple[Shapes, dict[tuple[str, str, bool], type | None]] | None = None
    # A snapshot that its forks, or the instances of a pool, go on from, and whether its policy may be wider.
    _from: tuple[core.PluginSnapshot | core.SavedPlugin, bool] | None = None
    _native: core.Plugin
    exports: Exports
    # What forks of it are that nobody awaits, if not the same.
    _forked: type[Plugin] | None = None
    _resource: type[Resource] = Resource
    _how = FIX  # functions of yours are given so

    def __init__(
        self,
        program: str | os.PathLike[str] | bytes | Program,
        *,
        policy: Policy | None = None,
        imports: Mapping[str, object] | None = None,
        inline: bool = False,
        stub: bool = False,
        isolation: Isolation = "wasm",
        tenant: str | None = None,
        profile: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.program = to_program(program)
        check_policy(policy)
        self.policy = Policy() if policy is None else policy
        natives = self.program._native, self.policy._native  # noqa: SLF001
        lasting = self._from is not None or self._instances() is None
        source = core.PluginSource(*natives, progress, self._granted(), lasting, isolation, tenant)
        exports, wanted = source.exports(), source.imports()
        given = self._given(checked({} if imports is None else imports, wanted), wanted)
        (shapes, known), made = self._before or (None, None), source.resources()
        resources = classes_of(made, given, self._resource, known)
        self._resources = dict(zip(made, resources, strict=True))
        classes = Classes(source.types(), [*exports, *wanted], resources, self._streams(), source.names())
        self._words: dict[str, Any] = {"imports": imports, "inline": inline, "stub": stub, "profile": profile}
        self._words |= {"isolation": isolation, "tenant": tenant}
        self._shapes = Shapes(source.types(), made, shapes)
        self._classes = classes
        functions = functions_of(given, wanted, self.program.name, self._bridge(), stub=stub, fix=self._how)
        self._profile = Profile(source.types(), classes.given) if profile else None
        if self._profile is not None:
            functions = self._profile.imports(wanted, functions)
        self._declared, self._wave = exports, Wave(source.types(), classes.given)
        names = [
            (
                quote((member(name) or ("", "", name))[2], len(name)),
                spelled((param for param, _ in params), "snake"),
                classes.error(interface, name, classes.error_of(result)) if classes.is_result(result) else None,
            )
            for interface, functions_there, _ in exports
            for name, params, result, _ in functions_there
        ]
        self._others = source.others()
        self.imports = _imported(wanted, classes)
        given_all, instances = (classes, functions, names, inline, waiting(self._bridge())), self._instances()
        if self._from is None:
            self._open(source.open(given_all, instances))
        elif instances is None:
            self._from = source.continuing(given_all, *self._from), False
        else:
            (begun, allow_wider), self._from = self._from, None
            self._open(source.pool_from(given_all, begun, allow_wider, instances))  # type: ignore[arg-type]
        if isolation != "wasm":
            close_at_exit(self)

    def _open(self, native: core.Plugin) -> None:
        """Export what an instance does."""
        self._native = native
        # Of classes that may be those of the plugin that it is to follow: they are given them when it does.
        self._methods: list[tuple[type[Resource], list[tuple[str, Any]]]] = []
        put = attach if self._before is None else lambda *methods: self._methods.append(methods)
        called = self._awaited(self._declared, measuring(self._profile, self._declared, native))
        self.exports = _exports(self._declared, called, self._classes, _others(self._others, native), put)

    def _with(self, native: core.Plugin, **own: object) -> Self:
        """Give the same with another instance."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, **own)
        other._open(native)
        return other

    def _granted(self) -> tuple[Any, ...] | None:
        """What a plugin for Extism is granted; None for others."""
        return None

    def _given(self, imports: Mapping[str, object], wanted: list[Any]) -> Mapping[str, object]:  # noqa: ARG002 - for Extism
        """Give the functions of yours by interface."""
        return imports

    def _begin_as(self, other: Self, program: Program, **words: Any) -> None:  # noqa: ANN401, ARG002 - as for `__init__`
        """Load it in the place of that one."""
        Plugin.__init__(self, program, **words)

    def _instances(self) -> tuple[int, bool] | None:
        """How many a pool has, and whether each is for one call alone; None for one that stays."""
        return None

    def _awaited(self, exports: list[Any], functions: list[Any]) -> list[Any]:  # noqa: ARG002 - for those that are
        """Give the functions as they are called."""
        return functions

    def _streams(self) -> Streams:
        """Give what makes streams."""
        return Streams()

    def _bridge(self) -> Bridge | None:
        """Give what makes a function that can be called of an `async def`, if anything does."""
        return None

    @property
    def poisoned(self) -> str | None:
        """Why it cannot be called any more, or None while it can."""
        return self._native.poisoned

    @property
    def usage(self) -> PluginUsage:
        """What it has used so far."""
        return PluginUsage(*self._native.usage())

    def profile(self) -> tuple[FunctionProfile, ...]:
        """
        Give what calls of each function took so far, of both sides, what took longest first.

        Raises:
            PluginError: it was loaded without `profile=True`.
        """
        if self._profile is None:
            raise PluginError(
                f"no profile of the plugin `{self.program.name}`",
                "its calls are not measured",
                "load it with `Plugin(…, profile=True)`, or use `ringfence profile`",
            )
        return self._profile.told()

    def reload(
        self, program: str | os.PathLike[str] | bytes | Program, *, progress: Callable[[float], None] | None = None
    ) -> None:
        """
        Swap its code for another's, if that has the same interface.

        That is every function and type that it exports, and no import that it was not given.

        The new one begins anew, with its own memory and usage. Calls that are under way, or wait for their turn, end on
        the old one. Functions and classes that were taken out of `exports` before are those of the new one from then
        on; resources, streams, memories and globals are gone with the old.

        Raises:
            LoadError: it does not fit, each difference named, or it cannot be loaded. The old one goes on.
            PluginError: it was closed.
        """
        refuse_closed(self, self._native)
        after = object.__new__(type(self))
        after._before = self._shapes, self._resources
        given = {**self._words, "imports": spare(self._words["imports"] or {})}
        after._begin_as(self, to_program(program), policy=self.policy, progress=progress, **given)
        follow(self, after)

    def snapshot(self) -> PluginSnapshot:
        """
        Take what it is between two calls, to fork plugins from later; of a core module.

        Raises:
            PluginError: it cannot be captured, and why; a call is under way; it is poisoned or closed.
        """
        return PluginSnapshot(self._native.snapshot(), without_instance(self))

    def fork(
        self, *, policy: Policy | None = None, allow_wider: bool = False, imports: Mapping[str, object] | None = None
    ) -> Plugin:
        """
        Open a plugin that goes on from where this one is, which goes on too; of a core module.

        Args:
            policy: what it may do instead of what this one may; no wider, see `Policy.wider_than`.
            allow_wider: let `policy` grant more.
            imports: objects instead of those that this one was given.

        Raises:
            PluginError: it cannot be captured, and why; a call is under way; it is poisoned or closed.
            PolicyError: `policy` is wider; says in what.
        """
        return self.snapshot().fork(policy=policy, allow_wider=allow_wider, imports=imports)

    def fork_many(
        self,
        count: int,
        *,
        policy: Policy | None = None,
        allow_wider: bool = False,
        imports: Mapping[str, object] | None = None,
    ) -> list[Plugin]:
        """Open `count` plugins that go on from where this one is, as `fork` does."""
        return self.snapshot().fork_many(count, policy=policy, allow_wider=allow_wider, imports=imports)

    def restart(self) -> None:
        """Begin anew with a new instance, of which nothing has been called: not from where a fork began."""
        self._native.restart()

    def close(self) -> None:
        """Free everything; a call that is under way goes on, and is the last."""
        closed = None
        # New code may be taking its place meanwhile.
        while closed is not self._native:
            closed = self._native
            closed.close()

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
                f"the plugin {self.program.name!r} exports no {name!r:.60}{_instead(exports, name)}",
                name=name,
                obj=exports,
            ) from None

    def __reduce__(self) -> Any:  # noqa: ANN401 - never returns
        raise TypeError(f"{self!r} is live, and cannot be copied or pickled\nhint: load it where it is called")

    def __repr__(self) -> str:
        return f"<Plugin {self.program.name!r}>"


def _instead(exports: Exports, name: str) -> str:
    """Say which interface has a name, and what there is."""
    spaces = [own for own, value in vars(exports).items() if isinstance(value, Exports) and name in vars(value)]
    names = dir(exports)
    there = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return (f", but `{spaces[0]}.{name}`" if spaces else "") + f"; there are {there or 'no names'}"


def failed(native: core.Result) -> GuestError:
    """Make the error for a call whose guest did not return: what the native side calls to raise."""
    return failure(Result(native))


class Unusable:
    """
    An export of a core module that is no use to Python.

    Attributes:
        why: what it is.
    """

    __slots__ = ("_name", "why")

    def __init__(self, name: str, why: str) -> None:
        self._name, self.why = quote(name), quote(why)

    def __call__(self, *_: object, **__: object) -> object:
        """Refuse to be called."""
        raise TypeError(f"`{self._name}` cannot be called: it {self.why}\nhint: functions of i32, i64, f32 and f64 can")

    def __repr__(self) -> str:
        return f"<{self._name}, which {self.why}>"


def _others(names: tuple[list[str], list[str], list[tuple[str, str]]], native: core.Plugin) -> list[tuple[str, Any]]:
    """Give what a core module exports beside functions."""
    memories, globals_, unusable = names
    return [
        *zip(memories, native.memories(), strict=True),
        *zip(globals_, native.globals(), strict=True),
        *((name, Unusable(name, why)) for name, why in unusable),
    ]


def _imported(wanted: list[Any], classes: Classes) -> Exports:
    """Give the types of what a plugin imports, and at the root those of its world and of no interface."""
    named = [(name, kind) for interface, _, types in wanted if not interface for name, kind in types]
    root: tuple[str, list[Any], list[tuple[str, int]]] = ("", [], [*named, *classes.unlisted()])
    return _exports([root, *((name, [], types) for name, _, types in wanted if name)], [], classes, [])


def _exports(
    interfaces: list[Any],
    functions: list[Any],
    classes: Classes,
    others: list[tuple[str, Any]],
    put: Callable[[type[Resource], list[tuple[str, Any]]], None] = attach,
) -> Exports:
    made: list[tuple[str, Exports]] = []
    root: tuple[list[tuple[str, str, Any]], dict[str, Any]] = ([], {})
    at = 0
    for name, declared, types in interfaces:
        here = [(own, function) for (own, *_), function in zip(declared, functions[at:], strict=False)]
        at += len(declared)
        rest = _attached(here, {own: classes.of(number) for own, number in types}, put)
        members: list[tuple[str, str, Any]] = [(own, "snake", function) for own, function in rest]
        members += [(own, "camel", classes.of(number)) for own, number in types if classes.of(number) is not None]
        if name:
            made.append((name, _namespace(members, {})))
        else:
            root = (members + [(own, "snake", value) for own, value in others], {})
    shorts = spelled((short(name) for name, _ in made), "snake", [own for own, *_ in _spell(root[0])])
    full = dict(made)
    return _namespace(root[0], {own: exports for own, (_, exports) in zip(shorts, made, strict=True)}, full)


def _attached(
    functions: list[tuple[str, Any]],
    classes: dict[str, object],
    put: Callable[[type[Resource], list[tuple[str, Any]]], None],
) -> list[tuple[str, Any]]:
    """Give classes of resources their methods, and the functions that are none."""
    rest: list[tuple[str, Any]] = []
    of: dict[str, list[tuple[str, Any]]] = {}
    for name, function in functions:
        _, resource, _ = member(name) or ("", "", "")
        cls = classes.get(resource)
        is_method = isinstance(cls, type) and issubclass(cls, Resource)
        (of.setdefault(resource, []) if is_method else rest).append((name, function))
    for resource, methods in of.items():
        put(classes[resource], methods)  # type: ignore[arg-type]
    return rest


def _namespace(
    members: list[tuple[str, str, Any]], more: dict[str, Any], full: dict[str, Any] | None = None
) -> Exports:
    named = {own: value for own, _, value in _spell(members)}
    return Exports({**named, **more}, {**{name: value for _, name, value in _spell(members)}, **(full or {})})


def _spell(members: list[tuple[str, str, Any]]) -> list[tuple[str, str, Any]]:
    spelling = Spelling()
    return [(spelling.one(name, spell), name, value) for name, spell, value in members]
