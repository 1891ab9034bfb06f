"""Objects of yours for the interfaces that a plugin imports: each function is looked at before it is loaded."""

from __future__ import annotations

from ._plugin_names import short, snake
from ._text import quote
from .errors import LoadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Bridge = Callable[[Callable[..., Any]], Callable[..., Any]]
    Interfaces = list[tuple[str, list[tuple[str, list[tuple[str, int]], int | None, str]], list[tuple[str, int]]]]

# Of the functions that do not fit.
_SHOWN = 10


def functions_of(
    given: Mapping[str, object],
    interfaces: Interfaces,
    program: str,
    bridge: Bridge | None = None,
    *,
    stub: bool = False,
) -> list[Callable[..., Any] | None]:
    """
    Give the function for every import, in their order.

    `bridge` makes one of an `async def`, which else is refused. With `stub` it is None for one that is missing.

    Raises:
        LoadError: functions are missing, cannot be called so, or are for nothing that it imports; all of them named.
    """
    found: list[Callable[..., Any] | None] = []
    wrong: list[str] = []
    used: set[str] = set()
    for interface, functions, _ in interfaces:
        for name, params, _, signature in functions:
            key, function = _find(given, interface, name)
            if key is not None:
                used.add(key)
            if bridge is not None and _is_async(function):
                function = bridge(function)  # type: ignore[arg-type]
            why = None if stub and function is None else _refusal(function, len(params))
            if why is None:
                found.append(function)  # type: ignore[arg-type]
            else:
                place = f"{quote(interface)}: " if interface else ""
                wrong.append(f"`{place}{signature}` {why}")
    wrong += [f"`{quote(str(key))}` is nothing that it imports" for key in given if key not in used]
    if wrong:
        more = len(wrong) - _SHOWN
        shown = "; ".join(wrong[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise LoadError(
            f"cannot load the plugin `{program}`",
            f"its host functions do not fit: {shown}",
            'give an object with a method for each: `imports={"app:host/store": Store()}`',
        )
    return found


def _find(given: Mapping[str, object], interface: str, name: str) -> tuple[str | None, object]:
    if not interface:
        keys: tuple[str, ...] = (name, snake(name))
        return next(((key, given[key]) for key in keys if key in given), (None, None))
    keys = (interface, interface.partition("@")[0], short(interface))
    for key in keys:
        if key in given:
            return key, _member(given[key], name)
    return None, None


def _member(of: object, name: str) -> object:
    from collections.abc import Mapping

    if isinstance(of, Mapping):
        return of.get(name, of.get(snake(name)))
    # No name of a guest's is one of Python's own.
    plain = getattr(of, name, None) if name.isidentifier() and not name.startswith("_") else None
    return getattr(of, snake(name), None) if plain is None else plain


def _refusal(function: object, count: int) -> str | None:
    import inspect

    if function is None:
        return "is missing"
    if not callable(function):
        return f"is {function!r:.60}, which cannot be called"
    if _is_async(function):
        return "is an `async def`, which only an `APlugin` awaits"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, and does not tell
        return None
    try:
        signature.bind(*range(count))
    except TypeError:
        return f"is called with {count} arguments, and the function takes {signature}"
    return None


def _is_async(function: object) -> bool:
    import inspect

    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
