"""Plugins on the command line: how one is loaded, and what is called."""

from __future__ import annotations

from contextlib import contextmanager

from ringfence._text import quote
from ringfence.errors import RingfenceError

from . import _output
from ._fixes import in_flags
from ._given import blame, given
from ._grants import add_grants, policy_of
from ._isolation import add_isolation
from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from ringfence._calls import TextCall
    from ringfence._plugin import Plugin


def add_plugin(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a policy, and those that give a plugin what it imports."""
    add_grants(parser)
    add_isolation(parser)
    parser.add_argument(
        "--host",
        metavar="NAME=MODULE:OBJECT",
        action="append",
        default=[],
        help="give it this import from a Python module: app:host/store=store:Store",
    )


def plugin_of(arguments: argparse.Namespace, **words: Any) -> Plugin:  # noqa: ANN401 - keywords of Plugin
    """Load the plugin of a command line."""
    from ringfence._plugin import Plugin

    imports = dict(map(given, arguments.host))
    words |= {"imports": imports, "isolation": arguments.isolation}
    policy = policy_of(arguments)
    with _output.Progress(arguments.program) as progress, in_flags(policy):
        return Plugin(arguments.program, policy=policy, progress=progress, **words)


def made(plugin: Plugin, texts: list[str], *, written: bool = True) -> list[TextCall]:
    """Read the calls; none is made before all are read, and none whose result cannot be `written`, if it is to be."""
    from ringfence._calls import TextCall
    from ringfence._wave import NoText
    from ringfence._wave_words import WaveError

    calls = []
    for text in texts:
        try:
            calls.append(TextCall(plugin, text, written=written))
        except WaveError as error:
            fix = f"see its functions: `ringfence inspect {plugin.program.name}`"
            if isinstance(error, NoText):
                fix = f"call it from Python: `ringfence.Plugin({plugin.program.name!r})`"
            raise UsageError(f"cannot call `{quote(text, 60)}`", str(error), fix) from None
    return calls


@contextmanager
def yours(arguments: argparse.Namespace, plugin: Plugin, call: TextCall) -> Iterator[None]:
    """Tell what a function of the host raised in a call apart from what is wrong with us."""
    try:
        with in_flags(plugin.policy):
            yield
    except RingfenceError:
        raise
    except BaseException as error:
        if not arguments.host:
            raise
        blame(error, f"no result of `{quote(call.title)}`", "a function that `--host` gave it")
