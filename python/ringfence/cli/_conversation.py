"""A person and a session in turns: read, run, show, until one of the two is done."""

from __future__ import annotations

from . import _output
from ._commands import Quit, obey
from ._exit import Exit
from ._showing import show, show_limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ringfence._policy import Limits, Policy
    from ringfence._turn import Turn

    from ._branches import Branches
    from ._typing import Typing

_PROMPTS = {"python": (">>> ", "... ")}


class Conversation:
    """
    One person's sessions.

    Args:
        branches: where pieces are run.
        policy: what was asked for, for hints.
        turn: the limits of each turn.
        typing: where lines come from.
    """

    __slots__ = ("_branches", "_last", "_policy", "_turn", "_typing")

    def __init__(self, branches: Branches, policy: Policy, turn: Limits, typing: Typing) -> None:
        self._branches, self._policy, self._turn, self._typing = branches, policy, turn, typing
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
            except Quit:
                return Exit.OK
            if turn is None:
                continue
            self._last = turn
            if turn.outcome == "exited":
                return min(turn.exit_code or 0, 255)
            if not show(turn, self._branches.language, self._policy):
                return Exit.OK
            self._mend()

    def _piece(self) -> Turn | None:
        """Read a whole piece and run it; None where there was nothing to run."""
        from ._lines import attempt

        session, language = self._branches.session, self._branches.language
        first, more = _PROMPTS.get(language, ("> ", "... "))
        text = self._typing.line(first)
        if not text.strip():
            return None
        if text.startswith(":"):
            limits = (self._turn, self._policy.limits, self._last)
            obey(text.strip(), self._branches, lambda: show_limits(*limits))
            return None
        while (turn := attempt(session, language, text)) is None:
            try:
                text += f"\n{self._typing.line(more)}"
            except EOFError:  # what is there is run, so that its language says what is missing
                return session.eval(text, stdout="inherit", stderr="inherit")
        return turn

    def _mend(self) -> None:
        if self._branches.session.poisoned is not None:
            self._branches.session.restart()
            _output.say("the session begins anew: what was defined is gone")
