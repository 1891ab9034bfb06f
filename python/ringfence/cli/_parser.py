"""The command line: a parser whose errors teach."""

from __future__ import annotations

import argparse

from ._verbs import KEPT, VERBS, UsageError, load, nearest, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations that says what is wrong, why, and the nearest right word."""

    def __init__(self, prog: str, description: str | None = None) -> None:
        super().__init__(prog, description=description, allow_abbrev=False, formatter_class=_Formatter)
        self.register("action", "instead", _Instead)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Keep `--` for the guest behind a flag that everything after it belongs to, where argparse would eat it."""
        words = list(args or ())
        rest = [action for action in self._actions if action.nargs == argparse.REMAINDER]
        ends = [name for action in rest for name in action.option_strings]
        cut = next((at for at, word in enumerate(words) if word in ends), len(words))
        words[cut:] = [KEPT if word == "--" else word for word in words[cut:]]
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


class _Instead(argparse.Action):
    """A flag that stands for the program: what follows its value belongs to the guest."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        if not values:
            raise UsageError(
                f"`{option_string}` was given without a value", "it takes one", f"see `{parser.prog} --help`"
            )
        setattr(namespace, self.dest, whole(map(str, values)))
        for action in parser._actions:  # noqa: SLF001 - argparse has no other way
            if action.dest == "program":
                action.required = False


def parser(name: str) -> Parser:
    """Make the parser of a verb."""
    made = Parser(f"ringfence {name}", VERBS[name])
    load(name).add_arguments(made)
    return made
