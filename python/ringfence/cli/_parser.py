"""The command line: which verbs there are, and a parser whose errors teach."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn, Protocol

    class Verb(Protocol):
        """What a file of a verb holds."""

        def add_arguments(self, parser: argparse.ArgumentParser) -> None:
            """Say what it takes."""

        def execute(self, arguments: argparse.Namespace) -> int:
            """Do it, and give the exit code."""


VERBS = {
    "run": "run a program under a policy",
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


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations that says what is wrong, why, and the nearest right word."""

    def __init__(self, prog: str, description: str | None = None) -> None:
        super().__init__(prog, description=description, allow_abbrev=False, formatter_class=_Formatter)

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
