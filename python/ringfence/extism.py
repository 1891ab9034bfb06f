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
from typing import TYPE_CHECKING

from ._plugin import Plugin as _Plugin
from ._text import quote
from ._units import to_size
from .errors import PluginError, ResultError, RingfenceError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from typing import Any, Self

    from ._isolation import Isolation
    from ._plugin import PluginUsage
    from ._policy import Policy
    from ._program import Program

__all__ = ["ExtismError", "Plugin"]

_LOG = logging.getLogger("ringfence.extism")
_LEVELS = (5, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
_SILENT = 5
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
        RingfenceError.__init__(self, self.what, str(self.value)[:300], fix)


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
            they are annotated so; they give `bytes`, `str`, None, or an `int` if they are annotated so.
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
        described = {name: _blocks(function) for name, function in (functions or {}).items()}
        config = dict(config or {})
        for name, value in config.items():
            if {type(name), type(value)} != {str}:
                raise TypeError(f'the configuration {name!r:.60} is not text\nhint: `config={{"name": "text"}}`')
        level = next((at for at, known in enumerate(_LEVELS) if _LOG.isEnabledFor(known)), _SILENT)
        granted = (
            config,
            {name: blocks for name, (blocks, _) in described.items()},
            to_size(var_bytes) if isinstance(var_bytes, str) else var_bytes,
            level,
        )
        given = {name: _fitted(function, described[name][1]) for name, function in (functions or {}).items()}
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
                f"call one of these: {', '.join(self.functions)[:500]}",
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

    def fork(self) -> Self:
        """
        Open a plugin that goes on from where this one is, with its variables; neither sees the other then.

        Raises:
            PluginError: it cannot be captured, and why; a call is under way; it is poisoned or closed.
        """
        return self.fork_many(1)[0]

    def fork_many(self, count: int) -> list[Self]:
        """Open `count` plugins that go on from where this one is, as `fork` does."""
        forks = []
        for plugin in self._plugin.fork_many(count):
            fork = object.__new__(type(self))
            fork.__dict__.update(self.__dict__, _plugin=plugin)
            forks.append(fork)
        return forks

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

    def __repr__(self) -> str:
        return f"<extism.Plugin {self.program.name!r}>"


class _Extism(_Plugin):
    """The same as a plugin whose functions are called with everything that Extism's are."""

    def __init__(self, granted: tuple[Any, ...], program: Any, **given: Any) -> None:  # noqa: ANN401 - as for `Plugin`
        self._extism = granted
        super().__init__(program, **given)

    def _granted(self) -> tuple[Any, ...]:
        return self._extism

    def _given(self, imports: Mapping[str, object], wanted: list[Any]) -> Mapping[str, object]:
        # Those of before 1.0 import them from `env`.
        used = {name for _, functions, _ in wanted for name, *_ in functions}
        nowhere: dict[str, object] = {f"{_USER}: {name}": {} for name in imports if name not in used}
        return {**{of: {name: imports.get(name) for name, *_ in functions} for of, functions, _ in wanted}, **nowhere}


def _said(function: str, code: int, message: str) -> ExtismError:
    error = ExtismError(function, message or f"it gave the code {code}")
    error.status = code or -1
    return error


def _blocks(function: Callable[..., Any]) -> tuple[tuple[list[bool], bool], tuple[list[bool], bool]]:
    """Say of parameters and of what a function gives whether they are blocks of memory, and which of those are text."""
    if not callable(function):
        raise TypeError(f"a function of yours cannot be {function!r:.60}: a guest calls it\nhint: give a function")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, and does not tell
        return ([], True), ([], False)

    def is_number(annotation: object) -> bool:
        return annotation in (int, float, "int", "float")

    kinds = [parameter.annotation for parameter in signature.parameters.values()]
    gives = signature.return_annotation
    numbers = [not is_number(kind) for kind in kinds]
    texts = [kind in (str, "str") for kind in kinds]
    return (numbers, not is_number(gives) and gives not in (None, "None")), (texts, False)


def _fitted(function: Callable[..., Any], kinds: tuple[list[bool], bool]) -> Callable[..., Any]:
    texts, _ = kinds

    @functools.wraps(function)
    def called(*args: Any) -> Any:  # noqa: ANN401 - numbers or bytes
        given = [arg.decode() if at < len(texts) and texts[at] else arg for at, arg in enumerate(args)]
        answer = function(*given)
        if isinstance(answer, str):
            return answer.encode()
        return answer

    return called
