"""Calls in fresh sandboxes, many at a time, as `concurrent.futures` has them: `SandboxPoolExecutor`."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, overload
from weakref import WeakSet

from ._engine import core
from ._isolation import MAX_WORKERS
from ._sandboxed import Sandboxed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from ._functions import Hook
    from ._isolation import Isolation
    from ._policy import Limits, Policy
    from ._turn import Turn

T = TypeVar("T")
# Functions whose definitions are kept.
_KEPT = 64


class SandboxPoolExecutor(Executor):
    """
    An executor whose every call runs in a sandbox of its own, as many at a time as it has threads.

    What is submitted is a plain function, which travels as its source, the source itself as text, or a `Sandboxed`; see
    there for what travels. `map` keeps the order. The future of a call that failed raises what `Turn.check` does:
    `GuestRaised` for what the function raised, `LimitReached` at a limit.

    Unlike a thread's or a process's, the future of a call that is under way can be cancelled: its guest is ended.
    Leaving the `with` block on Ctrl-C ends all of them.

    Args:
        max_workers: calls at a time; as many as there are processors, unless given.
        language: as for `Sandboxed`, and so are those below.
        policy: what a call may do; nothing unless given.
        limits: limits of each call; they may only narrow the policy's.
        functions: functions of yours that calls may call; from many threads at once.
        before_call: called with each `Call` of one of those.
        isolation: where calls run.
        tenant: whose calls they are.
        packages: packages of the Python Package Index.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        language: str = "python",
        policy: Policy | None = None,
        limits: Limits | None = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        before_call: Hook | None = None,
        isolation: Isolation = "wasm",
        tenant: str | None = None,
        packages: Iterable[str] = (),
    ) -> None:
        workers = len(os.sched_getaffinity(0)) if max_workers is None else max_workers
        if isolation != "wasm" and workers > MAX_WORKERS:
            raise ValueError(
                f"{workers} calls at a time would each need a process, and there are at most {MAX_WORKERS}\n"
                f"hint: write `max_workers={MAX_WORKERS}`"
            )
        self._words: dict[str, Any] = {
            "language": language,
            "policy": policy,
            "limits": limits,
            "functions": functions,
            "before_call": before_call,
            "isolation": isolation,
            "tenant": tenant,
            "packages": tuple(packages),
        }
        self._threads = ThreadPoolExecutor(workers, "ringfence")
        self._lock = threading.Lock()
        self._open: WeakSet[SandboxFuture[Any]] = WeakSet()
        self._known: dict[Callable[..., Any] | str, Sandboxed] = {}

    @overload
    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> SandboxFuture[T]: ...  # noqa: ANN401
    @overload
    def submit(self, fn: str, /, *args: Any, **kwargs: Any) -> SandboxFuture[Any]: ...  # noqa: ANN401
    def submit(self, fn: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> SandboxFuture[Any]:
        """
        Have it called with these arguments.

        Args:
            fn: the function, or its source.
            args: plain values.
            kwargs: the same by name.

        Raises:
            TypeError: the function does not travel into a sandbox.
            RuntimeError: the executor is shut down.
        """
        sandboxed = self._sandboxed(fn)
        future: SandboxFuture[Any] = SandboxFuture()
        with self._lock:
            self._threads.submit(_work, future, sandboxed, args, kwargs)
            self._open.add(future)
        return future

    @overload
    def map(self, fn: Callable[..., T], *iterables: Iterable[Any], **words: Any) -> Iterator[T]: ...  # noqa: ANN401
    @overload
    def map(self, fn: str, *iterables: Iterable[Any], **words: Any) -> Iterator[Any]: ...  # noqa: ANN401
    def map(self, fn: Callable[..., Any] | str, *iterables: Iterable[Any], **words: Any) -> Iterator[Any]:
        """
        Call it with each input; the values come in the inputs' order.

        Args:
            fn: the function, or its source.
            iterables: the inputs: as many as the function has parameters.
            words: `timeout`, in seconds for all of them; `chunksize` changes nothing here.

        Raises:
            TimeoutError: they took longer; those that have not ended are cancelled.
        """
        return super().map(fn, *iterables, **words)  # type: ignore[arg-type] # text is a function here

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """
        Take no more calls.

        Args:
            wait: until those that were submitted have ended.
            cancel_futures: cancel those that have not begun.
        """
        with self._lock:
            self._threads.shutdown(wait=False)
            waiting = [future for future in self._open if not future.running()]
        for future in waiting if cancel_futures else ():
            future.cancel()
        if wait:
            self._threads.shutdown()
            self._known.clear()

    def kill_workers(self) -> None:
        """Take no more calls, and end those that are under way: their futures are cancelled."""
        with self._lock:
            self._threads.shutdown(wait=False)
            unfinished = list(self._open)
        for future in unfinished:
            future.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):  # Ctrl-C, an exit: nobody waits for the values
            self.kill_workers()
        self.shutdown()

    def _sandboxed(self, function: Callable[..., Any] | str) -> Sandboxed:
        if isinstance(function, Sandboxed):
            return function
        with self._lock:
            known = self._known.pop(function, None) or Sandboxed(function, **self._words)
            self._known[function] = known  # the newest last
            if len(self._known) > _KEPT:
                del self._known[next(iter(self._known))]
            return known


class SandboxFuture(Future[T]):
    """
    What a call will come to.

    Attributes:
        turn: how it went, with what it wrote, used and was refused; None until it has ended.
    """

    turn: Turn | None = None

    def __init__(self) -> None:
        super().__init__()
        self._kill: core.Kill | None = None

    def cancel(self) -> bool:
        """Cancel it, though its guest is at work, which is ended; False if it has its value already."""
        # It counts as pending until it is over: what is running cannot be cancelled.
        cancelled = super().cancel()
        if cancelled and self._kill is not None:
            self._kill.kill()
        return cancelled

    def running(self) -> bool:
        """Whether its guest is at work."""
        return self._kill is not None and not self.done()

    def _begin(self) -> core.Kill:
        self._kill = kill = core.Kill()
        if self.cancelled():
            kill.kill()
        return kill


def _work(future: SandboxFuture[Any], sandboxed: Sandboxed, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Call it on a thread of the pool, and tell its future."""
    value, error = None, None
    if not future.cancelled():
        try:
            value, future.turn = sandboxed._called(args, kwargs, future._begin())  # noqa: SLF001
            future.turn.check()
        except BaseException as raised:  # noqa: BLE001 - raised again where it is waited for
            error = raised
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
        error = None  # the exception's frames hold this one
