"""Streams and futures: those of a plugin as Python reads them, and yours as a plugin does."""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from ._running import on_thread
from .errors import PluginError

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Coroutine, Generator, Iterator
    from typing import Any, Self

    from ._engine import core

    Pull = Callable[[core.Kill | None, contextvars.Context | None], Any]

T = TypeVar("T")

_END: Any = object()  # no value

# Seconds after which a reader that waits for another one looks whether it should.
_LOOK = 0.05


class _Turns:
    """Readers of one stream wait for it one at a time, so that each value is for one of them, in their order."""

    __slots__ = ("_lock", "_process")

    def __init__(self) -> None:
        # A function of yours may read on the thread of a reader that waits: inline.
        self._lock = threading.RLock()
        self._process = os.getpid()

    @contextmanager
    def one(self, kill: core.Kill | None) -> Iterator[None]:
        """
        Wait for a turn.

        Raises:
            PluginError: the reader was killed first, and takes nothing from others.
        """
        is_mine = self._lock.acquire(timeout=_LOOK)
        # In a child that was forked meanwhile nobody gives it back, and there is nothing to wait for.
        while not is_mine and os.getpid() == self._process:
            if kill is not None and kill.killed:
                raise PluginError(
                    "nothing of a plugin's stream", "its reader gave up while another one waited", "read it again"
                )
            is_mine = self._lock.acquire(timeout=_LOOK)
        try:
            yield
        finally:
            if is_mine:
                self._lock.release()


class PluginStream(Generic[T]):
    """
    A stream of a plugin's: an iterator, and an asynchronous one, of its values; of bytes, by the piece.

    The plugin runs while the next value is waited for, each time within the limits of a call, and stands still
    otherwise. It hears of the end when the stream is closed, or nothing refers to it any more.

    Any number of threads and tasks may read it: each value comes to one of them.
    """

    __slots__ = ("__weakref__", "_home", "_native", "_turns", "_values")

    def __init__(self, native: core.PluginStream, home: Streams) -> None:
        self._native: core.PluginStream | None = native
        self._home = home
        self._turns = _Turns()
        self._values: deque[T] = deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """
        Wait for the next value.

        Raises:
            GuestError: the plugin ended instead of writing, or wrote nothing within the limits of a call.
            PluginError: its instance is gone, or stands still until the function returns that the stream was given to.
        """
        values = self._values
        while True:
            try:
                return values.popleft()
            except IndexError:
                if not self._more():
                    raise StopIteration from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """Await the next value; as `next` otherwise."""
        values = self._values
        while True:
            try:
                return values.popleft()
            except IndexError:
                if self._native is None or not await self._home.apull(self._more):
                    raise StopAsyncIteration from None

    def close(self) -> None:
        """Let go of it: the plugin hears that nobody reads it any more when it runs the next time."""
        self._native = None
        self._values.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _more(self, kill: core.Kill | None = None, context: contextvars.Context | None = None) -> bool:
        """Wait for values unless there are some; there are none where it is over."""
        with self._turns.one(kill):
            if self._values:
                return True
            native = self._native
            if native is None:
                return False
            row = native.pull(kill, context)
            if row is None or self._native is None:
                self._native = None
                # A function of the host's may have read some, inside of this.
                return bool(self._values)
            values: Any = [row] if isinstance(row, bytes) else row
            self._values.extend(values)
            return True

    def __reduce__(self) -> Any:  # noqa: ANN401 - never returns
        raise TypeError("a stream is in a plugin, and cannot be copied or pickled")

    def __repr__(self) -> str:
        return f"<{'closed ' if self._native is None else ''}stream of a plugin>"


class PluginFuture(Generic[T]):
    """
    A value that a plugin gives later: `future.result()`, or `await future`, as often as it is asked for.

    The plugin runs while it is waited for, within the limits of a call, and stands still otherwise.

    Any number of threads and tasks may wait for it.
    """

    __slots__ = ("__weakref__", "_home", "_native", "_turns", "_value")

    def __init__(self, native: core.PluginStream, home: Streams) -> None:
        self._native: core.PluginStream | None = native
        self._home = home
        self._turns = _Turns()
        self._value: T = _END

    def result(self) -> T:
        """
        Wait for it.

        Raises:
            GuestError: the plugin ended instead of giving it, or did not give it within the limits of a call.
            PluginError: it will never be given.
        """
        return self._given() if self._value is _END else self._value

    def __await__(self) -> Generator[Any, None, T]:
        return self._awaited().__await__()

    async def _awaited(self) -> T:
        return await self._home.apull(self._given) if self._value is _END else self._value

    def close(self) -> None:
        """Let go of it: the plugin hears that nobody waits for it any more when it runs the next time."""
        self._native = None

    def _given(self, kill: core.Kill | None = None, context: contextvars.Context | None = None) -> T:
        """Wait for it unless it is there."""
        with self._turns.one(kill):
            native = self._native
            if self._value is _END and native is not None:
                row = native.pull(kill, context)
                self._native = None
                if row:
                    self._value = row[0]
            if self._value is _END:
                raise PluginError(
                    "no value of a plugin's future", "it was closed, or the plugin gave none", "call the function again"
                )
            return self._value

    def __reduce__(self) -> Any:  # noqa: ANN401 - never returns
        raise TypeError("a future is in a plugin, and cannot be copied or pickled")

    def __repr__(self) -> str:
        return "<future of a plugin>"


