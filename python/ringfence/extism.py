"""
Plugins that were built for Extism: bytes in, bytes out.

They need nothing of Extism's own runtime: what it gives to its plugins (blocks of memory, input and output,
configuration, variables, messages) is given here by the host, within the policy's limits.

    import ringfence.extism

    with ringfence.extism.Plugin("count_vowels.wasm", config={"vowels": "aeiou"}) as plugin:
        print(plugin.call("count_vowels", b"hello"))
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ._plugin import Plugin as _Plugin
from ._plugin_imports import is_async
from ._plugin_snapshot import PluginSnapshot as _Snapshot
from ._plugin_snapshot import loaded
from ._text import quote
from ._units import to_size
from .errors import PluginError, ResultError, RingfenceError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Any, Self

    from ._isolation import Isolation
    from ._plugin import PluginUsage
    from ._policy import Policy
    from ._program import Program

__all__ = ["ExtismError", "Plugin", "PluginSnapshot"]

_LOG = logging.getLogger("ringfence.extism")
_LEVELS = (5, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
_SILENT = 5
# Of what a plugin says went wrong.
_SHOWN_CHARACTERS = 300
# A module that is a program begins anew with each call of this, as Extism has it.
_PROGRAM = "_start"
_USER = "extism:host/user"


class ExtismError(ResultError):
    """
    What a plugin for Extism says went wrong.

    Attributes:
        value: its own words.
        status: what it gave instead of 0; -1 where it gave 0 and said what went wrong all the same.
    """

    status: int = -1

    def __init__(self, *given: object) -> None:
        super().__init__(*given)
        fix = "read what it says, or ask who built it which input it expects"
        RingfenceError.__init__(self, self.what, quote(str(self.value), _SHOWN_CHARACTERS), fix)


class Plugin:
    """
    One live plugin for Extism. Its functions take bytes and give bytes.

    What a call that traps or reaches a limit leaves is poisoned, as of a `ringfence.Plugin`; an error that the plugin
    tells of itself is not.

    Args:
        program: a path, the bytes themselves, or a `Program`; a core module.
        policy: what it may do; nothing unless given. Its WASI is the policy's; its requests of HTTP are refused.
        config: text that it may read, by name.
        functions: functions of yours that it imports, by name. Their parameters are `bytes`, or `str` and `int` where
            they are annotated so; they give `bytes`, `str`, None, or an `int` if they are annotated so. An `async def`
            is awaited.
        var_bytes: how much it may keep in variables, which live as long as it does; bytes, or "1MiB".
        stub: let functions be missing; a call of one of those is a trap.
        isolation: what keeps it from this process, as for `ringfence.Plugin`.
        tenant: whose it is, as for `ringfence.Plugin`.

    Raises:
        ProgramNotFound: there is no such program.
        LoadError: it is no core module, imports what is not there, or functions are missing.
        PolicyError: `isolation` and `tenant` contradict each other.
        Busy: in isolation, as many child processes as there may be have guests.
    """

    def __init__(
        self,
        program: str | os.PathLike[str] | bytes | Program,
        *,
        policy: Policy | None = None,
        config: Mapping[str, str] | None = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        var_bytes: int | str = "1MiB",
        stub: bool = False,
        isolation: Isolation = "wasm",
        tenant: str | None = None,
    ) -> None:
        granted, given = _granted(config, functions, var_bytes)
        where: dict[str, Any] = {"isolation": isolation, "tenant": tenant}
        self._plugin = _Extism(granted, program, policy=policy, imports=given, stub=stub, **where)
        self.program, self.policy = self._plugin.program, self._plugin.policy

    @property
    def functions(self) -> list[str]:
        """What can be called."""
        return [name for name in self._plugin.exports if hasattr(self._plugin.exports[name], "signature")]

    def call(self, name: str, data: bytes | bytearray | memoryview | str = b"") -> bytes:
        """
        Call a function and wait for its output.

        Args:
            name: what the plugin exports.
            data: its input; text is given as UTF-8.

        Raises:
            ExtismError: the plugin says that something went wrong.
            PluginError: it has no such function, or it is poisoned, closed, or in a call.
        """
        return self._called(name, data, lambda function, given: function(given))

    def _called(
        self, name: str, data: bytes | bytearray | memoryview | str, make: Callable[[Any, Any], tuple[Any, ...]]
    ) -> bytes:
        try:
            function = self._plugin.exports[name]
        except KeyError:
            function = None
        if not hasattr(function, "signature"):
            raise PluginError(
                f"no call of the plugin `{self.program.name}`",
                f"it exports no function {name!r:.100} that takes its input by Extism",
                f"call one of these: {', '.join(quote(name, 60) for name in self.functions)[:500]}",
            )
        code, output, error, messages = make(function, data.encode() if isinstance(data, str) else data)
        for level, text in messages:
            _LOG.log(_LEVELS[level], "%s: %s", self.program.name, quote(text.decode(errors="replace")))
        if name == _PROGRAM:
            self._plugin.restart()
        if code == 0 and not error:
            return output  # type: ignore[no-any-return]
        raise _said(name, code, error.decode(errors="replace"))

    async def acall(self, name: str, data: bytes | bytearray | memoryview | str = b"") -> bytes:
        """
        Call a function while the event loop goes on; as `call`.

        A task that is cancelled ends the guest where it is, and the plugin is poisoned, as at a limit.
        """
        import contextvars

        from ._running import on_thread

        context = contextvars.copy_context()
        return await on_thread(
            lambda kill: self._called(
                name, data, lambda function, given: function.awaited(kill, context, False, (given,), {})
            )
        )

    @property
    def poisoned(self) -> str | None:
        """Why it cannot be called any more, or None while it can."""
        return self._plugin.poisoned

    @property
    def usage(self) -> PluginUsage:
        """What it has used so far."""
        return self._plugin.usage

    def snapshot(self) -> PluginSnapshot:
        """
        Take what it is between two calls, with its variables, to fork plugins from later.

        Raises:
            PluginError: it cannot be captured, and why; a call is under way; it is poisoned or closed.
        """
        return PluginSnapshot(self._plugin.snapshot())

    def fork(self) -> Plugin:
        """
        Open a plugin that goes on from where this one is, with its variables; neither sees the other then.

        Raises:
            PluginError: it cannot be captured, and why; a call is under way; it is poisoned or closed.
        """
        return self.snapshot().fork()

    def fork_many(self, count: int) -> list[Plugin]:
        """Open `count` plugins that go on from where this one is, as `fork` does."""
        return self.snapshot().fork_many(count)

    def restart(self) -> None:
        """Begin anew with a new instance, without variables."""
        self._plugin.restart()

    def close(self) -> None:
        """Free everything; a call that is under way goes on, and is the last."""
        self._plugin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:  # noqa: ANN401 - never returns
        # It raises: the plugin stays where it is.
        return self._plugin.__reduce__()

    def __repr__(self) -> str:
        return f"<extism.Plugin {self.program.name!r}>"


class PluginSnapshot:
    """
    What a plugin for Extism was between two calls: its memory, and its variables.

    Plugins are forked from it as often as one likes; none sees another.
    """

    __slots__ = ("_snapshot",)

    def __init__(self, snapshot: _Snapshot, /) -> None:
        self._snapshot = snapshot

    @property
    def program(self) -> Program:
        """What its plugin was loaded from."""
        return self._snapshot.program

    def fork(self) -> Plugin:
        """
        Open a plugin that goes on from here.

        Raises:
            PluginError: the snapshot is of another process.
        """
        return self.fork_many(1)[0]

    def fork_many(self, count: int) -> list[Plugin]:
        """Open `count` plugins that go on from here, as `fork` does."""
        return [_faced(plugin) for plugin in self._snapshot.fork_many(count)]

    def save(self, path: str | os.PathLike[str], *, key: bytes | None = None) -> None:
        """
        Write it to a file, as `ringfence.PluginSnapshot.save` does; with its variables, in the clear.

        Args:
            path: where; a file that is there already is replaced.
            key: what authenticates it, as for `ringfence.PluginSnapshot.save`.

        Raises:
            HostError: it cannot be written; what was there is as it was.
            PolicyError: `key` is too short.
            PluginError: the snapshot is of another process.
        """
        self._snapshot.save(path, key=key)

    async def asave(self, path: str | os.PathLike[str], *, key: bytes | None = None) -> None:
        """Write it to a file while the event loop goes on; as `save`."""
        await self._snapshot.asave(path, key=key)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        program: str | os.PathLike[str] | bytes | Program,
        *,
        key: bytes | None = None,
        policy: Policy | None = None,
        allow_wider: bool = False,
        config: Mapping[str, str] | None = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        var_bytes: int | str = "1MiB",
        stub: bool = False,
    ) -> PluginSnapshot:
        """
        Read a snapshot that was saved; nothing of the file is looked at before it was proven.

        Args:
            path: the file.
            program: the program that it was saved with.
            key: what it was saved with; without one, the key of this user on this machine.
            policy: what its forks may do, as for `ringfence.PluginSnapshot.load`.
            allow_wider: let `policy` grant more.
            config: as for `Plugin`: it is not in the file.
            functions: as for `Plugin`.
            var_bytes: as for `Plugin`; no less than its variables have.
            stub: as for `Plugin`.

        Raises:
            SnapshotError: it is no saved snapshot, or is not as it was written; by its kind, as of
                `ringfence.PluginSnapshot.load`.
            PolicyError: `policy` is wider than the one that it was saved under, or that cannot be had here; or its
                variables have more than `var_bytes`.
            LoadError: what it imports is not given as it should be.
        """
        granted, given = _granted(config, functions, var_bytes)
        of = object.__new__(_Extism)
        of._extism = granted
        return cls(loaded(of, path, program, key, policy, allow_wider=allow_wider, imports=given, stub=stub))

    @classmethod
    async def aload(
        cls,
        path: str | os.PathLike[str],
        program: str | os.PathLike[str] | bytes | Program,
        **words: Any,  # noqa: ANN401 - as for `load`
    ) -> PluginSnapshot:
        """Read a snapshot that was saved while the event loop goes on; as `load`."""
        from ._running import on_thread

        return await on_thread(lambda _: cls.load(path, program, **words))

    def __repr__(self) -> str:
        return f"<extism.PluginSnapshot {self.program.name!r}>"


class _Extism(_Plugin):
    """The same as a plugin whose functions are called with everything that Extism's are."""

    _how = 'give a function for each, by its name: `functions={"name": function}`'

    def __init__(self, granted: tuple[Any, ...], program: Any, **given: Any) -> None:  # noqa: ANN401 - as for `Plugin`
        self._extism = granted
        super().__init__(program, **given)

    def _granted(self) -> tuple[Any, ...]:
        return self._extism

    def _given(self, imports: Mapping[str, object], wanted: list[Any]) -> Mapping[str, object]:
        # Those of before 1.0 import them from `env`.
        used = {name for _, functions, _ in wanted for name, *_ in functions}
        nowhere: dict[str, object] = {f"{_USER}: {name}": {} for name in imports if name not in used}
        given: dict[str, object] = {}
        for of, functions, _ in wanted:
            yours = [(name, imports.get(name), result is not None) for name, _, result, _ in functions]
            given[of] = {name: one.fitted(is_wanted=wants) for name, one, wants in yours if isinstance(one, _Yours)}
        return {**given, **nowhere}


