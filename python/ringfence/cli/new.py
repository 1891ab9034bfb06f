"""`ringfence new`: a folder to begin a plugin with."""

from __future__ import annotations

from . import _output
from ._exit import Exit
from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    from ringfence._templates import LANGUAGES

    parser.add_argument("--language", choices=LANGUAGES, required=True, help="what it is written in")
    parser.add_argument(
        "name", metavar="NAME", help="the name of the plugin, and of its folder: small letters and dashes"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Write the folder; one that is there is left alone."""
    import re
    from pathlib import Path

    from ringfence._templates import files

    name = arguments.name
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*", name):
        raise UsageError(
            f"cannot name a plugin `{name[:60]}`", "it is a name of WIT too", "write it like `page-renderer`"
        )
    folder = Path(name)
    try:
        folder.mkdir()
        for path, text in files(name, arguments.language).items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"cannot make `{name}`", "there is one already", "take another name") from None
    except OSError as error:
        raise _output.Unwritable(
            f"cannot make `{name}`", error.strerror or str(error), "take another folder"
        ) from error
    _output.say(f"made {name}: `cd {name} && ringfence build`")
    return Exit.OK
