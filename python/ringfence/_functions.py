"""Functions of yours that a session's code calls by name: described to the guest, judged, and called."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import inspect
import keyword
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING

from ._text import quote
from ._value import Value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from concurrent.futures import Future
    from typing import Any

    Hook = Callable[["Call"], object]

# How long coroutines that were cancelled at the end of a turn may take to end.
_LAST_WAIT_SECONDS = 1.0
_KEPT_EXCEPTIONS = 100
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


# What Ruby raises instead of an error of these, and what it puts before the words of the last.
_IN_RUBY = {"ValueError": "ArgumentError", "TimeoutError": "Timeout::Error", "PermissionError": "Errno::EACCES"}
_RUBYS_WORDS = "Permission denied - "


# Those with a loop of a guest's thread, which that thread closes at its end: sessions may be gone by then.
_with_loops: set[Functions] = set()


class Functions:
    """
    The functions of one session, called on the guest's thread with plain values.

    It knows nothing of the session: what holds functions would otherwise hold itself.
    """

    __slots__ = (
        *("__weakref__", "_before_call", "_context", "_functions", "_loop", "_own", "_pending", "_raised", "_started"),
    )

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
        # The loop of each thread that had to have one, and the calls that are under way, by their numbers.
        self._own: dict[int, asyncio.AbstractEventLoop] = {}
        self._started: dict[int, Future[Any] | asyncio.Task[Any]] = {}

        # What a guest was told of last: one of them may be what it does not catch.
        self._raised: deque[Exception] = deque(maxlen=_KEPT_EXCEPTIONS)

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

    def given(self) -> tuple[list[tuple[str, str, str, bool]], Borrowed]:
        """Give what the native session takes: what the guest is told, and what is called."""
        return self.described(), Borrowed(self)

    def begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Begin a turn: calls see the context variables of its caller, and what they await runs in that loop."""
        self._context = contextvars.copy_context()
        self._loop = loop
        self._started = {}
        self._raised.clear()

    def end(self) -> None:
        """End it: what is still awaited for it is cancelled, in the loop of its caller or of a thread left behind."""
        pending, self._pending = self._pending, set()
        for future in list(pending):
            future.cancel()
        for own in list(self._own.values()):
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                own.call_soon_threadsafe(_cancel_all, own)

    def finish(self) -> None:
        """End the guest's thread: its loop, if it had to have one, is closed."""
        own = self._own.pop(threading.get_ident(), None)
        if own is None:
            return
        try:
            if tasks := _cancel_all(own):
                own.run_until_complete(asyncio.wait(tasks, timeout=_LAST_WAIT_SECONDS))
            own.run_until_complete(own.shutdown_asyncgens())
        finally:
            own.close()
            if not self._own:
                _with_loops.discard(self)

    def __call__(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> object:
        """Make one call; an exception reaches the guest, one that is no `Exception` ends the turn."""
        try:
            value = self._called(name, args, kwargs)
            # Most are plain, and asking whether they can be awaited takes longer than the call.
            return value if type(value) in _PLAIN else self._finished(value)
        except Exception as error:
            self._raised.append(error)
            raise

    def start(self, number: int, name: str, args: list[Any], kwargs: dict[str, Any]) -> tuple[bool, object]:
        """Begin one; give whether it has ended, as what nobody has to await does at once, and its value."""
        try:
            value = self._called(name, args, kwargs)
        except Exception as error:
            self._raised.append(error)
            raise
        if not inspect.isawaitable(value):
            return True, value
        self._started[number] = self._scheduled(value)
        return False, None

    def wait(self, seconds: float) -> list[tuple[int, bool, object]]:
        """Wait until one that was begun has ended, or so long; give numbers, whether each failed, value or error."""
        started = self._started
        tasks = [each for each in started.values() if isinstance(each, asyncio.Task)]
        futures = [each for each in started.values() if not isinstance(each, asyncio.Task)]
        if futures:
            concurrent.futures.wait(futures, seconds, concurrent.futures.FIRST_COMPLETED)
        elif tasks:
            first = asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            self._own_loop().run_until_complete(first)
        ended = [(number, *_outcome(started.pop(number))) for number in list(started) if started[number].done()]
        self._raised.extend(value for _, _, value in ended if isinstance(value, Exception))
        return ended

    def cancel(self, number: int) -> None:
        """End one that was begun: nobody waits for it."""
        if (started := self._started.pop(number, None)) is not None:
            started.cancel()

    def raised(self, kind: str, message: str) -> Exception | None:
        """Find the exception of this turn that a guest tells of by its type and message."""
        for error in reversed(self._raised):
            name, told = type(error).__name__, {str(error), *(arg for arg in error.args if isinstance(arg, str))}
            told |= {each.partition("\n")[0] for each in told}  # SQLite tells one line
            ours = kind in (name, _IN_RUBY.get(name)) and message.removeprefix(_RUBYS_WORDS) in told
            if ours or message in {f"{name}: {each}" for each in told}:
                return error
        return None

    def _called(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> object:
        """Ask the hook and make the call; what has to be awaited is given as such."""
        given: Iterable[Any] = args
        if kwargs and not all(isinstance(key, str) for key in kwargs):
            raise TypeError("names of arguments are text")
        if self._before_call is not None:
            call = self._judged(self._before_call, Call(name, tuple(args), kwargs))
            name, given, kwargs = call.name, call.args, call.kwargs
        function = self._functions.get(name)
        if function is None:
            raise NameError(f"there is no function `{quote(name)}`")
        return self._context.copy().run(function, *given, **kwargs)

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
        awaited = self._scheduled(value)
        if isinstance(awaited, asyncio.Task):
            return self._own_loop().run_until_complete(awaited)
        return awaited.result()

    def _scheduled(self, value: Awaitable[object]) -> Future[Any] | asyncio.Task[Any]:
        """Have it go on in the caller's loop; where that has none, in the thread's own, whenever that is run."""
        context = self._context.copy()
        # As it is: a coroutine that is cancelled before its first step was awaited all the same.
        coroutine = value if inspect.iscoroutine(value) else _awaited(value)
        if self._loop is None:
            return self._own_loop().create_task(coroutine, context=context)
        pending = self._pending
        future: Future[Any] = context.run(asyncio.run_coroutine_threadsafe, coroutine, self._loop)
        pending.add(future)
        future.add_done_callback(pending.discard)
        if pending is not self._pending:  # the turn ended between the two
            future.cancel()
        return future

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        thread = threading.get_ident()
        if thread not in self._own:
            _with_loops.add(self)
            self._own[thread] = asyncio.new_event_loop()
        return self._own[thread]


class Borrowed:
    """
    What the native session calls: functions that belong to the `Session` that opened it.

    The collector cannot look into the native one. An object that has a session and gives it its own methods would never
    be freed if that held them.
    """

    __slots__ = ("_owned",)

    def __init__(self, functions: Functions) -> None:
        self._owned = weakref.ref(functions)

    def __call__(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> object:
        """Make one call."""
        return self._functions()(name, args, kwargs)

    def start(self, number: int, name: str, args: list[Any], kwargs: dict[str, Any]) -> tuple[bool, object]:
        """Begin one."""
        return self._functions().start(number, name, args, kwargs)

    def wait(self, seconds: float) -> list[tuple[int, bool, object]]:
        """Wait for those that were begun."""
        return self._functions().wait(seconds)

    def cancel(self, number: int) -> None:
        """End one that was begun."""
        self._functions().cancel(number)

    def finish(self) -> None:
        """End the guest's thread."""
        functions = self._owned()
        if functions is not None:
            functions.finish()

    def _functions(self) -> Functions:
        functions = self._owned()
        if functions is None:  # of a guest that was left behind
            raise ReferenceError("its session is gone")
        return functions


async def _awaited(value: Awaitable[object]) -> object:
    return await value


def _cancel_all(loop: asyncio.AbstractEventLoop) -> set[asyncio.Task[Any]]:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    return tasks


def _outcome(ended: Future[Any] | asyncio.Task[Any]) -> tuple[bool, object]:
    try:
        return False, ended.result()
    except BaseException as error:  # noqa: BLE001 - told to the guest, or what ends the turn
        return True, error


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
