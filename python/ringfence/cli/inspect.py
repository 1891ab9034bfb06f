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
    parser.add_argument("--wit", action="store_true", help="print a component's WIT alone, with that of WASI")
    parser.add_argument("program", metavar="PROGRAM", help="a WebAssembly module or component")


def execute(arguments: argparse.Namespace) -> int:
    """Print what it is, what it may ask for, what it exports, and the least policy it runs under."""
    from ringfence._program import Program

    program = Program.from_file(arguments.program)
    if arguments.wit:
        _output.data(_as_wit(program, as_json=arguments.json))
        return Exit.OK
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
    if program.kind == "component":
        lines += ["", _output.title("its world"), *(f"  {line}".rstrip() for line in program.wit().splitlines())]
    return "\n".join(lines)


def _as_wit(program: Program, *, as_json: bool) -> str:
    import json

    text = program.wit(wasi=True)
    return json.dumps({"name": program.name, "wit": text}, indent=2) if as_json else text.rstrip("\n")


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
        "wit": program.wit() if program.kind == "component" else None,
    }
    return json.dumps(document, indent=2)
