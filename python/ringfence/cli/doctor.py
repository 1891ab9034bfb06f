"""`ringfence doctor`: what this machine has, and what is missing."""

from __future__ import annotations

from . import _output
from ._exit import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Print each finding, with the fix for what is missing; exit with 1 if anything is."""
    import json

    from ringfence._engine import core

    document = core.doctor()
    findings = json.loads(document)
    if arguments.json:
        _output.data(document)
    else:
        width = max(len(finding["name"]) for finding in findings)
        for finding in findings:
            mark = "ok     " if finding["ok"] else "missing"
            _output.data(f"{mark}  {finding['name']:<{width}}  {finding['value']}")
            if finding["fix"]:
                _output.data(f"{'':<{width + 11}}{finding['fix']}")
    return Exit.OK if all(finding["ok"] for finding in findings) else Exit.PROBLEM
