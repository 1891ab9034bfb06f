"""Plugins on the command line: how one is loaded, and what is called."""

from __future__ import annotations

import os
from contextlib import contextmanager

from ringfence._text import quote
from ringfence.errors import RingfenceError

from . import _output
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


def plugin_of(arguments: argparse.Namespace, **given: Any) -> Plugin:  # noqa: ANN401 - keywords of Plugin
    """Load the plugin of a command line."""
    from ringfence._plugin import Plugin

    imports = dict(_import(word) for word in arguments.host)
    given |= {"imports": imports, "isolation": arguments.isolation}
    with _output.Progress(arguments.program) as progress:
        return Plugin(arguments.program, policy=policy_of(arguments), progress=progress, **given)


def made(plugin: Plugin, texts: list[str]) -> list[TextCall]:
    """Read the calls; none is made before all are read."""
    from ringfence._calls import TextCall
    from ringfence._wave import WaveError

    calls = []
    for text in texts:
        try:
            calls.append(TextCall(plugin, text))
        except WaveError as error:
            fix = f"see its functions: `ringfence inspect {plugin.program.name}`"
            raise UsageError(f"cannot call `{text[:60]}`", str(error), fix) from None
    return calls


@contextmanager
def yours(call: TextCall) -> Iterator[None]:
    """Tell what a function of the host raised in a call apart from what is wrong with us."""
    try:
        yield
    except RingfenceError:
        raise
    except Exception as error:
        if os.environ.get("RINGFENCE_TRACEBACK"):
            raise
        why = f"a function that `--host` gave it raised {type(error).__name__}: {error}".replace("\n", " ")
        fix = "mend it; `RINGFENCE_TRACEBACK=1` shows where it was raised"
        raise UsageError(f"no result of `{quote(call.title)}`", quote(why), fix) from error


def _import(word: str) -> tuple[str, object]:
    """Read NAME=MODULE:OBJECT; a class is called without arguments for an object of it."""
    import sys
    from importlib import import_module

    name, _, place = word.partition("=")
    module, _, attribute = place.partition(":")
    if not name or not module:
        raise UsageError(f"`--host {word}` is not NAME=MODULE:OBJECT", "both are needed", "write `app:host/log=log`")
    sys.path.insert(0, "")
    try:
        found: object = import_module(module)
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"cannot give `{name}`", str(error), "name a module of the current directory") from error
    finally:
        sys.path.remove("")
    return name, found() if isinstance(found, type) else found
