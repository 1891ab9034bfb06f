"""A function whose every call runs in a fresh sandbox: `Sandboxed`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ._session import Session
from .errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from ._engine import core
    from ._functions import Hook
    from ._isolation import Isolation
    from ._policy import Limits, Policy
    from ._snapshot import Snapshot
    from ._turn import Turn

# What the guest calls to be given its arguments, and to give its value: values cross as those of functions do.
_TAKE, _GIVE = "_ringfence_take", "_ringfence_give"

# What is evaluated once, with the source to be taken; and what each call is.
_PYTHON = """
def _ringfence_define():
    import ast, inspect, linecache
    (source,) = _ringfence_take()
    linecache.cache["<function>"] = (len(source), None, source.splitlines(True), "<function>")
    tree = ast.parse(source, "<function>")
    last = tree.body.pop() if tree.body else None
    names = globals()
    if isinstance(last, ast.Expr):
        exec(compile(tree, "<function>", "exec"), names)
        function = eval(compile(ast.Expression(last.value), "<function>", "eval"), names)
    elif isinstance(last, ast.FunctionDef | ast.AsyncFunctionDef):
        tree.body.append(last)
        exec(compile(tree, "<function>", "exec"), names)
        function = names[last.name]
    else:
        function = None
    if not callable(function):
        raise TypeError("the source does not end with a function")
    if inspect.iscoroutinefunction(function):
        async def call():
            args, kwargs = _ringfence_take()
            _ringfence_give(await function(*args, **kwargs))
    else:
        def call():
            args, kwargs = _ringfence_take()
            _ringfence_give(function(*args, **kwargs))
    names["_ringfence_call"] = call
    return inspect.iscoroutinefunction(function)
_ringfence_define()
"""
_JAVASCRIPT = """
globalThis._ringfence_call = (function () {
  const called = (0, eval)("(" + _ringfence_take()[0] + "\\n)");
  if (typeof called !== "function") throw new TypeError("the source is not a function");
  return async () => { _ringfence_give(await called(..._ringfence_take()[0])); };
})();
true
"""
_GLUE = {"python": _PYTHON, "python-data": _PYTHON, "javascript": _JAVASCRIPT}


class Sandboxed:
    """
    A function whose every call runs in a sandbox of its own: fresh memory, one policy, and nothing left over.

    It is called like the function and gives its value; it pickles, and may be called from many threads at once, which
    let go of the interpreter. What the definition does, imports for example, is done once, and each call begins from a
    copy of that.

    Arguments and values are plain: None, bool, int, float, str, bytes, list and dict; a tuple arrives as a list.

    Args:
        function: a plain function, which travels as its source. Functions, plain values and modules that it names go
            along; closures, lambdas and methods do not travel. Or the source itself, as text: Python that ends with a
            function, or one expression that is a function, in JavaScript too.
        language: the language of the source: "python", "python-data" or "javascript".
        policy: what a call may do; nothing unless given. Its limits are those of each call.
        limits: limits of each call; they may only narrow the policy's.
        functions: functions of yours that its code may call, as for `Session`.
        before_call: called with each `Call` of one of those, as for `Session`.
        isolation: where calls run, as for `Sandbox`. In "worker" and "process" each call has a process of its own.
        tenant: whose calls they are, as for `Sandbox`.
        packages: packages of the Python Package Index, as for `Sandbox`.

    Raises:
        TypeError: the function does not travel; says why, and what to do instead.
    """

    def __init__(
        self,
        function: Callable[..., Any] | str,
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
        if language not in _GLUE:
            raise LoadError(
                f"no function of `{language}` can be called by its values",
                f"that is known of {', '.join(_GLUE)} only",
                "use one of them, or hand the input to `Sandbox.run`",
            )
        if before_call is not None and not functions:
            raise ValueError("before_call without functions: there is nothing to call\nhint: give functions too")
        if reserved := {_TAKE, _GIVE} & set(functions or ()):
            raise ValueError(f"functions cannot have the name `{min(reserved)}`, which is ours\nhint: choose another")
        self.language, self.policy, self.limits = language, policy, limits
        self._functions, self._before_call = dict(functions or {}), before_call
        self._isolation, self._tenant, self._packages = isolation, tenant, tuple(packages)
        self._lock = threading.Lock()
        self._origin: tuple[Snapshot, str] | None = None
        if isinstance(function, str):
            self.source, self.__name__ = function, "<source>"
            return
        if language == "javascript":
            raise TypeError("a Python function is no JavaScript\nhint: give the text of a function, as `x => x + 1`")
        from ._function_source import function_source

        self.source, self.__name__ = function_source(function), function.__name__
        self.__wrapped__, self.__doc__, self.__module__ = function, function.__doc__, function.__module__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the function
        """
        Call it and wait for its value.

        Raises:
            GuestRaised: it raised; `result.error` has the type, the message and the traceback.
            GuestError: the call ended in another way, see `Turn.check`.
        """
        value, turn = self._called(args, kwargs, None)
        turn.check()
        return value

    async def acall(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the function
        """Call it while the event loop goes on; cancelling the task ends the guest."""
        from ._running import on_thread

        value, turn = await on_thread(lambda kill: self._called(args, kwargs, kill))
        turn.check()
        return value

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any], kill: core.Kill | None) -> tuple[Any, Turn]:
        """Call it, and give its value with how that went, well or not."""
        snapshot, call = self._prepared()
        values: list[Any] = []
        if kwargs and self.language == "javascript":
            raise TypeError("functions in JavaScript take no arguments by name\nhint: give an object")
        given = [list(args), kwargs]

        def take() -> list[Any]:
            return given

        def give(value: object) -> None:
            values[:] = [value]

        functions: dict[str, Callable[..., Any]] = {**self._functions, _TAKE: take, _GIVE: give}
        with snapshot.fork(functions=functions, before_call=self._judge()) as session:
            turn = session._eval(call, self.limits, "capture", "capture", kill, None)  # noqa: SLF001
        return (values[0] if values else None), turn

    def _prepared(self) -> tuple[Snapshot, str]:
        """Define it, once: what each call is a copy of."""
        with self._lock:
            if self._origin is None:
                functions: dict[str, Callable[..., Any]] = {**self._functions, _GIVE: _nothing}
                functions[_TAKE] = lambda: [self.source]
                with Session(
                    self.language,
                    policy=self.policy,
                    functions=functions,
                    before_call=self._judge(),
                    turn=self.limits,
                    isolation=self._isolation,
                    tenant=self._tenant,
                    packages=self._packages,
                ) as session:
                    waits = session.eval(_GLUE[self.language]).check().value
                    self._origin = session.snapshot(), "await _ringfence_call()" if waits else "_ringfence_call()"
            return self._origin

    def _judge(self) -> Hook | None:
        """Ask the caller's hook of their functions only."""
        judge = self._before_call
        return None if judge is None else lambda call: True if call.name in {_TAKE, _GIVE} else judge(call)

    def __reduce__(self) -> tuple[object, ...]:
        words = {
            "language": self.language,
            "policy": self.policy,
            "limits": self.limits,
            "functions": self._functions,
            "before_call": self._before_call,
            "isolation": self._isolation,
            "tenant": self._tenant,
            "packages": self._packages,
        }
        return _revive, (self.source, self.__name__, words)

    def __repr__(self) -> str:
        return f"<Sandboxed {self.__name__!r} in {self.language!r}>"


def _revive(source: str, name: str, words: dict[str, Any]) -> Sandboxed:
    made = Sandboxed(source, **words)
    made.__name__ = name
    return made


def _nothing(_: object) -> None:
    """Stand for what takes a value, while there is none to be given."""
