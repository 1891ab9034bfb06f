"""What `--host` gives a plugin: objects of Python modules of the user's, and what those raise."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from ringfence._text import quote

from . import _output
from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_NAMES = "name a module of the current directory, and an object that it has"
_MEND = "mend it; `RINGFENCE_TRACEBACK=1` shows where it was raised"


def given(word: str) -> tuple[str, object]:
    """Read NAME=MODULE:OBJECT; a class is called without arguments for an object of it."""
    from importlib import import_module

    name, _, place = word.partition("=")
    module, _, attribute = place.partition(":")
    if not name or not module or module.startswith("."):
        why = "both are needed, and MODULE is a name without a dot before it"
        raise UsageError(f"`--host {quote(word)}` is not NAME=MODULE:OBJECT", why, "write `app:host/log=log`")
    found: object = None
    sys.path.insert(0, "")
    try:
        found = import_module(module)
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
        return name, found() if isinstance(found, type) else found
    except BaseException as error:  # noqa: BLE001 - whatever a module of theirs raises
        is_name = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        is_name |= isinstance(error, AttributeError) and error.obj is found
        blame(error, f"cannot give `{quote(name)}`", f"`{quote(place)}`", _NAMES if is_name else _MEND)
    finally:
        with suppress(ValueError):  # it may have taken that away itself
            sys.path.remove("")


def blame(error: BaseException, what: str, who: str, fix: str = _MEND) -> NoReturn:
    """Say that code of the user's raised this, whatever it is; Ctrl-C stays that."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    if os.environ.get("RINGFENCE_TRACEBACK"):
        import traceback

        _output.say("".join(traceback.format_exception(error)).rstrip())
    try:
        said = f": {error}" if str(error) else ""
    except Exception:  # noqa: BLE001 - an exception of theirs may not even have text
        said = ""
    why = f"{who} raised {type(error).__name__}{said}".replace("\n", " ")
    raise UsageError(what, quote(why), fix) from error
