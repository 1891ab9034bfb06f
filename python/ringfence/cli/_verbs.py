"""Which verbs there are, and what is said where the command line is wrong. It is read before every run: no argparse."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from typing import Protocol

    class Verb(Protocol):
        """What a file of a verb holds."""

        def add_arguments(self, parser: argparse.ArgumentParser) -> None:
            """Say what it takes."""

        def execute(self, arguments: argparse.Namespace) -> int:
            """Do it, and give the exit code."""


# `argparse.REMAINDER`
REST = "..."

VERBS = {
    "run": "run a program under a policy",
    "repl": "type into a session of a language, under a policy",
    "session": "list or remove sessions that were saved",
    "languages": "list, check and install the languages that scripts can be in",
    "mcp": "serve sandboxed sessions to agents, as tools of the Model Context Protocol",
    "inspect": "show what a program wants and offers",
    "new": "make a folder to begin a plugin with",
    "build": "build a plugin with the tools of its language",
    "bindings": "write the types of a plugin as a stub, for type checkers",
    "call": "call a function of a plugin",
    "profile": "measure where the time of calls of a plugin goes",
    "compile": "compile a program into the cache",
    "bake": "make a program of a script in Python, for any runtime of WASI 0.2",
    "cache": "show or prune the cache of compiled programs and packages",
    "policy": "check a policy file, or print its schema",
    "doctor": "show what this machine has, and what is missing",
    "completions": "print completions for a shell",
}


class UsageError(Exception):
    """The command line is wrong, or what it names of yours; three parts and a code, like every error."""

    code = "usage"

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.what, self.why, self.fix = what, why, fix


# Stands for `--` while argparse reads: no argument of a process can be this.
KEPT = "\0--"


def whole(words: Iterable[str]) -> list[str]:
    """Give the words for a guest as they were typed."""
    return ["--" if word == KEPT else word for word in words]


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Find the word that was probably meant."""
    import difflib

    return next(iter(difflib.get_close_matches(word.partition("=")[0], list(words), 1, 0.6)), None)


def load(name: str) -> Verb:
    """Import a verb, and only that one."""
    from importlib import import_module

    verb: Verb = import_module(f"ringfence.cli.{name}")
    return verb
