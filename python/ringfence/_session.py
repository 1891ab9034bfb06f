"""A language that stays: `Session` runs one piece of source after the other in one interpreter."""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

from ._engine import core
from ._policy import Policy
from ._program import Program, pack_program
from ._turn import Turn
from .errors import SessionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from typing import Any, Self

    from ._functions import Functions, Hook
    from ._isolation import Isolation
    from ._policy import Limits
    from ._streams import Sink


class Session:
    """
    One interpreter of a language under one policy, which keeps what it has defined between turns.

    Limits of time, processor, output and fuel in the policy are totals over its turns. A turn that reaches a limit of
    time hears of it first: Python raises `TimeoutError`, and the session goes on. What does not end then is stopped a
    moment later, and the session is poisoned: `restart` begins anew.

    A session runs one turn at a time, and may be used from any thread; the interpreter of the host is let go of.

    Args:
        language: an installed language, such as "python"; or the `Program` of a pack.
        policy: what its code may do; nothing unless given.
        functions: functions of yours that its code may call by these names, with plain values: None, bool, int, float,
            str, bytes, list and dict. They may be `async def`, and then several may be under way at once. What one
            raises is raised in the guest. They are called on another thread; one that is still at work when its turn
            has to end is left behind with the warning `CallbackAbandoned`.
        before_call: called with each `Call` before it is made. None or True approves it, a `Call` is made in its place,
            False refuses it, and so does an exception, which the guest sees.
        turn: limits of each turn, unless `eval` is given others.
        progress: called while the language is compiled, as for `Sandbox`.
        isolation: where its interpreter is, as for `Sandbox`. "worker" and "process" give it a child process of its own
            until it is closed; at most 64 of those may be open. `functions` stay in this process and are called here.
        tenant: whose session it is, as for `Sandbox`.

    Raises:
        LoadError: there is no such language, or it cannot hold sessions.
        PolicyError: the policy is too narrow to begin.
        HostError: the machine has no second wall, or no worker can be started.
    """

    __slots__ = ("__weakref__", "_functions", "_language", "_lock", "_native", "_sandbox", "_turn", "policy", "program")

    def __init__(
        self,
        language: str | Program,
        *,
        policy: Policy | None = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        before_call: Hook | None = None,
        turn: Limits | None = None,
        progress: Callable[[float], None] | None = None,
        isolation: Isolation = "wasm",
        tenant: str | None = None,
    ) -> None:
        self.program = _program(language)
        self.policy = _nothing() if policy is None else policy
        self._language = language if isinstance(language, str) else self.program.name
        self._turn = turn
        self._functions: Functions | None = None
        if functions:
            from ._functions import Functions

            self._functions = Functions(functions, before_call)
        elif before_call is not None:
            raise ValueError("before_call without functions: there is nothing to call\nhint: give functions too")
        self._lock = threading.Lock()
        self._sandbox = _shared(self.program, self.policy, progress, isolation, tenant)
        self._native = self._opened()
        if isolation != "wasm":
            from ._isolation import close_at_exit

            close_at_exit(self)

    def eval(
        self, source: str, *, turn: Limits | None = None, stdout: Sink = "capture", stderr: Sink = "capture"
    ) -> Turn:
        """
        Run a piece of source and wait for its end.

        Args:
            source: the text; the value of a last expression is the turn's value.
            turn: limits of this turn; they may only narrow the policy's.
            stdout: where it writes, as for `Sandbox.run`; a function gets each piece as it is written.
            stderr: the same for its errors.

        Raises:
            SessionError: the session is poisoned, closed, at work, or has used up a total.
        """
        return self._eval(source, turn, stdout, stderr, None, None)

    async def aeval(
        self, source: str, *, turn: Limits | None = None, stdout: Sink = "capture", stderr: Sink = "capture"
    ) -> Turn:
        """
        Run a piece of source while the event loop goes on; as `eval`.

        Functions that are `async def` run in this loop. Cancelling the task interrupts the guest first: Python raises
        `KeyboardInterrupt`, and the session goes on.
        """
        import asyncio

        from ._running import on_thread

        loop = asyncio.get_running_loop()
        return await on_thread(lambda kill: self._eval(source, turn, stdout, stderr, kill, loop), softly=True)

    def restart(self) -> None:
        """Begin anew, without what was defined; a poisoned session too, and one whose totals are used up."""
        self._native.close()
        self._native = self._opened()

    def close(self) -> None:
        """Free the interpreter. A turn that is under way on another thread goes on, and is the last."""
        self._native.close()

    @property
    def poisoned(self) -> str | None:
        """Why no turn can run any more; None while one can."""
        return self._native.poisoned

    def _opened(self) -> core.Session:
        if self._functions is None:
            return core.Session(self._sandbox.native)
        return core.Session(self._sandbox.native, self._functions.described(), self._functions)

    def _eval(
        self,
        source: str,
        turn: Limits | None,
        stdout: Sink,
        stderr: Sink,
        kill: core.Kill | None,
        loop: asyncio.AbstractEventLoop | None,
    ) -> Turn:
        if not isinstance(source, str):
            raise TypeError(f"source is text, and this is a {type(source).__name__}\nhint: decode it")
        try:
            text = source.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"source cannot be written as UTF-8: half a character at place {error.start}\n"
                'hint: replace it: `source.encode("utf-8", "replace").decode()`'
            ) from None
        limits = self._turn if turn is None else turn
        narrower = None if limits is None else limits._json()  # noqa: SLF001
        if self._functions is None:
            return self._streamed(text, narrower, limits, stdout, stderr, kill)
        if not self._lock.acquire(blocking=False):
            raise SessionError(
                f"no turn in this session of `{self._language}`",
                "a turn is under way, and a session runs one at a time",
                "wait for its end, or open one session for each thread and for each function that runs code",
            )
        try:
            self._functions.begin(loop)
            return self._streamed(text, narrower, limits, stdout, stderr, kill)
        finally:
            self._functions.end()
            self._lock.release()

    def _streamed(
        self,
        text: bytes,
        narrower: str | None,
        limits: Limits | None,
        stdout: Sink,
        stderr: Sink,
        kill: core.Kill | None,
    ) -> Turn:
        if stdout == "capture" == stderr:
            return self._audited(Turn(self._native.eval(text, None, None, narrower, kill)))
        from ._streams import Streams

        with Streams(None, stdout, stderr) as streams:
            if streams.files:
                raise ValueError(
                    '"pipe" needs somebody at the other end: this call waits for the guest\n'
                    "hint: give a function of bytes"
                )

            def work(kill: core.Kill | None) -> Turn:
                return self._audited(Turn(self._native.eval(text, streams.stdout, streams.stderr, narrower, kill)))

            if not streams.piped:
                return work(kill)
            wall = (limits.wall if limits else None) or self.policy.limits.wall
            return streams.around(work, kill=kill, wall_seconds=wall or 0.0)

    def _audited(self, turn: Turn) -> Turn:
        if turn.denials or turn.limit is not None:
            from ._audit import audit

            denials = [(denial.kind, denial.what, denial.count, denial.first_seconds) for denial in turn.denials]
            audit(self.program.name, turn.outcome, turn.limit, turn.usage.wall_seconds, denials)
        return turn

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = ", poisoned" if self.poisoned else ""
        return f"<Session {self._language!r}{state}>"


class _Shared:
    """A language linked under a policy: all sessions of the two share it for as long as one of them lives."""

    __slots__ = ("__weakref__", "native", "policy")

    def __init__(self, native: core.Sandbox, policy: Policy) -> None:
        self.native, self.policy = native, policy


_linked: WeakValueDictionary[tuple[str, int, str, str | None], _Shared] = WeakValueDictionary()
_default: Policy | None = None


def _shared(
    program: Program, policy: Policy, progress: Callable[[float], None] | None, isolation: Isolation, tenant: str | None
) -> _Shared:
    # By identity: an equal policy that was made at another time may have opened other directories.
    key = (program.digest, id(policy), isolation, tenant)
    known = _linked.get(key)
    if known is None:
        given = (program._native, policy._native, progress, None)  # noqa: SLF001
        known = _Shared(core.Sandbox(*given, isolation, tenant), policy)
        _linked[key] = known
    return known


def _nothing() -> Policy:
    global _default  # noqa: PLW0603
    if _default is None:
        _default = Policy()
    return _default


def _program(language: str | Program) -> Program:
    if isinstance(language, Program):
        return language
    from .languages import find

    pack = find(language)
    pack.check_sessions()
    return pack_program(pack)
