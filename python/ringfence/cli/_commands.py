"""What a person says to us and not to the guest: lines that begin with a colon."""

from __future__ import annotations

from ringfence._text import quote
from ringfence.errors import RingfenceError

from . import _output
from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._branches import Branches

_HELP = """\
:help      this page
:limits    what bounds each turn and the session, and what the last turn used
:restart   begin anew, without what was defined
:fork      go on in a copy; :back leaves it, and goes on where it was forked
:save NAME keep this session, or :save PATH; `ringfence session list` shows those with names
:load NAME go on from one that was saved, under what this command grants; :back leaves it
:quit      leave; so does the end of input (Ctrl-D)
Ctrl-C interrupts a turn, and drops a line that is not sent. What begins with a colon is ours, the rest is run."""


class Quit(Exception):
    """Somebody is done."""


def obey(text: str, branches: Branches, show_limits: Callable[[], None]) -> None:
    """
    Do what was said; what is wrong with it is told.

    Raises:
        Quit: that was it.
    """
    try:
        _do(text, branches, show_limits)
    except UsageError as problem:
        _output.error(problem.what, problem.why, problem.fix)
    except RingfenceError as problem:
        _output.failure(problem)


def _do(text: str, branches: Branches, show_limits: Callable[[], None]) -> None:
    word, _, rest = text.partition(" ")
    named = {":save": branches.save, ":load": branches.load}
    plain = {
        ":restart": branches.session.restart,
        ":fork": branches.fork,
        ":back": branches.back,
        ":limits": show_limits,
        ":help": lambda: _output.say(_HELP),
        ":quit": _quit,
    }
    if word in named:
        if not rest.strip():
            raise UsageError(f"`{word}` was given alone", "it takes a name, or a path", f"write `{word} NAME`")
        named[word](rest.strip())
    elif text in plain:
        plain[text]()
    elif word in plain:
        raise UsageError(f"`{quote(text, 40)}` has a word too many", f"`{word}` takes none", f"write `{word}`")
    else:
        raise UsageError(f"there is no `{quote(text, 40)}`", "what begins with a colon is ours", "see `:help`")


def _quit() -> None:
    raise Quit