class Streams:
    """
    What the native side makes the streams of one plugin with, and asks for the values of those that it is given.

    Args:
        pull: makes a call for an event loop; on a thread of its own unless given.
        bridge: makes a function that can be called of an `async def`; in an event loop of its own unless given.
    """

    def __init__(
        self,
        pull: Callable[[Pull], Coroutine[Any, Any, Any]] | None = None,
        bridge: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
    ) -> None:
        self._pull, self._bridge = pull, bridge

    def made(self, native: core.PluginStream, is_future: bool) -> PluginStream[Any] | PluginFuture[Any]:
        """Make the object for one of the plugin's."""
        return PluginFuture(native, self) if is_future else PluginStream(native, self)

    async def apull(self, pull: Pull) -> Any:  # noqa: ANN401 - what that gives
        """Have it waited for on a thread, where the event loop of its caller goes on."""
        if self._pull is not None:
            return await self._pull(pull)
        return await on_thread(lambda kill: pull(kill, None))

    def feed(self, value: Any, is_future: bool) -> Callable[[], Any]:  # noqa: ANN401 - called by the native side
        """
        Make what gives one value after the other, and then raises StopIteration.

        Raises:
            TypeError: nothing comes from it.
        """
        if isinstance(value, (PluginStream, PluginFuture)) and value._home is self:  # noqa: SLF001 - the same module
            raise TypeError(
                "this is a stream of the plugin itself, which stands still while it is read for it\n"
                "hint: give it what was read of it: `list(stream)`"
            )
        if is_future:
            return self._future(value)
        if hasattr(value, "__iter__") and not (self._bridge is not None and hasattr(value, "__aiter__")):
            given: Iterator[Any] = iter(value)
            return given.__next__
        if hasattr(value, "__aiter__"):
            return self._ahead(value.__aiter__().__anext__)
        raise TypeError(
            f"expected an iterable, not {type(value).__name__:.100}\n"
            "hint: give a list, an iterator, or an asynchronous one"
        )

    def _future(self, value: Any) -> Callable[[], Any]:  # noqa: ANN401 - a value of any type
        if hasattr(value, "__await__"):
            return _Once(self._ahead(_awaiting(value)), value)
        if callable(getattr(value, "result", None)):
            return _Once(value.result, None)
        raise TypeError(
            f"expected something to be awaited, not {type(value).__name__:.100}\n"
            "hint: give a coroutine, or a future with `result()`"
        )

    def _ahead(self, step: Callable[[], Coroutine[Any, Any, Any]]) -> Callable[[], Any]:
        """Call what is to be awaited: in the caller's event loop, or in one of its own."""

        async def ahead() -> tuple[Any, ...]:
            # No coroutine may raise StopIteration, and a task should not end as StopAsyncIteration.
            try:
                return (await step(),)
            except StopAsyncIteration:
                return ()

        call = _Loop(ahead) if self._bridge is None else self._bridge(ahead)

        def value() -> Any:  # noqa: ANN401 - a value of any type
            came = call()
            if not came:
                raise StopIteration
            return came[0]

        return value


def _awaiting(value: Any) -> Callable[[], Coroutine[Any, Any, Any]]:  # noqa: ANN401 - what can be awaited
    async def awaited() -> Any:  # noqa: ANN401 - a value of any type
        return await value

    return awaited


class _Once:
    """Gives one value. A coroutine that nobody came to await is closed with it, and complains to nobody."""

    def __init__(self, value: Callable[[], Any], coroutine: Any) -> None:  # noqa: ANN401 - what can be awaited
        self._value: Callable[[], Any] | None = value
        self._coroutine = coroutine

    def __call__(self) -> Any:  # noqa: ANN401 - a value of any type
        if self._value is None:
            raise StopIteration
        value, self._value = self._value, None
        return value()

    def __del__(self) -> None:
        if self._value is not None and hasattr(self._coroutine, "close"):
            self._coroutine.close()


class _Loop:
    """Runs a coroutine for each call in one event loop, which lasts as long as what they are of."""

    def __init__(self, step: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._step = step
        self._loop: Any = None

    def __call__(self) -> Any:  # noqa: ANN401 - what the step gives
        import asyncio

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._run()
        # Inline, in a call that a coroutine made: its loop stands still meanwhile, and has no other inside of it.
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._run).result()

    def _run(self) -> Any:  # noqa: ANN401 - what the step gives
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(self._step())

    def __del__(self) -> None:
        if self._loop is not None and not self._loop.is_running():
            self._loop.close()
