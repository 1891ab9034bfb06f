"""Objects of yours for the interfaces that a plugin imports: each function is looked at before it is loaded."""

from __future__ import annotations

from ._plugin_names import short, snake
from ._text import quote
from .errors import LoadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Interfaces = list[tuple[str, list[tuple[str, list[tuple[str, int]], int | None, str]], list[tuple[str, int]]]]

# Of the functions that do not fit.
_SHOWN = 10


def functions_of(given: Mapping[str, object], interfaces: Interfaces, program: str) -> list[Callable[..., Any]]:
    """
    Give the function for every import, in their order.

    Raises:
        LoadError: functions are missing, cannot be called so, or are for nothing that it imports; all of them named.
    """
    found: list[Callable[..., Any]] = []
    wrong: list[str] = []
    used: set[str] = set()
    for interface, functions, _ in interfaces:
        for name, params, _, signature in functions:
            key, function = _find(given, interface, name)
            if key is not None:
                used.add(key)
            why = _refusal(function, len(params))
            if why is None:
                found.append(function)  # type: ignore[arg-type]
            else:
                place = f"{quote(interface)}: " if interface else ""
                wrong.append(f"`{place}{signature}` {why}")
    if not isinstance(given, _Spare):
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


class _Spare(dict[str, object]):
    """What is given, of which not all has to be imported."""


def spare(given: Mapping[str, object]) -> Mapping[str, object]:
    """Give all of it to a plugin that may import less."""
    return _Spare(given)


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
    return getattr(of, snake(name), None)


def _refusal(function: object, count: int) -> str | None:
    import inspect

    if function is None:
        return "is missing"
    if not callable(function):
        return f"is {function!r:.60}, which cannot be called"
    if inspect.iscoroutinefunction(function):
        return "is an `async def`, and a guest cannot await it"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, and does not tell
        return None
    try:
        signature.bind(*range(count))
    except TypeError:
        return f"is called with {count} arguments, and the function takes {signature}"
    return None
