"""`ringfence policy`: check a policy file, or print the schema of one."""

from __future__ import annotations

from ringfence._policy import Policy

from . import _output
from ._exit import Exit
from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("what", choices=("check", "schema"), help="check a file, or print the JSON schema of one")
    parser.add_argument("file", metavar="FILE", nargs="?", help="the policy file to check")


def execute(arguments: argparse.Namespace) -> int:
    """Print the schema; or check a file and print it back with every default filled in."""
    if arguments.what == "schema":
        if arguments.file is not None:
            raise UsageError(f"`{arguments.file}` was given", "the schema is one for all", "leave it out")
        _output.data(Policy.schema())
    else:
        if arguments.file is None:
            raise UsageError("no policy file was given", "none is read unless it is named", "name one")
        _output.data(Policy.from_file(arguments.file).to_toml().rstrip("\n"))
    return Exit.OK
