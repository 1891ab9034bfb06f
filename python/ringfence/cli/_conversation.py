"""A person and a session in turns: read, run, show, until one of the two is done."""

from __future__ import annotations

from ringfence._text import quote

from . import _output
from ._exit import Exit
from ._showing import show, show_limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ringfence._policy import Limits, Policy
    from ringfence._session import Session
    from ringfence._turn import Turn

    from ._typing import Typing

_PROMPTS = {"python": (">>> ", "... ")}
_HELP = """\
:help      this page
:limits    what bounds each turn and the session, and what the last turn used
:restart   begin anew, without what was defined
:quit      leave; so does the end of input (Ctrl-D)
Ctrl-C interrupts a turn, and drops a line that is not sent. What begins with a colon is ours, the rest is run."""


class Conversation:
    """
    One person's session.

    Args:
        session: where pieces are run.
        language: its language.
        policy: what was asked for, for hints.
        turn: the limits of each turn.
        typing: where lines come from.
    """

    __slots__ = ("_language", "_last", "_policy", "_prompts", "_session", "_turn", "_typing")

    def __init__(self, session: Session, language: str, policy: Policy, turn: Limits, typing: Typing) -> None:
        self._session, self._language, self._policy, self._turn = session, language, policy, turn
        self._typing = typing
        self._prompts = _PROMPTS.get(language, ("> ", "... "))
        self._last: Turn | None = None

    def serve(self) -> int:
        """Go on until the end, and give the exit code."""
        while True:
            try:
                turn = self._piece()
            except EOFError:
                if self._typing.is_terminal:
                    _output.data("")
                return Exit.OK
            except KeyboardInterrupt:
                if not self._typing.is_terminal:
                    return Exit.CANCELLED
                _output.say("\ninterrupted")
                self._mend()
                continue
            except _Quit:
                return Exit.OK
            if turn is None:
                continue
            self._last = turn
            if turn.outcome == "exited":
                return min(turn.exit_code or 0, 255)
            show(turn, self._language, self._policy)
            self._mend()

    def _piece(self) -> Turn | None:
        """Read a whole piece and run it; None where there was nothing to run."""
        from ._lines import attempt

        first, more = self._prompts
        text = self._typing.line(first)
        if not text.strip():
            return None
        if text.startswith(":"):
            self._command(text)
            return None
        while (turn := attempt(self._session, self._language, text)) is None:
            try:
                text += f"\n{self._typing.line(more)}"
            except EOFError:  # what is there is run, so that its language says what is missing
                return self._session.eval(text, stdout="inherit", stderr="inherit")
        return turn

    def _mend(self) -> None:
        if self._session.poisoned is not None:
            self._session.restart()
            _output.say("the session begins anew: what was defined is gone")

    def _command(self, text: str) -> None:
        word = text.strip()
        if word == ":quit":
            raise _Quit
        if word == ":restart":
            self._session.restart()
        elif word == ":limits":
            show_limits(self._turn, self._policy.limits, self._last)
        elif word == ":help":
            _output.say(_HELP)
        else:
            _output.error(f"there is no `{quote(word, 40)}`", "what begins with a colon is ours", "see `:help`")


class _Quit(Exception):
    """Somebody is done."""
