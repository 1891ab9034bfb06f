"""
All we print. The guest owns stdout while it runs; we speak on stderr, lower case, no full stop.

Data (`--json`, reports) goes to stdout. Colour is never the only signal, and `NO_COLOR` is obeyed.
"""

from __future__ import annotations

import os
import sys

from ringfence.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from ringfence.errors import RingfenceError

    from ._verbs import UsageError

_RED, _CYAN, _BOLD = "31", "36", "1"


def error(what: str, why: str, hint_text: str | None = None) -> None:
    """Say what happened and why on one line, and the fix on the next."""
    say(f"{_paint('error:', _RED)} {what}: {why}")
    if hint_text:
        hint(hint_text)


def hint(text: str) -> None:
    """Say what would mend it."""
    say(f"{_paint('hint:', _CYAN)} {text}")


def failure(problem: RingfenceError | UsageError, *, as_json: bool = False) -> None:
    """Report one of our errors, for people or for machines; for people where nothing can be written for machines."""
    if as_json:
        import json

        parts = {"code": problem.code, "what": problem.what, "why": problem.why, "fix": problem.fix}
        document = json.dumps({"error": parts}, ensure_ascii=False, indent=2)
        try:
            # A byte of the command line that is no UTF-8 is escaped, as JSON has it.
            data(document.encode(errors="backslashreplace").decode())
        except Unwritable:
            pass
        else:
            return
    error(problem.what, problem.why, problem.fix)


def data(text: str) -> bool:
    """Write data to stdout, and tell whether somebody reads it; a reader that has had enough is no error."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError as error:
        # What is still buffered must not be written again when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):
            why = error.strerror or str(error)
            raise Unwritable("cannot write to standard output", why, "write it somewhere else") from error
        return False
    return True


def say(text: str) -> None:
    """Write a line to stderr, if there is one."""
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")


def is_watched() -> bool:
    """Tell whether what we say is read as it comes, on a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def title(text: str) -> str:
    """Make a heading of a report."""
    return _paint(text, _BOLD, sys.stdout)


class Unwritable(HostError):
    """There is nowhere to write data to."""


class Progress:
    """A line that grows old in place while something is made that is kept: on a terminal, and gone afterwards."""

    def __init__(self, name: str, doing: str = "compiling", kept: str = ", once; then it is in the cache") -> None:
        self._doing, self._kept = f"{doing} {name}", kept
        self._shown = False

    def __call__(self, elapsed_seconds: float) -> None:
        """Show how long it has taken."""
        if is_watched():
            self._shown = True
            sys.stderr.write(f"\r\x1b[K{self._doing}: {elapsed_seconds:.0f} s{self._kept}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _paint(text: str, colour: str, stream: object = None) -> str:
    stream = sys.stderr if stream is None else stream
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    isatty = getattr(stream, "isatty", None)
    return f"\x1b[{colour}m{text}\x1b[0m" if isatty is not None and isatty() else text
