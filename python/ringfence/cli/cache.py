"""`ringfence cache`: where compiled programs and packages are kept, how much that is, and less of it."""

from __future__ import annotations

from ringfence._units import about, to_size

from . import _output
from ._exit import Exit
from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.description = f"{parser.description}; RINGFENCE_CACHE says where it is"
    parser.add_argument(
        "--keep",
        metavar="SIZE",
        help="with prune: how much of the programs to keep, and every package; nothing unless given",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument("what", choices=("show", "prune"), nargs="?", default="show", help="show unless given")


def execute(arguments: argparse.Namespace) -> int:
    """Show the cache, or prune it."""
    from ringfence._engine import core

    if arguments.what == "show" and arguments.keep is not None:
        raise UsageError("`--keep` was given", "showing the cache removes nothing", "write `ringfence cache prune`")
    keep = _size(arguments.keep or "0B")
    import json

    from ringfence import packages

    if arguments.what == "show":
        facts = json.loads(core.cache_info())
        place, sets, size = packages.kept()
        facts["packages"] = {"path": place, "entries": sets, "bytes": size}
        lines = [f"{facts['path']}: {facts['entries']} programs, {about(facts['bytes'])}"]
        lines += [f"{place}: {sets} sets of packages, {about(size)}"] if sets else []
    else:
        facts = json.loads(core.cache_prune(keep))
        sets, size = (0, 0) if keep else packages.prune()
        facts["packages"] = {"removed": sets, "freed_bytes": size}
        lines = [f"removed {facts['removed']} programs, {about(facts['freed_bytes'])}"]
        lines += [f"removed {sets} sets of packages, {about(size)}"] if sets else []
    if arguments.json:
        _output.data(json.dumps(facts, indent=2))
        return Exit.OK
    for line in lines:
        _output.data(line)
    if facts.get("problem"):
        _output.hint(facts["problem"])
    return Exit.OK


def _size(text: str) -> int:
    try:
        return to_size(text)
    except ValueError as error:
        raise UsageError(f"cannot read `--keep {text}`", str(error), 'write "64KiB", "256MiB" or "1GiB"') from error
