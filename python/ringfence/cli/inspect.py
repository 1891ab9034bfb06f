"""`ringfence inspect`: what a program wants and offers, without running it."""

from __future__ import annotations

from ringfence._text import quote
from ringfence._units import about

from . import _output
from ._exit import Exit
from ._permissions import least_policy, permissions

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ringfence._program import Program

_SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("--json", action="store_true", help="print it all as JSON")
    parser.add_argument("program", metavar="PROGRAM", help="a WebAssembly module or component")


def execute(arguments: argparse.Namespace) -> int:
    """Print what it is, what it may ask for, what it exports, and the least policy it runs under."""
    from ringfence._program import Program

    program = Program.from_file(arguments.program)
    _output.data(_as_json(program) if arguments.json else _report(program))
    return Exit.OK


def _report(program: Program) -> str:
    level = f"WASI {program.wasi}" if program.wasi else "no WASI"
    lines = [f"{_output.title(quote(program.name))}: {program.kind}, {level}, {about(program.size)}"]
    lines += [f"sha256 {program.digest}", "", _output.title("it may ask to")]
    grouped = permissions(program)
    lines += [f"  {words}\n    {_names(names)}" for words, names in grouped.items()] or ["  nothing"]
    lines += ["", _output.title("it offers"), f"  {_names([export.name for export in program.exports])}"]
    lines += ["", _output.title("the least policy"), *(f"  {line}" for line in least_policy(program).splitlines())]
    return "\n".join(lines)


def _names(names: list[str]) -> str:
    shown = ", ".join(quote(name, 80) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown or "nothing"


def _as_json(program: Program) -> str:
    import json

    document = {
        "name": program.name,
        "kind": program.kind,
        "wasi": program.wasi,
        "size": program.size,
        "digest": program.digest,
        "imports": [entry._fields() for entry in program.imports],
        "exports": [entry._fields() for entry in program.exports],
        "permissions": permissions(program),
        "least_policy": least_policy(program),
    }
    return json.dumps(document, indent=2)
