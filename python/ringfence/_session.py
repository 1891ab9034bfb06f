"""A language that stays: `Session` runs one piece of source after the other in one interpreter."""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

from ._engine import core
from ._policy import Policy, check_policy, check_wider
from ._program import Program, pack_program
from ._text import quote
from ._turn import Turn
from .errors import SessionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Self

    from ._functions import Functions, Hook
    from ._isolation import Isolation
    from ._policy import Limits
    from ._saved import SavedFile
    from ._snapshot import Snapshot
    from ._streams import Sink
    from .languages import Pack

    Given = tuple[
        Policy | None,
        Mapping[str, Callable[..., Any]] | None,
        Hook | None,
        Limits | None,
        Callable[[float], None] | None,
        Isolation | None,
        str | None,
    ]


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
        packages: packages of the Python Package Index, as for `Sandbox`.

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
        packages: Iterable[str] = (),
    ) -> None:
        self.program = _program(language)
        check_policy(policy)
        self.policy = _nothing() if policy is None else policy
        if packages:
            from .packages import granted

            self.policy = granted(self.policy, packages, _pack(language), progress)
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

    def fork(
        self,
        *,
        policy: Policy | None = None,
        allow_wider: bool = False,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        before_call: Hook | None = None,
    ) -> Session:
        """
        Open a session that goes on from where this one is; neither sees what the other does then.

        It has this session's policy or a narrower one, with totals of its own. What the interpreter holds is there:
        variables, modules, functions, and what it has read. Random numbers are drawn anew, clocks go on, and grants are
        opened as at the beginning of a session: files that were open are closed, and `/tmp`, private layers and files
        in memory are without what was written.

        Args:
            policy: what its code may do instead; nothing that this session's policy does not grant, see
                `Policy.wider_than`. What `turn` gives each turn is narrowed too.
            allow_wider: let `policy` grant more.
            functions: functions of yours instead of this session's, under names that it was opened with; `{}` for none.
            before_call: as for `Session`, for functions that are given here.

        Raises:
            PolicyError: `policy` is wider than this session's; says in what.
            SessionError: the session is poisoned, closed or at work, or cannot be captured because its pack has no
                `rf_fork`.
            Busy: in isolation, where each fork has a process of its own: as many as there may be are open.
        """
        return self.fork_many(1, policy=policy, allow_wider=allow_wider, functions=functions, before_call=before_call)[
            0
        ]

    def fork_many(
        self,
        count: int,
        *,
        policy: Policy | None = None,
        allow_wider: bool = False,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        before_call: Hook | None = None,
    ) -> list[Session]:
        """Open `count` sessions that go on from where this one is, as `fork` does."""
        return self._origin().forks(self._native.fork, count, policy, allow_wider, functions, before_call)

    def snapshot(self) -> Snapshot:
        """Keep what this session is now, to fork from later; raises as `fork` does."""
        from ._snapshot import Snapshot

        return Snapshot(self._native.snapshot(None), self._origin())

    @staticmethod
    def _loaded(saved: SavedFile, language: str | Program | None, given: Given, *, allow_wider: bool) -> Snapshot:
        """Make a snapshot of a file, and what its forks begin with."""
        from ._snapshot import Snapshot

        policy, functions, before_call, turn, progress, isolation, tenant = given
        check_wider(policy, allow_wider=allow_wider)
        if before_call is not None and not functions:
            raise ValueError("before_call without functions: there is nothing to call\nhint: give functions too")
        program = saved.program(language)
        policy = saved.policy() if policy is None else policy
        sandbox = _shared(program, policy, progress, saved.isolation() if isolation is None else isolation, tenant)
        native = saved.native.open(sandbox.native, allow_wider)
        origin = Origin(program, policy, saved.language, saved.turn() if turn is None else turn, None, sandbox)
        return Snapshot(native, origin.knowing(saved.facts["functions"], functions, before_call))

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

    def _origin(self) -> Origin:
        return Origin(self.program, self.policy, self._language, self._turn, self._functions, self._sandbox)

    def _opened(self) -> core.Session:
        if self._functions is None:
            return core.Session(self._sandbox.native)
        return core.Session(self._sandbox.native, *self._functions.given())

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
            return self._audited(self._native.eval(text, None, None, narrower, kill))
        from ._streams import Streams

        with Streams(None, stdout, stderr) as streams:
            if streams.files:
                raise ValueError(
                    '"pipe" needs somebody at the other end: this call waits for the guest\n'
                    "hint: give a function of bytes"
                )

            def work(kill: core.Kill | None) -> Turn:
                return self._audited(self._native.eval(text, streams.stdout, streams.stderr, narrower, kill))

            if not streams.piped:
                return work(kill)
            wall = (limits.wall if limits else None) or self.policy.limits.wall
            return streams.around(work, kill=kill, wall_seconds=wall or 0.0)

    def _audited(self, fields: tuple[Any, ...]) -> Turn:
        turn = Turn(fields)
        if turn.outcome == "raised" and self._functions is not None and turn.error is not None:
            turn = Turn(fields, self._functions.raised(turn.error.type, turn.error.message))
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


