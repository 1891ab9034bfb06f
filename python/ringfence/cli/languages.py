"""`ringfence languages`: which languages scripts can be in, and more of them."""

from __future__ import annotations

from ringfence.errors import LoadError, RingfenceError

from . import _output
from ._exit import Exit
from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ringfence.languages import Pack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    add = parser.add_argument
    add(
        "--from",
        dest="source",
        metavar="FOLDER",
        help="with install: a folder with its wheel, a wheel, a project, or a checkout of Ringfence that builds it",
    )
    add("--json", action="store_true", help="print it as JSON")
    words = ("list", "check", "install")
    add("what", choices=words, nargs="?", default="list", help="list unless given; check compares every digest")
    add("name", metavar="NAME", nargs="?", help="the language to install or check, such as python")


def execute(arguments: argparse.Namespace) -> int:
    """List, check or install."""
    what, name = arguments.what, arguments.name
    if arguments.source is not None and what != "install":
        raise UsageError(
            "`--from` was given", f"`languages {what}` installs nothing", "write `ringfence languages install`"
        )
    if what == "list" and name is not None:
        raise UsageError(f"`{name}` was given", "the list is one of all", f"write `ringfence languages check {name}`")
    if what == "install":
        if name is None:
            raise UsageError("no language was named", "one is installed by its name", "write `… install python`")
        return _report([_install(name, arguments.source)], [], as_json=arguments.json)
    packs, problems = _found(name, whole=what == "check")
    return _report(packs, problems, as_json=arguments.json)


def _install(name: str, source: str | None) -> Pack:
    """Install it, check it, and compile it, so that its first run is like every other."""
    from ringfence._engine import core
    from ringfence._policy import Limits, Policy
    from ringfence._program import pack_program
    from ringfence.languages._install import install

    pack = install(name, source, _output.say, quiet=not _output.is_watched())
    with _output.Progress(name) as progress:
        # Who installs it trusts it to be as large as it is: `python-data` takes minutes.
        patient = Policy(limits=Limits(compile="30m"))
        core.precompile(pack_program(pack)._native, patient._native, progress)  # noqa: SLF001
    return pack


def _found(name: str | None, *, whole: bool) -> tuple[list[Pack], list[RingfenceError]]:
    """Find the languages that can be used, and what is wrong with the others."""
    from ringfence.languages import find, names
    from ringfence.languages._pack import check_digest

    packs: list[Pack] = []
    problems: list[RingfenceError] = []
    for language in names() if name is None else [name]:
        try:
            pack = find(language)
            if whole:
                check_digest(pack)
            packs.append(pack)
        except LoadError as problem:
            problems.append(problem)
    return packs, problems


def _report(packs: list[Pack], problems: list[RingfenceError], *, as_json: bool) -> int:
    if as_json:
        import json

        parts = [{"code": one.code, "what": one.what, "why": one.why, "fix": one.fix} for one in problems]
        _output.data(json.dumps({"languages": [_facts(pack) for pack in packs], "problems": parts}, indent=2))
        return Exit.PROBLEM if problems else Exit.OK
    from ringfence._units import about

    rows = [("language", "version", "pack", "size", "from", "licence")]
    rows += [(pack.language, pack.title, pack.version, about(pack.size), pack.origin, pack.licence) for pack in packs]
    if packs:
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for number, row in enumerate(rows):
            line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            _output.data(line if number else _output.title(line))
    for problem in problems:
        _output.failure(problem)
    if not packs and not problems:
        _output.say("no language is installed")
        _output.hint("install one: `ringfence languages install python`")
    return Exit.PROBLEM if problems else Exit.OK


def _facts(pack: Pack) -> dict[str, object]:
    hidden = {"changed", "argv0", "code", "module", "stdin", "compiler"}
    return {name: value for name, value in pack._fields().items() if name not in hidden}
