"""`ringfence doctor`: what this machine has, languages included, and what is missing."""

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

    findings = [*json.loads(core.doctor()), *_languages()]
    if arguments.json:
        _output.data(json.dumps(findings, ensure_ascii=False))
    else:
        width = max(len(finding["name"]) for finding in findings)
        for finding in findings:
            mark = "ok     " if finding["ok"] else "missing"
            _output.data(f"{mark}  {finding['name']:<{width}}  {finding['value']}")
            if finding["fix"]:
                _output.data(f"{'':<{width + 11}}{finding['fix']}")
    return Exit.OK if all(finding["ok"] for finding in findings) else Exit.PROBLEM


def _languages() -> list[dict[str, object]]:
    """Look at each language: whether its pack is whole, and whether its first run has to compile it."""
    from ringfence._engine import core
    from ringfence._program import pack_program
    from ringfence.errors import RingfenceError
    from ringfence.languages import find, names
    from ringfence.languages._pack import check_digest

    findings: list[dict[str, object]] = []
    for name in names():
        try:
            pack = find(name)
            check_digest(pack)
            is_ready = core.is_compiled(pack_program(pack)._native)  # noqa: SLF001
            state = "compiled" if is_ready else "compiled at its first run"
            value = f"{pack.title} in {pack.origin}, digest as it should be, {state}"
            findings.append(_finding(name, value))
        except RingfenceError as problem:
            findings.append(_finding(name, f"{problem.what}: {problem.why}", problem.fix))
    return findings or [_finding("", "none is installed; `ringfence languages install python` brings one")]


def _finding(name: str, value: str, fix: str | None = None) -> dict[str, object]:
    return {"name": f"language {name}" if name else "languages", "value": value, "ok": fix is None, "fix": fix}
