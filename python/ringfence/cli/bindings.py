"""`ringfence bindings`: what a plugin exports and imports, as a stub for type checkers."""

from __future__ import annotations

from . import _output
from ._exit import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("-o", "--output", metavar="FILE", help="write it to this file, such as markdown.pyi")
    parser.add_argument("--host", action="store_true", help="write what the host has to give, as Protocol classes")
    parser.add_argument("--policy", metavar="FILE", help="load it as under this policy file")
    parser.add_argument("program", metavar="PROGRAM", help="a component")


def execute(arguments: argparse.Namespace) -> int:
    """Write the stub."""
    from ringfence._bindings import bindings
    from ringfence._policy import Policy
    from ringfence._program import Program

    policy = Policy.from_file(arguments.policy) if arguments.policy else None
    stub = bindings(Program.from_file(arguments.program), policy, host=arguments.host)
    if arguments.output is None:
        _output.data(stub.rstrip("\n"))
        return Exit.OK
    try:
        with open(arguments.output, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs 4 ms to import
            file.write(stub)
    except OSError as error:
        why = error.strerror or str(error)
        raise _output.Unwritable(f"cannot write `{arguments.output}`", why, "name another file") from error
    return Exit.OK
