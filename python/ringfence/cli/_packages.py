"""Packages for a script: named by flags, in a file, or by the script itself where somebody agrees."""

from __future__ import annotations

import sys

from . import _output
from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ringfence._source import Runnable

# Most packages of which a question or a hint names each.
_NAMED = 8
_MARK = b"# /// script"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    add = parser.add_argument
    add(
        "--with",
        dest="packages",
        metavar="NAME[==V]",
        action="append",
        help="bring in this package of the Python Package Index, for a script in Python",
    )
    add("--with-file", metavar="FILE", action="append", help="bring in the packages that this file lists")
    add("--with-inline", action="store_true", help="bring in what the script itself asks for (PEP 723)")


def named(arguments: argparse.Namespace) -> list[str]:
    """Give the packages that the flags name."""
    return [*(arguments.packages or ()), *(line for file in arguments.with_file or () for line in _of_file(file))]


def asked_for(arguments: argparse.Namespace, runnable: Runnable) -> list[str]:
    """Give what the script asks for, where a flag or somebody at the terminal agrees: it is not trusted with it."""
    if not arguments.with_inline:
        return found if (found := _readable(runnable)) and _agrees(runnable, found) else []
    found = _inline(runnable)
    if not found:
        why, fix = "there is no list of packages in the script's comments", "name them: `ringfence run --with NAME …`"
        if runnable.source is None:
            why = "only a script in a file is looked at, and what is run here is none"
            fix = "write it to a file, or name them: `ringfence run --with NAME …`"
        raise UsageError("`--with-inline` was given", why, fix)
    return found


def package_hint(arguments: argparse.Namespace, runnable: Runnable) -> str | None:
    """After a script that failed and that asked for packages which nobody brought in: the flag that does."""
    if arguments.packages or arguments.with_file or arguments.with_inline:
        return None
    if not (found := _readable(runnable)):
        return None
    return f"the script asks for {_listed(found)}, which was not brought in: add `--with-inline`, or leave it so"


def _readable(runnable: Runnable) -> list[str]:
    """What is wrong with them is nothing to a script that runs without: they are comments."""
    try:
        return _inline(runnable)
    except ValueError:
        return []


def _inline(runnable: Runnable) -> list[str]:
    """Nothing is imported for a script that has no such comment."""
    if runnable.pack is None or runnable.source is None or _MARK not in runnable.source:
        return []
    from ringfence.packages import asked_for as inline

    return inline(runnable.source, runnable.pack.language_version)


def _agrees(runnable: Runnable, found: list[str]) -> bool:
    if not _output.is_watched() or sys.stdin is None or not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{runnable.args[0]} asks for {_listed(found)}: fetch it from the package index? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _listed(found: list[str]) -> str:
    from ringfence._text import quote

    shown = ", ".join(f"`{quote(one, 60)}`" for one in found[:_NAMED])
    return shown if len(found) <= _NAMED else f"{shown} and {len(found) - _NAMED} more"


def _of_file(path: str) -> list[str]:
    from ringfence.packages import of_file

    try:
        with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123
            return of_file(file.read(1 << 20))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        fix = "write one package in each line, such as `jinja2==3.1.6`"
        raise UsageError(f"cannot read `--with-file {path}`", why, fix) from error
