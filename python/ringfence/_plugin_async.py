"""Plugins for event loops: their functions are awaited, and `async def` functions of yours run in the caller's loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from typing import TYPE_CHECKING

from ._engine import core
from ._plugin import Exports, Plugin
from ._plugin_functions import Between
from ._plugin_names import member
from ._plugin_pool import PluginPool, checked
from ._plugin_resources import METHODS_LEAVE, Resource
from ._plugin_streams import Streams
from ._running import Running, on_thread
from .errors import PluginError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Coroutine, Mapping
    from concurrent.futures import Future
    from typing import Any, Literal, Self

    from ._isolation import Isolation
    from ._plugin import PluginUsage
    from ._plugin_snapshot import PluginSnapshot
    from ._policy import Policy
    from ._program import Program


class APlugin:
    """
    A `Plugin` whose functions are awaited: the event loop goes on while its guest computes.

    It is loaded by `async with`. Calls that come while every instance is in one wait for their turn, in their order.
    Cancelling a task ends its call at once; its instance is then poisoned, as after a limit.

    Args:
        program: as for `Plugin`.
        policy: as for `Plugin`.
        imports: as for `Plugin`. An `async def` runs in the event loop of the task that made the call; it is cancelled
            when the call ends without it. Other functions run on the guest's thread, with the task's context variables.
        instances: how many calls may be under way at one time, each in an instance of its own; with more than one they
            are a pool, as for `PluginPool`.
        fresh: as for `PluginPool`.
        stub: as for `Plugin`.
        isolation: as for `PluginPool`.
        tenant: as for `Plugin`.
        progress: as for `Plugin`.

    Raises:
        ValueError: there cannot be so many instances.
    """

    def __init__(
        self,
        program: str | os.PathLike[str] | bytes | Program,
        *,
        policy: Policy | None = None,
        imports: Mapping[str, object] | None = None,
        instances: int = 1,
        fresh: Literal["call"] | None = None,
        stub: bool = False,
        isolation: Isolation = "wasm",
        tenant: str | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        checked(instances, fresh)
        self._make = functools.partial(
            _Awaited,
            self._call,
            instances,
            program,
            policy=policy,
            imports=imports,
            fresh=fresh,
            stub=stub,
            isolation=isolation,
            tenant=tenant,
            progress=progress,
        )
        self._places = asyncio.Semaphore(instances)
        self._plugin: _Awaited | None = None
        self._exports: Exports | None = None

    @property
    def exports(self) -> Exports:
        """Its functions, to be awaited; types and interfaces as those of `Plugin`."""
        if self._exports is None:
            self._loaded()
            raise AssertionError
        return self._exports

    @property
    def imports(self) -> Exports:
        """The types of the interfaces that it imports."""
        return self._loaded().imports

    @property
    def poisoned(self) -> str | None:
        """Why it cannot be called any more, or None while it can."""
        return self._loaded().poisoned

    @property
    def usage(self) -> PluginUsage:
        """What it has used so far."""
        return self._loaded().usage

    async def asnapshot(self) -> PluginSnapshot:
        """
        Take what it is between two calls, to fork plugins from later, awaited ones or others; of a core module.

        Raises:
            PluginError: it cannot be captured, and why; it is poisoned or closed.
        """
        plugin = self._loaded()
        async with self._turn():
            return await on_thread(lambda _: plugin.snapshot())

    async def afork(
        self, *, policy: Policy | None = None, allow_wider: bool = False, imports: Mapping[str, object] | None = None
    ) -> APlugin:
        """
        Open a plugin that goes on from where this one is, which goes on too; of a core module.

        It is loaded already; `async with` closes it.

        Args:
            policy: what it may do instead of what this one may; no wider, see `Policy.wider_than`.
            allow_wider: let `policy` grant more.
            imports: objects instead of those that this one was given.

        Raises:
            PluginError: it cannot be captured, and why; it is poisoned or closed.
            PolicyError: `policy` is wider; says in what.
        """
        return (await self.afork_many(1, policy=policy, allow_wider=allow_wider, imports=imports))[0]

    async def afork_many(
        self,
        count: int,
        *,
        policy: Policy | None = None,
        allow_wider: bool = False,
        imports: Mapping[str, object] | None = None,
    ) -> list[APlugin]:
        """Open `count` plugins that go on from where this one is, as `afork` does."""
        snapshot = await self.asnapshot()
        return await snapshot.afork_many(count, policy=policy, allow_wider=allow_wider, imports=imports)

    @classmethod
    async def _forks(
        cls,
        snapshot: PluginSnapshot,
        count: int,
        *,
        instances: int = 1,
        fresh: Literal["call"] | None = None,
        **words: Any,  # noqa: ANN401 - as for `PluginSnapshot.afork`
    ) -> list[Self]:
        """Make awaited plugins that go on from a snapshot."""
        checked(instances, fresh)
        forks = []
        for _ in range(count):
            fork = object.__new__(cls)
            fork._places, fork._plugin, fork._exports = asyncio.Semaphore(instances), None, None
            forks.append(fork)
        calls = [fork._call for fork in forks]  # noqa: SLF001
        plugins = await on_thread(lambda _: _Awaited.forks(snapshot, calls, instances, fresh, **words), leave=True)
        for fork, plugin in zip(forks, plugins, strict=True):
            fork._begun(plugin)  # noqa: SLF001
        return forks

    async def arestart(self) -> None:
        """Begin anew with new instances."""
        plugin = self._loaded()
        await on_thread(lambda _: plugin.restart())

    async def areload(self, program: str | os.PathLike[str] | bytes | Program) -> None:
        """
        Swap its code for another's, if that has the same interface; as `Plugin.reload`.

        Raises:
            LoadError: it does not fit, each difference named, or it cannot be loaded. The old one goes on.
            PluginError: it was closed.
        """
        plugin = self._loaded()

        def reload() -> None:
            plugin.reload(program)
            self._exports = self._awaitable(plugin.exports)

        await on_thread(lambda _: reload(), leave=True)

    async def aclose(self) -> None:
        """Free everything; calls that are under way go on, and are the last."""
        if self._plugin is not None:
            await on_thread(lambda _: self._loaded().close())

    async def __aenter__(self) -> Self:
        if self._plugin is None:
            self._begun(await on_thread(lambda _: self._make(), leave=True))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a function, a class or an interface
        """Give what the plugin exports under a name that is none of ours."""
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if self._exports is None:
            self._loaded()
        return getattr(self._exports, name)

    def __reduce__(self) -> Any:  # noqa: ANN401 - never returns
        raise TypeError(f"{self!r} is live, and cannot be copied or pickled\nhint: load it where it is called")

    def __repr__(self) -> str:
        return "<APlugin, not loaded>" if self._plugin is None else f"<APlugin {self._plugin.program.name!r}>"

    def _loaded(self) -> _Awaited:
        if self._plugin is None:
            raise _NotLoadedError(
                "no call of a plugin", "it is not loaded yet", "load it: `async with APlugin(…) as plugin:`"
            )
        return self._plugin

    def _begun(self, plugin: _Awaited) -> None:
        self._plugin, self._exports = plugin, self._awaitable(plugin.exports)

    def _awaitable(self, exports: Exports) -> Exports:
        made: dict[int, object] = {}

        def awaitable(value: object) -> object:
            if id(value) not in made:
                if isinstance(value, core.PluginFunction):
                    made[id(value)] = AFunction(value, self._call)
                else:
                    made[id(value)] = self._awaitable(value) if isinstance(value, Exports) else value
            return made[id(value)]

        members = {name: awaitable(getattr(exports, name)) for name in dir(exports)}
        return Exports(members, {name: awaitable(exports[name]) for name in exports})

    def _turn(self) -> asyncio.Semaphore:
        """Give what is waited for until an instance is free."""
        if self._places.locked() and any(call.plugin is self for call in _within()):
            raise PluginError(
                f"no call of the plugin `{self._loaded().program.name}`",
                "a function that it calls calls it again, and every instance is in a call",
                "give it more instances than calls that are inside one another",
            )
        return self._places

    async def _call(self, make: Callable[[core.Kill, contextvars.Context], object]) -> object:
        """Make a call on a thread, when it is its turn."""
        async with self._turn():
            call = _Call(self, asyncio.get_running_loop())
            token = _CALL.set(call)
            try:
                context = contextvars.copy_context()
                return await call.on_thread(lambda kill: make(kill, context))
            finally:
                _CALL.reset(token)


class _NotLoadedError(PluginError, AttributeError):
    """What it will have, it does not have yet: `hasattr` says so."""


class AResource(Resource):
    """
    The same of a plugin that is awaited: its constructor, its methods and statics are, too.

    As an asynchronous context manager it is dropped at the end.
    """

    __slots__ = ()

    _leave = (*METHODS_LEAVE, "adrop")

    def drop(self) -> None:
        """Let go of it: the plugin hears of it before its next call. Twice is once."""
        self._handle.let_go()

    async def adrop(self) -> None:
        """
        Let go of it, and wait until the plugin has heard, unless a call is under way.

        Raises:
            GuestError: what the plugin does at its end ended otherwise, and the plugin is poisoned.
        """
        await on_thread(lambda _: self._handle.drop())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.adrop()


class AFunction(Between):
    """
    A function that a plugin exports, to be awaited.

    Attributes:
        signature: what it takes and gives, in WIT.
        Error: the class of what is raised for an error that is its result.
    """

    __slots__ = ("_call",)

    def __init__(
        self,
        function: core.PluginFunction,
        call: Callable[[Callable[[core.Kill, contextvars.Context], object]], Coroutine[Any, Any, object]],
    ) -> None:
        super().__init__(function)
        self._call = call

    async def __call__(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - values of any type
        """Call it; as the function of a `Plugin`."""
        return await self._call(lambda kill, context: self._function.awaited(kill, context, False, args, kwargs))

    async def result(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - values of any type
        """Call it, and give `Ok(…)` or `Err(…)` instead of raising an error that is its result."""
        return await self._call(lambda kill, context: self._function.awaited(kill, context, True, args, kwargs))

    def __repr__(self) -> str:
        return f"<function of a plugin to be awaited, {self.signature}>"


class _Call:
    """One call, and what is awaited for it in its caller's loop."""

    __slots__ = ("_loop", "_over", "_pending", "outer", "plugin")

    def __init__(self, plugin: APlugin | None, loop: asyncio.AbstractEventLoop) -> None:
        self.plugin, self._loop = plugin, loop
        self.outer = _CALL.get()
        self._pending: set[Future[Any]] = set()
        self._over = False

    async def on_thread(self, work: Callable[[core.Kill], object]) -> object:
        """Make it on a thread of its own; cancelled, its guest and what it waits for are ended first."""
        ended = asyncio.Event()

        def done() -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(ended.set)

        running = Running(work, done=done)
        try:
            await ended.wait()
        except BaseException:
            running.kill.kill()
            self._end()
            await ended.wait()
            running.end()
            raise
        finally:
            self._end()
        return running.wait()

    def wait_for(self, coroutine: Coroutine[Any, Any, object]) -> object:
        """Have it run in the caller's loop, and wait for it on the guest's thread."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        if self._over:
            future.cancel()
        return future.result()

    def _end(self) -> None:
        self._over = True
        for future in list(self._pending):
            future.cancel()


_CALL: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("_CALL", default=None)


def _within() -> list[_Call]:
    """List the calls that this one is made inside of."""
    calls: list[_Call] = []
    call = _CALL.get()
    while call is not None:
        calls.append(call)
        call = call.outer
    return calls


class _Awaited(PluginPool):
    """What an `APlugin` calls."""

    _resource = AResource
    _forked = Plugin

    def __init__(self, call: Callable[..., Coroutine[Any, Any, object]], *args: Any, **words: Any) -> None:  # noqa: ANN401 - as for a pool
        self._call = call
        super().__init__(*args, **words)

    @classmethod
    def forks(
        cls,
        snapshot: PluginSnapshot,
        calls: list[Callable[..., Coroutine[Any, Any, object]]],
        instances: int,
        fresh: Literal["call"] | None,
        *,
        policy: Policy | None = None,
        allow_wider: bool = False,
        imports: Mapping[str, object] | None = None,
    ) -> list[Self]:
        """Make one for each call that goes on from a snapshot; a pool is for one."""
        if not calls:
            return []
        of, native = snapshot._of, snapshot._native  # noqa: SLF001
        is_one = instances == 1 and fresh is None
        if not (is_one and isinstance(of, cls) and policy is None and imports is None and not allow_wider):
            under = object.__new__(cls)
            under._of_so_many(instances, fresh)
            under._call = calls[0]
            given: dict[str, Any] = {"allow_wider": allow_wider, "profile": False}
            native = snapshot._continued(under, policy, imports, **given)  # noqa: SLF001
            if not is_one:
                return [under]
            of = under
        natives = native.fork(len(calls))
        return [of._with(each, _call=call) for call, each in zip(calls, natives, strict=True)]  # noqa: SLF001

    def _begin_as(self, other: Self, program: Program, **words: Any) -> None:  # noqa: ANN401 - as for a pool
        self._call = other._call
        super()._begin_as(other, program, **words)

    def _awaited(self, exports: list[Any], functions: list[Any]) -> list[Any]:
        names = [name for _, declared, _ in exports for name, *_ in declared]
        # The others are awaited where they are found: types of values have no methods.
        return [
            AFunction(function, self._call) if member(name) else function
            for name, function in zip(names, functions, strict=True)
        ]

    def _instances(self) -> tuple[int, bool] | None:
        return super()._instances() if self.count > 1 or self.fresh else None

    def _bridge(self) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return _bridged

    def _streams(self) -> Streams:
        return Streams(_pulled, _bridged)


async def _pulled(pull: Callable[[core.Kill, contextvars.Context], object]) -> object:
    """Wait for a stream: inside of a call of the plugin, which writes it, or by a turn of its own."""
    call = _Call(None, asyncio.get_running_loop())
    token = _CALL.set(call)
    try:
        context = contextvars.copy_context()
        return await call.on_thread(lambda kill: pull(kill, context))
    finally:
        _CALL.reset(token)


def _bridged(function: Callable[..., Coroutine[Any, Any, object]]) -> Callable[..., object]:
    @functools.wraps(function)
    def called(*args: object) -> object:
        call = _CALL.get()
        if call is None:
            raise RuntimeError("an `async def` was called outside of any call that is awaited")
        return call.wait_for(function(*args))

    return called
