"""The command line: which verbs there are, and a parser whose errors teach."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import NoReturn, Protocol

    class Verb(Protocol):
        """What a file of a verb holds."""

        def add_arguments(self, parser: argparse.ArgumentParser) -> None:
            """Say what it takes."""

        def execute(self, arguments: argparse.Namespace) -> int:
            """Do it, and give the exit code."""


VERBS = {
    "run": "run a program under a policy",
    "repl": "type into a session of a language, under a policy",
    "languages": "list, check and install the languages that scripts can be in",
    "mcp": "serve sandboxed sessions to agents, as tools of the Model Context Protocol",
    "inspect": "show what a program wants and offers",
    "compile": "compile a program into the cache",
    "cache": "show or prune the cache of compiled programs",
    "policy": "check a policy file, or print its schema",
    "doctor": "show what this machine has, and what is missing",
    "completions": "print completions for a shell",
}


class UsageError(Exception):
    """The command line is wrong; three parts, like every error."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.what, self.why, self.fix = what, why, fix


# No argument of a process can be this.
_KEPT = "\0--"


def whole(words: Iterable[str]) -> list[str]:
    """Give the words for a guest as they were typed."""
    return ["--" if word == _KEPT else word for word in words]


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations that says what is wrong, why, and the nearest right word."""

    def __init__(self, prog: str, description: str | None = None) -> None:
        super().__init__(prog, description=description, allow_abbrev=False, formatter_class=_Formatter)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Keep `--` for the guest behind a flag that everything after it belongs to, where argparse would eat it."""
        words = list(args or ())
        rest = [action for action in self._actions if action.nargs == argparse.REMAINDER]
        ends = [name for action in rest for name in action.option_strings]
        cut = next((at for at, word in enumerate(words) if word in ends), len(words))
        words[cut:] = [_KEPT if word == "--" else word for word in words[cut:]]
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing usage."""
        what, _, rest = message.partition(": ")
        unknown = rest.split(" ", 1)[0] if what == "unrecognized arguments" else None
        near = nearest(unknown, self._option_string_actions) if unknown else None
        fix = f"did you mean `{near}`?" if near else f"see `{self.prog} --help`"
        if not rest:
            what, rest = "cannot read the command line", message
        raise UsageError(what, rest, fix)


class _Formatter(argparse.HelpFormatter):
    """Help as wide as an ordinary terminal, flags in a column of their own."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        """A flag that everything after it belongs to is shown with what it is about."""
        if action.option_strings and action.nargs == argparse.REMAINDER:
            return str(action.metavar)
        return super()._format_args(action, default_metavar)


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Find the word that was probably meant."""
    import difflib

    return next(iter(difflib.get_close_matches(word.partition("=")[0], list(words), 1, 0.6)), None)


def load(name: str) -> Verb:
    """Import a verb, and only that one."""
    from importlib import import_module

    verb: Verb = import_module(f"ringfence.cli.{name}")
    return verb


def parser(name: str) -> Parser:
    """Make the parser of a verb."""
    made = Parser(f"ringfence {name}", VERBS[name])
    load(name).add_arguments(made)
    return made