def _faced(plugin: Any) -> Plugin:  # noqa: ANN401 - an `_Extism`, which the snapshot of one gives
    fork = object.__new__(Plugin)
    fork._plugin, fork.program, fork.policy = plugin, plugin.program, plugin.policy
    return fork


def _granted(
    config: Mapping[str, str] | None, functions: Mapping[str, Callable[..., Any]] | None, var_bytes: int | str
) -> tuple[tuple[Any, ...], dict[str, _Yours]]:
    """Say what a plugin is granted, and give the functions that it imports."""
    functions = {} if functions is None else functions
    if not isinstance(functions, Mapping):
        raise TypeError(
            f'`functions` has each by its name, and is {functions!r:.60}\nhint: `functions={{"name": function}}`'
        )
    memory = to_size(var_bytes) if isinstance(var_bytes, str) else var_bytes
    if type(memory) is not int or not 0 <= memory < 1 << 63:
        raise ValueError(f'`var_bytes` cannot be {var_bytes!r:.60}\nhint: `var_bytes="1MiB"`, or 0 for no variables')
    described = {name: _blocks(function) for name, function in functions.items()}
    config = dict(config or {})
    for name, value in config.items():
        if {type(name), type(value)} != {str}:
            raise TypeError(f'the configuration {name!r:.60} is not text\nhint: `config={{"name": "text"}}`')
    level = next((at for at, known in enumerate(_LEVELS) if _LOG.isEnabledFor(known)), _SILENT)
    granted = (config, {name: blocks for name, (blocks, _) in described.items()}, memory, level)
    yours = {
        name: _Yours(function, described[name][1], gives_bytes=described[name][0][1])
        for name, function in functions.items()
    }
    return granted, yours


