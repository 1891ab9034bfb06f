"""`ringfence compile`: compile a program ahead of its first run."""

from __future__ import annotations

from . import _output
from ._exit import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("--policy", metavar="FILE", help="compile as for a run under this policy file")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.add_argument("programs", metavar="PROGRAM", nargs="+", help="a WebAssembly module or component")


def execute(arguments: argparse.Namespace) -> int:
    """Compile each program into the cache."""
    from ringfence._engine import core
    from ringfence._policy import Policy
    from ringfence._program import Program

    policy = Policy.from_file(arguments.policy) if arguments.policy else Policy()
    done: list[dict[str, object]] = []
    for path in arguments.programs:
        with _output.Progress(path) as progress:
            cached = core.precompile(Program.from_file(path)._native, policy._native, progress)  # noqa: SLF001
        done.append({"program": path, "cached": cached})
    if arguments.json:
        import json

        _output.data(json.dumps(done, indent=2))
    return Exit.OK
