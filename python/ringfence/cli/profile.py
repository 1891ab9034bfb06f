"""`ringfence profile`: where the time of calls of a plugin goes."""

from __future__ import annotations

from ringfence._text import quote

from . import _output
from ._calling import add_plugin, made, plugin_of, yours
from ._exit import Exit
from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ringfence import FunctionProfile


_MOST_DIGITS = 18


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    add_plugin(parser)
    parser.add_argument("--repeat", metavar="N", default="1", help="make the calls so often")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    parser.add_argument("program", metavar="PROGRAM", help="a component")
    parser.add_argument(
        "calls", metavar="CALL", nargs="+", help="a function and its parameters, as `ringfence call` takes"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Make the calls, in turns, and print what each function took."""
    times = _times(arguments.repeat)
    with plugin_of(arguments, profile=True) as plugin:
        calls = made(plugin, arguments.calls, written=False)
        for _ in range(times):
            for call in calls:
                with yours(arguments, plugin, call):
                    call.run()
        rows = plugin.profile()
    if arguments.json:
        import json

        _output.data(json.dumps([row._fields() for row in rows], ensure_ascii=False, indent=2))
    else:
        _output.data("\n".join(_table(rows)))
    return Exit.OK


def _times(word: str) -> int:
    times = int(word) if word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS else 0
    if times < 1:
        why = f"it is no number from 1 to {10**_MOST_DIGITS - 1}"
        raise UsageError(f"cannot repeat `{quote(word, 40)}` times", why, "write `--repeat 1000`")
    return times


def _table(rows: tuple[FunctionProfile, ...]) -> list[str]:
    lines = [_output.title(f"{'calls':>9} {'time':>10} {'each':>10} {'to guest':>10} {'from guest':>10}  function")]
    for row in rows:
        times = f"{_time(row.wall_seconds):>10} {_time(row.wall_seconds / row.calls):>10}"
        arrow = "" if row.side == "export" else "host: "
        sizes = f"{row.sent_bytes:>10} {row.received_bytes:>10}"
        lines.append(f"{row.calls:>9} {times} {sizes}  {arrow}{quote(row.function)}")
    return lines


def _time(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2f} {unit}"
    return f"{seconds * 1e6:.2f} us"