def _said(function: str, code: int, message: str) -> ExtismError:
    error = ExtismError(function, message or f"it gave the code {code}")
    error.status = code or -1
    return error


def _blocks(function: Callable[..., Any]) -> tuple[tuple[list[bool], bool], list[bool]]:
    """Say of parameters and of what a function gives whether they are blocks of memory, and which of those are text."""
    if not callable(function):
        raise TypeError(f"a function of yours cannot be {function!r:.60}: a guest calls it\nhint: give a function")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, and does not tell
        return ([], True), []

    def is_number(annotation: object) -> bool:
        return annotation in (int, float, "int", "float")

    kinds = [parameter.annotation for parameter in signature.parameters.values()]
    gives = signature.return_annotation
    numbers = [not is_number(kind) for kind in kinds]
    texts = [kind in (str, "str") for kind in kinds]
    return (numbers, not is_number(gives) and gives not in (None, "None")), texts


class _Yours:
    """A function of yours, and what it takes and gives."""

    def __init__(self, function: Callable[..., Any], texts: list[bool], *, gives_bytes: bool) -> None:
        self._function, self._texts = function, texts
        # What it gives with None, to a guest that wants something: nothing is the block at 0.
        self._nothing = b"" if gives_bytes else 0

    def fitted(self, *, is_wanted: bool) -> Callable[..., Any]:
        """Give it as it is called with numbers and bytes; `is_wanted` where the guest takes what it gives."""
        function, texts = self._function, self._texts

        def taken(args: tuple[Any, ...]) -> list[Any]:
            return [arg.decode() if at < len(texts) and texts[at] else arg for at, arg in enumerate(args)]

        def given(answer: Any) -> Any:  # noqa: ANN401 - numbers or bytes
            if isinstance(answer, str):
                return answer.encode()
            return self._nothing if answer is None and is_wanted else answer

        if is_async(function):

            @functools.wraps(function)
            async def waiting(*args: Any) -> Any:  # noqa: ANN401 - numbers or bytes
                return given(await function(*taken(args)))

            return waiting

        @functools.wraps(function)
        def called(*args: Any) -> Any:  # noqa: ANN401 - numbers or bytes
            return given(function(*taken(args)))

        return called