class Origin:
    """What a session shares with those that are forked from it, and no interpreter."""

    __slots__ = ("_functions", "_known", "_program", "_turn", "language", "policy", "sandbox")

    def __init__(
        self,
        program: Program,
        policy: Policy,
        language: str,
        turn: Limits | None,
        functions: Functions | None,
        sandbox: _Shared,
    ) -> None:
        self._program, self.policy, self.language, self._turn = program, policy, language, turn
        self._functions, self.sandbox = functions, sandbox
        self._known = functions.names if functions else set[str]()

    def described(self) -> tuple[str, str, str]:
        """Describe it for a file."""
        from ._saved import described

        return described(self._program, self.language, self._turn, self.sandbox.isolation)

    def knowing(
        self, known: Iterable[str], functions: Mapping[str, Callable[..., Any]] | None, before_call: Hook | None
    ) -> Self:
        """Give functions to forks of which the code knows these names."""
        self._known = set(known)
        self._functions = self._given(functions or {}, before_call)
        return self

    def forks(
        self,
        fork: Callable[[list[Any], core.Sandbox | None, bool, core.Kill | None], list[core.Session]],
        count: int,
        policy: Policy | None,
        allow_wider: bool,
        functions: Mapping[str, Callable[..., Any]] | None,
        before_call: Hook | None,
    ) -> list[Session]:
        """Make sessions of what `fork` makes; each has functions of its own."""
        if count < 0:
            raise ValueError(f"{count} forks cannot be made\nhint: give how many, 0 or more")
        if before_call is not None and not functions:
            raise ValueError("before_call without functions: there is nothing to call\nhint: give functions too")
        check_wider(policy, allow_wider=allow_wider)
        theirs = [self._given(functions, before_call) for _ in range(count)]
        given = [None if each is None else each.given() for each in theirs]
        if policy is None:
            natives = fork(given, None, False, None)
            return [self.session(native, each) for native, each in zip(natives, theirs, strict=True)]
        under = self._under(policy)
        natives = fork(given, under.sandbox.native, allow_wider, None)
        return [under.session(native, each) for native, each in zip(natives, theirs, strict=True)]

    def _under(self, policy: Policy) -> Origin:
        """Make the same with another policy."""
        shared = self.sandbox
        sandbox = _shared(self._program, policy, None, shared.isolation, shared.tenant)
        turn = None if self._turn is None else _within(self._turn, policy.limits)
        return Origin(self._program, policy, self.language, turn, self._functions, sandbox)

    def _given(self, functions: Mapping[str, Callable[..., Any]] | None, before_call: Hook | None) -> Functions | None:
        if functions is None:
            return None if self._functions is None else self._functions.copy()
        if not functions:
            return None
        from ._functions import Functions

        given = Functions(functions, before_call)
        unknown = given.names - self._known
        if unknown:
            raise ValueError(
                f"the session that is forked knows no function `{quote(min(unknown))}`: it found them when it began\n"
                "hint: give functions under the names that it was opened with, or open a session"
            )
        return given

    def session(self, native: core.Session, functions: Functions | None) -> Session:
        """Give an interpreter its face."""
        session = Session.__new__(Session)
        session.program, session.policy, session._language = self._program, self.policy, self.language  # noqa: SLF001
        session._turn, session._functions, session._sandbox = self._turn, functions, self.sandbox  # noqa: SLF001
        session._lock, session._native = threading.Lock(), native  # noqa: SLF001
        if self.sandbox.isolation != "wasm":
            from ._isolation import close_at_exit

            close_at_exit(session)
        return session


class _Shared:
    """A language linked under a policy: all sessions of the two share it for as long as one of them lives."""

    __slots__ = ("__weakref__", "isolation", "native", "policy", "tenant")

    def __init__(self, native: core.Sandbox, policy: Policy, isolation: Isolation, tenant: str | None) -> None:
        self.native, self.policy, self.isolation, self.tenant = native, policy, isolation, tenant


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
        known = _Shared(core.Sandbox(*given, isolation, tenant), policy, isolation, tenant)
        _linked[key] = known
    return known


def _within(turn: Limits, limits: Limits) -> Limits:
    """Narrow the limits of each turn to those of a policy."""
    both = {name: (getattr(turn, name), getattr(limits, name)) for name in turn.__slots__}
    narrowed = {name: min(own, wide) for name, (own, wide) in both.items() if own is not None and wide is not None}
    return turn.replace(**narrowed)


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


def _pack(language: str | Program) -> Pack | None:
    from .languages import find

    return find(language) if isinstance(language, str) else None
