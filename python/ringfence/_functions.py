"""Functions of yours that a session's code calls by name: described to the guest, judged, and called."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import keyword
from typing import TYPE_CHECKING

from ._text import quote
from ._value import Value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from concurrent.futures import Future
    from typing import Any

    Hook = Callable[["Call"], object]

_PLAIN = frozenset({type(None), bool, int, float, str, bytes, list, dict})


class Call(Value):
    """
    A call of one of your functions, as a `before_call` hook sees it.

    Attributes:
        name: the function's name.
        args: what it is called with.
        kwargs: the same by name.
    """

    __slots__ = ("name", "args", "kwargs")
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __init__(self, name: str, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> None:
        self._fill(name=name, args=tuple(args), kwargs=dict(kwargs or {}))

    def __hash__(self) -> int:
        return hash(self.name)


class Functions:
    """
    The functions of one session, called on the guest's thread with plain values.

    It knows nothing of the session: what holds functions would otherwise hold itself.
    """

    __slots__ = ("_before_call", "_context", "_functions", "_loop", "_pending")

    def __init__(self, functions: Mapping[str, Callable[..., Any]], before_call: Hook | None) -> None:
        for name, function in functions.items():
            _check(name, function)
        if before_call is not None and not callable(before_call):
            raise TypeError(
                f"before_call cannot be {before_call!r}: it is called before each call\nhint: give a function"
            )
        self._functions = dict(functions)
        self._before_call = before_call
        self._context = contextvars.copy_context()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: set[Future[Any]] = set()

    @property
    def names(self) -> set[str]:
        """What they are called by."""
        return set(self._functions)

    def copy(self) -> Functions:
        """Give the same functions to another session."""
        return Functions(self._functions, self._before_call)

    def described(self) -> list[tuple[str, str, str, bool]]:
        """Give name, signature, doc, and whether it is an `async def`, of each: what the guest is told."""
        return [
            (name, _signature(function), inspect.getdoc(function) or "", _is_async(function))
            for name, function in self._functions.items()
        ]

    def begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Begin a turn: calls see the context variables of its caller, and what they await runs in that loop."""
        self._context = contextvars.copy_context()
        self._loop = loop

    def end(self) -> None:
        """End it: what is still awaited for it is cancelled."""
        for future in list(self._pending):
            future.cancel()
        self._pending.clear()

    def __call__(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> object:
        """Make one call; an exception reaches the guest, one that is no `Exception` ends the turn."""
        given: Iterable[Any] = args
        if kwargs and not all(isinstance(key, str) for key in kwargs):
            raise TypeError("names of arguments are text")
        if self._before_call is not None:
            call = self._judged(self._before_call, Call(name, tuple(args), kwargs))
            name, given, kwargs = call.name, call.args, call.kwargs
        function = self._functions.get(name)
        if function is None:
            raise NameError(f"there is no function `{quote(name)}`")
        value = self._context.copy().run(function, *given, **kwargs)
        # Most are plain, and asking whether they can be awaited takes longer than the call.
        return value if type(value) in _PLAIN else self._finished(value)

    def _judged(self, hook: Hook, call: Call) -> Call:
        """Ask the hook; whatever it does but to approve denies the call."""
        verdict = self._finished(self._context.copy().run(hook, call))
        if verdict is None or verdict is True:
            return call
        if isinstance(verdict, Call):
            return verdict
        if verdict is False:
            raise PermissionError(f"the call of `{quote(call.name)}` was refused")
        raise TypeError(f"the hook answered {type(verdict).__name__}: the call was refused")

    def _finished(self, value: object) -> object:
        """Await what has to be awaited: in the caller's loop, or where it has none, in one of its own."""
        if not inspect.isawaitable(value):
            return value
        loop = self._loop
        if loop is None:
            return asyncio.run(_awaited(value))
        future = asyncio.run_coroutine_threadsafe(_awaited(value), loop)
        self._pending.add(future)
        try:
            return future.result()
        finally:
            self._pending.discard(future)


async def _awaited(value: Awaitable[object]) -> object:
    return await value


def _check(name: object, function: object) -> None:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} cannot be a function's name: guest code calls it by that\nhint: give an identifier")
    if not callable(function):
        raise TypeError(f"`{name}` cannot be {function!r}: guest code calls it\nhint: give a function")


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


class _Hidden:
    """Stands for a default that the guest could do nothing with, and that may tell of the host."""

    def __repr__(self) -> str:
        return "..."


def _signature(function: Callable[..., Any]) -> str:
    try:
        try:
            signature = inspect.signature(function, eval_str=True)
        except Exception:  # noqa: BLE001 - a hint that means nothing at run time stays the text it is
            signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, and does not tell
        return "(*args, **kwargs)"
    parameters = [
        parameter
        if parameter.default is parameter.empty or type(parameter.default) in _PLAIN - {list, dict}
        else parameter.replace(default=_Hidden())
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters))
