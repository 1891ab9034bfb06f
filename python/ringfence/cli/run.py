"""`ringfence run`: one program, one policy, the streams and the exit code passed through."""

from __future__ import annotations

from ringfence._text import quote

from . import _exit, _output, _packages, _script
from ._changes import tell_changes
from ._grants import add_grants, policy_of
from ._isolation import add_isolation
from ._verbs import REST

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Literal

    from ringfence._result import Result
    from ringfence._sandbox import Sandbox

# Of what a compiler says, in characters.
_MAX_LINE = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes: one flag is one line, in the order of `Policy` and `Limits`."""
    parser.epilog = (
        "TIME is seconds, or 500ms, 5s, 2m, 1h; SIZE is bytes, or 64KiB, 256MiB, 1GiB. GUEST is absolute, / and the "
        "host path as it is written unless given; a host path with a colon needs GUEST and MODE written out. A "
        "language's own switches come after `--`: `ringfence run --language perl -- -ne 'print if /x/'`."
    )
    add = parser.add_argument
    add_grants(parser)
    add("--apply", action="store_true", help="when it exits with 0, without a Ctrl-C, write the changes of overlays")
    add_isolation(parser)
    add("--json", action="store_true", help="capture its output, and print the whole result as JSON")
    _script.add_arguments(parser)
    _packages.add_arguments(parser)
    add("program", metavar="PROGRAM", help="a WebAssembly module or component, a script, or `-` for standard input")
    rest = add("args", metavar="ARGS", nargs=REST, help="what follows PROGRAM belongs to it")
    rest.required = False  # or a missing PROGRAM is reported as two things missing


def execute(arguments: argparse.Namespace) -> int:
    """Run the program, then say on stderr what stopped it, if anything did."""
    from ringfence._engine import core

    core.without_pool()
    source = _script.source_of(arguments)
    policy = policy_of(arguments)
    packages = _packages.named(arguments)
    sandbox = source.sandbox(policy, arguments.isolation, packages)
    wanted = _packages.asked_for(arguments, sandbox._runnable)  # noqa: SLF001
    if wanted:
        sandbox = source.sandbox(policy, arguments.isolation, [*packages, *wanted])
    if sandbox.diagnostics and not sandbox._runnable.compiles:  # noqa: SLF001 - one that does not compile says it itself
        _output.say("\n".join(quote(line, _MAX_LINE) for line in sandbox.diagnostics.splitlines()))
    try:
        result, interrupted = _run(sandbox, source.args, "capture" if arguments.json else "inherit")
        if arguments.json:
            _output.data(result.json())
        else:
            _explain(result, arguments, sandbox)
            tell_changes(result)
        if arguments.apply and result.ok:
            if interrupted:
                _output.error(
                    "nothing was applied", "Ctrl-C was pressed during the run, which may have done half its work"
                )
                _output.hint("run it again, to its end")
                return _exit.Exit.CANCELLED
            _output.say(f"applied {result.changes.apply()} changes")
    finally:
        if arguments.isolation != "wasm":
            core.close_workers()
    return _exit.of(result)


def _run(sandbox: Sandbox, args: Sequence[str], out: Literal["inherit", "capture"]) -> tuple[Result, bool]:
    """
    Run it, and tell whether it was interrupted.

    One that heard of Ctrl-C and came to an end of its own has ended like any other; but whether it did all of its work,
    nobody knows.
    """
    try:
        return sandbox.run(args, stdin="inherit", stdout=out, stderr=out), False
    except KeyboardInterrupt as interrupt:
        native = getattr(interrupt, "result", None)
        if native is None or native.outcome != "exited":
            raise
        from ringfence._result import Result

        return Result(native), True


def _explain(result: Result, arguments: argparse.Namespace, sandbox: Sandbox) -> None:
    if result.ok:
        return
    policy, runnable = sandbox.policy, sandbox._runnable  # noqa: SLF001
    from ._hints import limit_hint, refusal_hint
    from ._neighbours import header_hint, neighbour_hint

    error = result.error()
    if result.outcome != "exited":
        _output.error(error.what, error.why)
    found = (
        limit_hint(result, policy)
        or _packages.package_hint(arguments, runnable)
        or neighbour_hint(result, policy, runnable)
        or header_hint(runnable.words, arguments.program)
        or refusal_hint(result, policy)
    )
    if found:
        _output.hint(found)
