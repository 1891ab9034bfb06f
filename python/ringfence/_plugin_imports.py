"""Objects of yours for the interfaces that a plugin imports: each function is looked at before it is loaded."""

from __future__ import annotations

import builtins
from collections.abc import Mapping

from ._plugin_names import camel, member, snake
from ._plugin_resources import class_in, given_for
from ._text import quote
from .errors import LoadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Bridge = Callable[[Callable[..., Any]], Callable[..., Any]]
    Interfaces = list[tuple[str, list[tuple[str, list[tuple[str, int]], int | None, str]], list[tuple[str, int]]]]

FIX = 'give an object with a method for each: `imports={"app:host/store": Store()}`'
# Of the functions that do not fit.
_SHOWN = 10


def functions_of(
    given: Mapping[str, object],
    interfaces: Interfaces,
    program: str,
    bridge: Bridge | None = None,
    *,
    stub: bool = False,
    fix: str = FIX,
) -> list[Callable[..., Any] | None]:
    """
    Give the function for every import, in their order.

    `bridge` makes one of an `async def`, which else is awaited in an event loop of its own. With `stub` it is None for
    one that is missing. `fix` is how they are given.

    Raises:
        LoadError: functions are missing, cannot be called so, or are for nothing that it imports; all of them named.
    """
    found: list[Callable[..., Any] | None] = []
    wrong: list[str] = []
    used: set[str] = set()
    for interface, functions, types in interfaces:
        if interface and types and not functions:
            used.add(given_for(given, interface)[0] or "")
        for name, params, _, signature in functions:
            key, function = _find(given, interface, name)
            if key is not None:
                used.add(key)
            if bridge is not None and is_async(function):
                function = bridge(function)  # type: ignore[arg-type]
            why = None if stub and function is None else _refusal(function, len(params))
            of_resource = member(name)
            if of_resource is not None and function is not None and not isinstance(function, type):
                cls = class_in(given[key] if interface and key else given, of_resource[1])
                why = why if isinstance(cls, type) else f"is of {cls!r:.60}, which is no class"
            if why is None:
                found.append(_Awaited(function) if is_async(function) else function)  # type: ignore[arg-type]
            else:
                place = f"{quote(interface)}: " if interface else ""
                wrong.append(f"`{place}{signature}` {why}")
    if not isinstance(given, _Spare):
        wrong += [f"`{quote(str(key))}` is nothing that it imports" for key in given if key not in used]
    if wrong:
        more = len(wrong) - _SHOWN
        shown = "; ".join(wrong[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise LoadError(f"cannot load the plugin `{program}`", f"its host functions do not fit: {shown}", fix)
    return found


def checked(given: object, interfaces: Interfaces) -> Mapping[str, object]:
    """
    Check that what is given for imports has each by its name.

    Raises:
        TypeError: it is no mapping: an object for an interface itself, say, which has to be under the interface's name.
    """
    if isinstance(given, Mapping):
        return given
    names = [name or functions[0][0] for name, functions, _ in interfaces if functions]
    shown = type(given).__name__
    own = f"{shown}()" if shown.isidentifier() and shown not in dir(builtins) else "…"
    parts = ", ".join(f'"{quote(name)}": {own}' for name in names[:_SHOWN]) or '"app:host/store": Store()'
    raise TypeError(
        f"`imports` has an object for each interface by its name, and cannot be {given!r:.60}\n"
        f"hint: `imports={{{parts}}}`"
    )


class _Spare(dict[str, object]):
    """What is given, of which not all has to be imported."""


def spare(given: Mapping[str, object]) -> Mapping[str, object]:
    """Give all of it to a plugin that may import less."""
    return _Spare(given)


def _find(given: Mapping[str, object], interface: str, name: str) -> tuple[str | None, object]:
    if interface:
        key, object_ = given_for(given, interface)
        return key, _member(object_, name) if key is not None else None
    of_resource = member(name)
    if of_resource is not None:
        keys = (of_resource[1], camel(of_resource[1]))
        return next((key for key in keys if key in given), None), _member(given, name)
    return next(((key, given[key]) for key in (name, snake(name)) if key in given), (None, None))


def _member(of: object, name: str) -> object:
    of_resource = member(name)
    if of_resource is not None:
        kind, resource, own = of_resource
        cls = class_in(of, resource)
        if kind == "constructor" or cls is None or not isinstance(cls, type):
            return cls
        function = getattr(cls, snake(own), None)
        return _Method(snake(own), function) if kind == "method" and function is not None else function
    if isinstance(of, Mapping):
        return of.get(name, of.get(snake(name)))
    # No name of a guest's is one of Python's own.
    plain = getattr(of, name, None) if name.isidentifier() and not name.startswith("_") else None
    return getattr(of, snake(name), None) if plain is None else plain


class _Method:
    """Calls the method of this name of whatever object it is given: a subclass may have its own."""

    def __init__(self, name: str, function: object) -> None:
        self.name, self.function = name, function

    def __call__(self, of: Any, *args: Any) -> Any:  # noqa: ANN401 - values of any type
        return getattr(of, self.name)(*args)


def is_async(function: object) -> bool:
    """Whether it is an `async def`, or an object whose call is."""
    import inspect

    if isinstance(function, _Method):
        function = function.function
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - an object's own


def waiting(bridge: Bridge | None) -> Callable[[Any], Any]:
    """Give what waits for a coroutine of a function that did not look like one: a `drop`, or a subclass's method."""

    def wait(coroutine: Any) -> Any:  # noqa: ANN401 - of any type
        return (bridge or _Awaited)(lambda: coroutine)()

    return wait


class _Awaited:
    """Calls an `async def` and waits for it, in an event loop of its own: the guest goes on when it is done."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:  # noqa: ANN401 - values of any type
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        async def wait() -> Any:  # noqa: ANN401 - values of any type
            return await self.function(*args)

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(wait())
        # Inline, in a call that a coroutine made: its loop stands still meanwhile, and has no other inside of it.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, wait()).result()


def _refusal(function: object, count: int) -> str | None:
    import inspect

    if function is None:
        return "is missing"
    if not callable(function):
        return f"is {function!r:.60}, which cannot be called"
    if isinstance(function, _Method):
        function = function.function
        if not callable(function):
            return f"is {function!r:.60}, which cannot be called"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, and does not tell
        return None
    try:
        signature.bind(*range(count))
    except TypeError:
        return f"is called with {count} argument{'' if count == 1 else 's'}, and the function takes {signature}"
    return None
