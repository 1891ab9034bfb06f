"""`ringfence bake`: make a self-contained program of a script in Python."""

from __future__ import annotations

import os

from . import _output, _packages
from ._exit import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    add = parser.add_argument
    add("-o", "--output", metavar="FILE", help="where the program goes; the script's name with `.wasm`, unless given")
    _packages.add_arguments(parser)
    add(
        "--include",
        metavar="PATH",
        action="append",
        default=[],
        help="a module, or a folder that is a package, which the script imports and which is taken as it is",
    )
    add(
        "--isolation",
        choices=("worker", "process"),
        default="worker",
        help="worker: what is imported meanwhile reaches a folder of copies only; process: it has your rights",
    )
    add(
        "--exit-codes",
        action="store_true",
        help="it ends with the script's own code, and not with 0 or 1 only: needs a runtime of WASI 0.2.12 or newer",
    )
    add("--json", action="store_true", help="print what was made as JSON")
    add("script", metavar="SCRIPT", help="a script in Python")


def execute(arguments: argparse.Namespace) -> int:
    """Make it."""
    from ringfence.baking import bake

    script = arguments.script
    output = arguments.output or f"{os.path.splitext(os.path.basename(script))[0]}.wasm"  # noqa: PTH119, PTH122
    name = os.path.basename(script)  # noqa: PTH119
    folder = _folder(arguments)
    with _output.Progress(name, "baking", "") as progress:
        made = bake(
            script,
            output,
            packages=folder,
            include=arguments.include,
            isolation=arguments.isolation,
            exit_codes=arguments.exit_codes,
            progress=progress,
        )
    if arguments.json:
        import json

        _output.data(json.dumps({"program": made.path, "bytes": made.bytes}, indent=2))
    return Exit.OK


def _folder(arguments: argparse.Namespace) -> str | None:
    """Bring packages in, for the Python that is installed."""
    from ringfence._source import runnable_of

    wanted = _packages.named(arguments)
    if not wanted and not arguments.with_inline:
        return None
    runnable = runnable_of(arguments.script, None, "python")
    wanted += _packages.asked_for(arguments, runnable)
    assert runnable.pack is not None  # noqa: S101 - a language has one
    from ringfence.packages import bring

    with _output.Progress(", ".join(wanted), "fetching") as progress:
        return bring(wanted, runnable.pack, progress).folder
