"""Resources: classes of those that a plugin makes, and the classes of yours for those that you make."""

from __future__ import annotations

from collections.abc import Mapping

from ._engine import core
from ._plugin_functions import Method
from ._plugin_names import Spelling, camel, member, short

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable
    from typing import Any, ClassVar, Self

# Names of a class that a plugin's methods do not take.
METHODS_LEAVE = ("drop", "mro", "self")


class _Constructed:
    """The signature of a class: that of its constructor."""

    def __get__(self, of: object, cls: type[Resource]) -> inspect.Signature:
        if of is not None or cls._constructor is None:
            raise AttributeError("__signature__")
        signature: inspect.Signature = cls._constructor.__signature__  # type: ignore[attr-defined]
        return signature


class Resource:
    """
    A thing that a plugin made and you own, until you give it back, drop it, or nothing of yours refers to it.

    Its class is in the plugin's exports: called, it is the constructor. As a context manager it is dropped at the end.
    """

    __slots__ = ("__weakref__", "_handle")

    _constructor: ClassVar[Callable[..., Any] | None] = None
    __signature__ = _Constructed()
    _leave: ClassVar[tuple[str, ...]] = METHODS_LEAVE
    _handle: core.PluginHandle

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - an object of the class, as the plugin makes it
        if cls._constructor is None:
            raise TypeError(f"{cls.__qualname__} has no constructor: the plugin's functions make them")
        return cls._constructor(*args, **kwargs)

    @classmethod
    def _of(cls, handle: core.PluginHandle) -> Self:
        made = object.__new__(cls)
        made._handle = handle
        return made

    def drop(self) -> None:
        """
        Let go of it: the plugin hears of it now, or before its next call if one is under way. Twice is once.

        Raises:
            GuestError: what the plugin does at its end ended otherwise, and the plugin is poisoned.
        """
        self._handle.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def __reduce__(self) -> Any:  # noqa: ANN401 - never returns
        raise TypeError(f"{type(self).__qualname__} is in a plugin, and cannot be copied or pickled")

    def __repr__(self) -> str:
        gone = self._handle.gone
        return f"<{type(self).__qualname__} of a plugin{f', which {gone}' if gone else ''}>"


def classes_of(
    resources: list[tuple[str, str, bool]],
    given: Mapping[str, object],
    base: type[Resource] = Resource,
    known: Mapping[tuple[str, str, bool], type | None] | None = None,
) -> list[type | None]:
    """
    Make the classes of those that the plugin makes, and find yours for the others; None where there is none.

    Those that are known already are what they were.
    """
    found: list[type | None] = []
    for interface, name, is_yours in resources:
        if is_yours:
            yours = class_in(given_for(given, interface)[1], name) if interface else class_in(given, name)
            found.append(yours if isinstance(yours, type) else None)
            continue
        if known and (interface, name, is_yours) in known:
            found.append(known[interface, name, is_yours])
            continue
        own = camel(name)
        module = f"ringfence.plugin.{interface}" if interface else "ringfence.plugin"
        doc = f"A resource `{name}` of the plugin."
        found.append(type(own, (base,), {"__slots__": (), "__doc__": doc, "__module__": module}))
    return found


def given_for(given: Mapping[str, object], interface: str) -> tuple[str | None, object]:
    """Find the object for an interface, by its name, with or without its version, or its short one."""
    keys = (interface, interface.partition("@")[0], short(interface))
    return next(((key, given[key]) for key in keys if key in given), (None, None))


def class_in(of: object, name: str) -> object:
    """Find the class of a resource in what is given for its interface."""
    if isinstance(of, Mapping):
        return of.get(name, of.get(camel(name)))
    return getattr(of, camel(name), None)


def attach(cls: type[Resource], functions: list[tuple[str, Any]]) -> None:
    """Give a class its methods, by their names in the component: `[method]blob.write`."""
    spelling = Spelling(cls._leave)
    for name, function in functions:
        kind, _, method = member(name) or ("", "", "")
        if kind == "constructor":
            cls._constructor = staticmethod(function)
            continue
        own = spelling.one(method, "snake")
        if kind == "static":
            setattr(cls, own, staticmethod(function))
        else:
            # The native one is bound faster, and knows nothing but functions of the native side.
            is_native = isinstance(function, core.PluginFunction)
            setattr(cls, own, core.PluginMethod(function) if is_native else Method(function))
