"""`ringfence session`: the sessions that were saved under a name."""

from __future__ import annotations

from ringfence.errors import RingfenceError

from . import _output
from ._exit import Exit
from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

_AGES = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.epilog = "`:save NAME` of `ringfence repl` saves one, and `ringfence repl --load NAME` goes on from there."
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument("what", choices=("list", "rm"), nargs="?", default="list", help="list unless given")
    parser.add_argument("names", metavar="NAME", nargs="*", help="the sessions to remove")


def execute(arguments: argparse.Namespace) -> int:
    """List them, or remove some."""
    if arguments.what == "rm":
        if not arguments.names:
            raise UsageError("no session was named", "one is removed by its name", "write `ringfence session rm NAME`")
        return _remove(arguments.names, as_json=arguments.json)
    if arguments.names:
        raise UsageError(
            f"`{arguments.names[0]}` was given", "the list is one of all", "write `ringfence session list`"
        )
    return _list(as_json=arguments.json)


def _remove(names: list[str], *, as_json: bool) -> int:
    from ._named import Named, found

    # All of them first: nothing is removed where one was misspelt.
    sessions = [Named(name) for name in dict.fromkeys(names)]
    for session in sessions:
        found(session.name)
    for session in sessions:
        session.remove()
    if as_json:
        import json

        _output.data(json.dumps({"removed": [session.name for session in sessions]}, indent=2))
    return Exit.OK


def _list(*, as_json: bool) -> int:
    import time

    from ._named import named

    rows: list[dict[str, Any]] = []
    problems: list[RingfenceError] = []
    for session in named():
        try:
            facts = session.facts()
        except RingfenceError as problem:
            problems.append(problem)
        else:
            rows.append({**facts, "age_seconds": max(0, int(time.time()) - facts["saved"])})
    if as_json:
        import json

        parts = [{"code": one.code, "what": one.what, "why": one.why, "fix": one.fix} for one in problems]
        _output.data(json.dumps({"sessions": rows, "problems": parts}, indent=2))
    else:
        _show(rows, problems)
    return Exit.PROBLEM if problems else Exit.OK


def _show(rows: list[dict[str, Any]], problems: list[RingfenceError]) -> None:
    from ringfence._units import about

    lines = [("name", "language", "size", "saved")]
    lines += [
        (row["name"], row["language"], about(row["file_bytes"]), f"{_age(row['age_seconds'])} ago") for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for number, line in enumerate(lines if rows else []):
        text = "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        _output.data(text if number else _output.title(text))
    for problem in problems:
        _output.failure(problem)
    if not rows and not problems:
        _output.say("no session is saved")
        _output.hint("save one: `:save NAME` in `ringfence repl`")


def _age(seconds: int) -> str:
    """Write how long ago, in the largest unit of which there are two."""
    for unit, name in _AGES:
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"
