"""A program compiled and linked under a policy, ready to run: `Sandbox`."""

from __future__ import annotations

import os

from ._engine import core
from ._isolation import close_at_exit
from ._policy import Policy, check_policy
from ._result import Result
from ._source import runnable_of
from .errors import PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Literal

    from ._imports import Imports
    from ._isolation import Isolation
    from ._policy import Limits
    from ._process import Process
    from ._program import Program
    from ._streams import Sink, Source, Streams

    Arguments = Iterable[str | os.PathLike[str]]
    Reuse = Literal["fresh", "tenant"]


class Sandbox:
    """
    One program under one policy, compiled and linked, ready to run any number of times.

    Every run gets memory of its own: nothing is left over from one to the next. Safe to use from many threads; the
    interpreter is let go of while a guest runs.

    There is one source: a program, `code`, or a language alone, which then is its interpreter with a command line of
    its own: `Sandbox(language="python").run(["-c", "print(1)"])`, or `.run(code="print(1)")`.

    Args:
        program: a path, the bytes themselves, or a `Program`. The path may lead to a script in an installed language,
            told by the end of its name or its first line; it is read once, here, and its text is handed in.
        code: source text, as `python -c` takes it; needs `language`. Text is never guessed to be code.
        language: the language of the script or the code, such as "python"; `ringfence languages` lists them.
        policy: what it may do; nothing unless given.
        progress: called while the program compiles, or packages are fetched, from the first second on, with the
            seconds so far; an exception in it ends that.
        imports: functions that it may import from its host, by module and name: `{"env": {"add": add}}`, or an object
            or module whose attributes they are. They are called on another thread, with numbers: i32 and i64 as int,
            f32 and f64 as float. What one raises ends the guest and comes out of the call.
        isolation: what keeps its guests from this process, each adding to the one before. "wasm": WebAssembly alone,
            in this process. "process": a child process too, which may fall alone. "worker": a child process behind a
            second wall, Landlock and seccomp, where what escapes from WebAssembly finds nothing. Child processes are
            reused for runs of the same policy and tenant only. `imports` stay in this process and are called there.
        tenant: whose runs these are, as text of your choice; guests of two tenants never meet in one process of
            `isolation`, nor in one store.
        reuse: "fresh", a new store for every run; or "tenant", for the runs of the one `tenant` that is named: the
            store of a run that returned is rewound and serves a later run of this sandbox, which saves a part of the
            time of a short run. After a run that ended in another way, or took more memory than it began with, the next
            one has a new store. For core modules without `imports`, in this process.
        spares: how many instances a thread of ours keeps ready ahead of need, at most 64, each for one run: a run after
            a pause, or one of many at once, begins sooner. They are closed when nothing has run for a minute, and made
            again with the next run. For core modules, in this process.
        compiler_flags: flags for the compiler of source in C, such as "-O0", "-DNAME=1", "-Wall" or "-std=c99".
        sources: files beside the source in C: those that end in `.c` are compiled and linked with it, others are found
            by `#include`. The compiler sees them, and the program does not.
        packages: packages of the Python Package Index for source in Python, as `pip install` has them: "jinja2",
            "pyyaml>=6". They are fetched once, outside of the sandbox, and granted to read at `/packages`.

    Raises:
        HostError: the machine has no second wall, or no worker can be started; or packages cannot be fetched.
        ProgramNotFound: there is no such program.
        LoadError: it is malformed, too much to compile, or it imports what nobody provides, or does not import one of
            `imports`; or its instances cannot wait for runs.
        PolicyError: `reuse`, `spares`, `tenant` and `isolation` contradict each other.
        TypeError: one of `imports` cannot be called so.
    """

    __slots__ = ("_after", "_how", "_native", "_native_run", "_runnable", "policy", "program")
    # Of a compiler without a source: what the programs of its sources are made with. Otherwise None.
    _how: dict[str, Any] | None

    def __init__(
        self,
        program: str | os.PathLike[str] | bytes | Program | None = None,
        *,
        code: str | None = None,
        language: str | None = None,
        policy: Policy | None = None,
        progress: Callable[[float], None] | None = None,
        imports: Imports | None = None,
        isolation: Isolation = "wasm",
        tenant: str | None = None,
        reuse: Reuse = "fresh",
        spares: int = 0,
        compiler_flags: Iterable[str] = (),
        sources: Iterable[str | os.PathLike[str]] = (),
        packages: Iterable[str] = (),
    ) -> None:
        self._runnable, self._how = runnable_of(program, code, language), None
        check_policy(policy)
        self.policy = Policy() if policy is None else policy
        if packages:
            from .packages import granted

            self.policy = granted(self.policy, packages, self._runnable.pack, progress)
        if self._runnable.compiles:
            from ._compiled import compiled

            flags = compiler_flags if isinstance(compiler_flags, str) else tuple(compiler_flags)
            beside = sources if isinstance(sources, str | os.PathLike) else tuple(sources)
            if self._runnable.bare:
                self._how = {"isolation": isolation, "tenant": tenant, "reuse": reuse, "spares": spares}
                self._how |= {"compiler_flags": flags, "sources": beside}
            self._runnable = compiled(self._runnable, self.policy, isolation, tenant, flags, beside, progress)
        elif compiler_flags or sources:
            raise PolicyError(
                f"{'compiler flags' if compiler_flags else '`sources`'} were given",
                "nothing here is compiled by a compiler that has some",
                "leave them out; what a script imports is granted: `--dir .`",
            )
        self.program = self._runnable.program
        functions = None
        if imports:
            if self._runnable.pack is not None and not self._runnable.compiles:
                raise ValueError(
                    "imports are for WebAssembly programs, and this is source text: it imports nothing from its host\n"
                    "hint: leave imports out"
                )
            from ._imports import functions_of

            functions = functions_of(imports, self.program)
        given = (self.program._native, self.policy._native, progress, functions)  # noqa: SLF001
        self._native = core.Sandbox(*given, isolation, tenant, reuse, spares)
        self._native_run = self._native.run
        self._after: str | None = None
        if isolation != "wasm":
            close_at_exit()

    def run(
        self,
        args: Arguments = (),
        *,
        code: str | None = None,
        input: bytes | None = None,
        stdin: Source = None,
        stdout: Sink = "capture",
        stderr: Sink = "capture",
        limits: Limits | None = None,
        check: bool = False,
    ) -> Result:
        """
        Run it once and wait for the end.

        Args:
            args: its arguments, from argument 1 on; argument 0 is the program's name, a script's its path.
            code: source text for this run, where the sandbox was made of a language alone.
            input: what it finds on standard input.
            stdin: where it reads instead: "inherit", an open binary file, or a descriptor. Nothing unless given.
            stdout: where it writes: "capture" into the result, "inherit", "discard", an open binary file, a
                descriptor, or a function called with each piece on another thread. A function that raises ends the
                run and its exception comes out here; one that is still at work when the run has to end is left behind
                with the warning `CallbackAbandoned`.
            stderr: the same for its errors.
            limits: limits for this run; they may only narrow the policy's.
            check: raise unless it exits with code 0, see `Result.check`.
        """
        plain = stdin is None and limits is None and stdout == "capture" == stderr
        if code is not None and self._how is not None:
            return self._compiled(code).run(
                args, input=input, stdin=stdin, stdout=stdout, stderr=stderr, limits=limits, check=check
            )
        if plain and code is None and not args and not self._runnable.args:
            native = self._native_run((), input, None, None, None, None, None)
        elif plain and args == ():
            runnable = self._runnable if code is None else self._runnable.with_code(code)
            native = self._handed(runnable.args, input, None, None, None, None, None, runnable.source)
        else:
            native = self._run(args, code, input, stdin, stdout, stderr, limits, None)
        result = Result(self._audited(native) if native.noted else native)
        return result.check() if check else result

    @property
    def diagnostics(self) -> str:
        """
        What the compiler said of the source; empty where it said nothing, or the source is not compiled by one.

        Not escaped: it holds what is in the source. Of a source that cannot be compiled every run says the same on its
        standard error, and exits with 1.
        """
        return self._runnable.words

    @property
    def starts(self) -> dict[str, int]:
        """
        How runs began, with `reuse` or `spares`.

        "fresh" counts those in a new store, "ready" those in one that waited, and "waiting" is how many wait now.
        """
        starts = self._native.starts()
        return {} if starts is None else dict(zip(("fresh", "ready", "waiting"), starts, strict=True))

    async def arun(
        self,
        args: Arguments = (),
        *,
        code: str | None = None,
        input: bytes | None = None,
        stdin: Source = None,
        stdout: Sink = "capture",
        stderr: Sink = "capture",
        limits: Limits | None = None,
        check: bool = False,
    ) -> Result:
        """
        Run it once while the event loop goes on; as `run`.

        Cancelling the task ends the guest first.
        """
        from ._running import on_thread

        if code is not None and self._how is not None:
            made = await on_thread(lambda _: self._compiled(code), leave=True)
            return await made.arun(
                args, input=input, stdin=stdin, stdout=stdout, stderr=stderr, limits=limits, check=check
            )
        native = await on_thread(lambda kill: self._run(args, code, input, stdin, stdout, stderr, limits, kill))
        result = Result(self._audited(native))
        return result.check() if check else result

    def start(
        self,
        args: Arguments = (),
        *,
        code: str | None = None,
        stdin: Source = "pipe",
        stdout: Sink = "pipe",
        stderr: Sink = "capture",
        limits: Limits | None = None,
    ) -> Process:
        """
        Start it and go on: a handle to be used like `subprocess.Popen`.

        The streams are as for `run`, or "pipe", which leaves the other end with the handle. They cannot be functions
        or files in memory: nobody would be there to move the bytes.
        """
        from ._process import Process
        from ._streams import Streams

        if code is not None and self._how is not None:
            return self._compiled(code).start(args, stdin=stdin, stdout=stdout, stderr=stderr, limits=limits)
        streams = Streams(stdin, stdout, stderr)
        try:
            if streams.piped:
                raise ValueError(
                    "a started guest cannot use functions or files in memory: nobody would be there to move the bytes\n"
                    'hint: give "pipe" and move them, or call `run`'
                )
            work = self._work(args, code, None, streams, limits)
            return Process(lambda kill: self._audited(work(kill)), streams)
        except BaseException:
            streams.close()
            raise

    def snapshot(
        self,
        *,
        after: str,
        entry: str | None = None,
        args: Arguments = (),
        input: bytes | None = None,
        stdout: Sink = "capture",
        stderr: Sink = "capture",
        limits: Limits | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Sandbox:
        """
        Call an export of the program once, and give a sandbox whose runs go on from the memory that it left.

        For core modules. Every run of that sandbox is as any other: arguments, input, variables, files, clocks and
        random numbers are its own, and no run sees another. What the export had computed and read is there, without
        being computed and read again.

        Args:
            after: the export that is called once, a function without parameters and results; before it `_initialize`,
                where the program is a library.
            entry: the export that every run calls, of the same kind: `_start`, unless given; a library has none.
            args: arguments for that one call.
            input: what it finds on standard input.
            stdout: where it writes, as for `run`; what is captured comes with the error of a call that fails.
            stderr: the same for its errors.
            limits: limits for that one call; they may only narrow the policy's.
            progress: called while the program compiles, as for `Sandbox`: it is compiled in another form for this.

        Raises:
            LoadError: it has no such exports; or it cannot be captured: it is a component or a language, it changes
                tables, has a start function, imports its memory, shares it, keeps objects of the garbage collector,
                exited instead of returning, or left files open.
            GuestError: the call ended in another way, see `Result.check`.
        """
        return self._captured(after, entry, args, input, stdout, stderr, limits, progress, None)

    async def asnapshot(
        self,
        *,
        after: str,
        entry: str | None = None,
        args: Arguments = (),
        input: bytes | None = None,
        stdout: Sink = "capture",
        stderr: Sink = "capture",
        limits: Limits | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Sandbox:
        """
        Call an export once while the event loop goes on; as `snapshot`.

        Cancelling the task ends the guest first.
        """
        from ._running import on_thread

        given = (after, entry, args, input, stdout, stderr, limits, progress)
        return await on_thread(lambda kill: self._captured(*given, kill))

    def _captured(
        self,
        after: str,
        entry: str | None,
        args: Arguments,
        input: bytes | None,
        stdout: Sink,
        stderr: Sink,
        limits: Limits | None,
        progress: Callable[[float], None] | None,
        kill: core.Kill | None,
    ) -> Sandbox:
        from ._streams import Streams

        texts = [os.fspath(arg) for arg in args]
        narrower = limits._json() if limits else None  # noqa: SLF001
        made: list[core.Sandbox | None] = []
        with Streams(None, stdout, stderr) as streams:
            if streams.files:
                raise ValueError('"pipe" needs somebody at the other end\nhint: give a function of bytes')

            def work(kill: core.Kill | None) -> core.Result:
                given = (texts, input, streams.stdout, streams.stderr, narrower, kill, progress)
                native, sandbox = self._native.snapshot(after, entry, *given)
                made.append(sandbox)
                return native

            if streams.piped:
                wall = (limits.wall if limits else None) or self.policy.limits.wall
                native = streams.around(work, kill=kill, wall_seconds=wall or 0.0)
            else:
                native = work(kill)
        Result(self._audited(native)).check()
        return self._beginning(made[0], after)

    @classmethod
    def _of_language(cls, language: str, policy: Policy) -> Sandbox:
        """Make the sandbox of a language under a policy that it may be linked under already."""
        check_policy(policy)
        runnable = runnable_of(None, None, language)
        known = policy._linked.get(language)  # noqa: SLF001
        # Another pack may have been installed meanwhile.
        if known is None or known[0] is not runnable.program:
            made = cls(language=language, policy=policy)
            # Variables that are handed on are read when it is linked: they may have changed by the next run.
            if not policy.inherit_env:
                policy._linked[language] = made.program, made._native  # noqa: SLF001
            return made
        sandbox = cls.__new__(cls)
        sandbox._how = {} if runnable.compiles else None  # noqa: SLF001
        sandbox._native, sandbox._native_run, sandbox._after = known[1], known[1].run, None  # noqa: SLF001
        sandbox._runnable, sandbox.program, sandbox.policy = runnable, runnable.program, policy  # noqa: SLF001
        return sandbox

    def _compiled(self, code: str) -> Sandbox:
        assert self._runnable.pack is not None  # noqa: S101 - a compiler has one
        return Sandbox(code=code, language=self._runnable.pack.language, policy=self.policy, **(self._how or {}))

    def _beginning(self, native: core.Sandbox | None, after: str) -> Sandbox:
        assert native is not None  # noqa: S101 - where there is none, the check of the result has raised
        sandbox = Sandbox.__new__(Sandbox)
        sandbox._how = None  # noqa: SLF001
        sandbox._native, sandbox._native_run, sandbox._after = native, native.run, after  # noqa: SLF001
        sandbox._runnable, sandbox.program, sandbox.policy = self._runnable, self.program, self.policy  # noqa: SLF001
        return sandbox

    def _audited(self, native: core.Result) -> core.Result:
        if native.noted:
            from ._audit import audit

            audit(self.program.name, native.outcome, native.limit, native.usage[0], native.denials)
        return native

    def _run(
        self,
        args: Arguments,
        code: str | None,
        input: bytes | None,
        stdin: Source,
        stdout: Sink,
        stderr: Sink,
        limits: Limits | None,
        kill: core.Kill | None,
    ) -> core.Result:
        from ._streams import Streams

        if input is not None and stdin is not None:
            raise ValueError("input and stdin were both given: standard input has one source\nhint: leave one out")
        with Streams(stdin, stdout, stderr) as streams:
            if streams.files:
                raise ValueError(
                    '"pipe" needs somebody at the other end: this call waits for the guest\n'
                    "hint: call `start`, or give a function of bytes"
                )
            work = self._work(args, code, input, streams, limits)
            if not streams.piped:
                return work(kill)
            wall = (limits.wall if limits else None) or self.policy.limits.wall
            return streams.around(work, kill=kill, wall_seconds=wall or 0.0)

    def _work(
        self, args: Arguments, code: str | None, input: bytes | None, streams: Streams, limits: Limits | None
    ) -> Callable[[core.Kill | None], core.Result]:
        if isinstance(args, str | bytes):
            raise TypeError(f"args is a list of arguments, and {args!r} is one text\nhint: write `[{args!r}]`")
        runnable = self._runnable if code is None else self._runnable.with_code(code)
        texts = [*runnable.args, *(os.fspath(arg) for arg in args)]
        source = runnable.source
        narrower = limits._json() if limits else None  # noqa: SLF001

        def work(kill: core.Kill | None) -> core.Result:
            return self._handed(texts, input, streams.stdin, streams.stdout, streams.stderr, narrower, kill, source)

        return work

    def _handed(self, texts: Sequence[str], *given: Any) -> core.Result:  # noqa: ANN401 - as `core.Sandbox.run` takes it
        try:
            return self._native_run(texts, *given)
        except UnicodeEncodeError as error:
            what = "an argument cannot be handed to the guest"
            raise PolicyError(what, "it is not UTF-8", "hand the data over as input") from error

    def __repr__(self) -> str:
        script = f" {self._runnable.args[0]!r}" if self._runnable.source is not None else ""
        after = "" if self._after is None else f" after {self._after!r}"
        return f"<Sandbox {self.program.name!r}{script}{after}>"
