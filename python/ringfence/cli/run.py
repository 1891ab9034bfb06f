"""`ringfence run`: one program, one policy, the streams and the exit code passed through."""

from __future__ import annotations

import argparse

from . import _exit, _output, _script
from ._changes import tell_changes
from ._grants import policy_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ringfence._policy import Policy
    from ringfence._result import Result
    from ringfence._source import Runnable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes: one flag is one line, in the order of `Policy` and `Limits`."""
    parser.epilog = (
        "TIME is seconds, or 500ms, 5s, 2m, 1h; SIZE is bytes, or 64KiB, 256MiB, 1GiB. GUEST is absolute, / and the "
        "host path as it is written unless given; a host path with a colon needs GUEST and MODE written out."
    )
    add = parser.add_argument
    add("--policy", metavar="FILE", help="start from this policy file; the flags add to it")
    add(
        "--dir",
        metavar="HOST[:GUEST][:MODE]",
        action="append",
        help="let it see a directory or file; MODE is ro, rw, overlay or memory",
    )
    add("--apply", action="store_true", help="when it exits with 0, write the changes of overlays to the host")
    add("--tmp", action="store_true", help="give it a private /tmp, gone after the run")
    add("--env", metavar="NAME[=VALUE]", action="append", help="set a variable, or hand on our own by its name")
    add("--net", metavar="[udp://]HOST:PORT", action="append", help="let it connect there; TCP unless said")
    add("--http", metavar="[METHODS] URL", action="append", help="let it send such requests; GET and HEAD unless said")
    add(
        "--secret",
        metavar="NAME=env:VAR@ORIGIN[#HEADER]",
        action="append",
        help="let it send our variable VAR to ORIGIN and never see it; in the header authorization unless said",
    )
    add("--clock", choices=("coarse", "precise"), help="how fine its clocks are")
    add("--random", metavar="real|SEED", help="real random numbers, or the same ones in every run")
    add("--wasi", choices=("0.2", "0.3"), help="the highest WASI level a component may use")
    add("--on-denied", choices=("continue", "stop"), help="refuse and go on, or end the run")
    add("--wall", metavar="TIME", help="time on the clock, waiting included")
    add("--cpu", metavar="TIME", help="processor time")
    add("--fuel", metavar="N", help="instructions, counted the same way in every run")
    add("--memory", metavar="SIZE", help="memories, tables and heaps together")
    add("--output", metavar="SIZE", help="stdout and stderr together")
    add("--host-bytes", metavar="SIZE", help="memory the host holds for it")
    add("--open-files", metavar="N", help="files open at one time")
    add("--disk", metavar="SIZE", help="bytes it may add to the disk")
    add("--files", metavar="N", help="files, directories and links it may add")
    add("--connections", metavar="N", help="network connections open at one time")
    add("--net-bytes", metavar="SIZE", help="bytes over the network, both ways together")
    add("--compile", metavar="TIME", help="time to compile it")
    kinds = ("wasm", "process", "worker")
    add("--isolation", choices=kinds, default="wasm", help="run it in a child process, or in one behind a wall")
    add("--json", action="store_true", help="capture its output, and print the whole result as JSON")
    _script.add_arguments(parser)
    add("program", metavar="PROGRAM", help="a WebAssembly module or component, a script, or `-` for standard input")
    rest = add("args", metavar="ARGS", nargs=argparse.REMAINDER, help="what follows PROGRAM belongs to it")
    rest.required = False  # or a missing PROGRAM is reported as two things missing


def execute(arguments: argparse.Namespace) -> int:
    """Run the program, then say on stderr what stopped it, if anything did."""
    from ringfence._engine import core

    core.without_pool()
    source = _script.source_of(arguments)
    policy = policy_of(arguments)
    sandbox = source.sandbox(policy, arguments.isolation)
    try:
        if arguments.json:
            result = sandbox.run(source.args, stdin="inherit")
            _output.data(result.json())
        else:
            result = sandbox.run(source.args, stdin="inherit", stdout="inherit", stderr="inherit")
            _explain(result, policy, sandbox._runnable)  # noqa: SLF001
            tell_changes(result)
        if arguments.apply and result.ok:
            _output.say(f"applied {result.changes.apply()} changes")
    finally:
        if arguments.isolation != "wasm":
            core.close_workers()
    return _exit.of(result)


def _explain(result: Result, policy: Policy, runnable: Runnable) -> None:
    if result.ok:
        return
    from ._hints import limit_hint, refusal_hint
    from ._neighbours import neighbour_hint

    error = result.error()
    if result.outcome != "exited":
        _output.error(error.what, error.why)
    found = limit_hint(result, policy) or neighbour_hint(result, policy, runnable) or refusal_hint(result, policy)
    if found:
        _output.hint(found)
