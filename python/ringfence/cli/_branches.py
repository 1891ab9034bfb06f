"""The sessions of one person: the one that is typed into, and those that it was forked from."""

from __future__ import annotations

from ringfence.errors import SessionError

from . import _output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from ringfence._isolation import Isolation
    from ringfence._policy import Limits, Policy
    from ringfence._session import Session


class Branches:
    """
    Sessions of which the last is typed into.

    Args:
        session: the first.
        language: its language.
        policy: what loaded ones may do too: what somebody typed flags for.
        turn: limits of each of their turns.
        isolation: where loaded ones are; where they were when they were saved, without it.
    """

    __slots__ = ("_isolation", "_policy", "_stack", "_turn")

    def __init__(
        self, session: Session, language: str, policy: Policy, turn: Limits, isolation: Isolation | None
    ) -> None:
        self._stack, self._policy, self._turn, self._isolation = [(session, language)], policy, turn, isolation

    @property
    def session(self) -> Session:
        """The one that is typed into."""
        return self._stack[-1][0]

    @property
    def language(self) -> str:
        """What it speaks."""
        return self._stack[-1][1]

    def fork(self) -> None:
        """Go on in a copy."""
        self._stack.append((self.session.fork(), self.language))
        _output.say("a copy; `:back` leaves it, and goes on where it was forked")

    def back(self) -> None:
        """Leave a copy, or one that was loaded."""
        if len(self._stack) == 1:
            raise SessionError("there is no way back", "this is the first session", "`:fork` makes a copy of it")
        self._stack.pop()[0].close()
        copies = len(self._stack) - 1
        _output.say(f"back; {copies} more to leave" if copies else "back at the first session")

    def save(self, word: str) -> None:
        """Save it under a name, or at a path."""
        from ._named import place

        self.session.snapshot().save(place(word))
        named = "" if "/" in word else f"; `ringfence repl --load {word}` goes on from there"
        _output.say(f"saved{named}")

    def load(self, word: str) -> None:
        """Go on from one that was saved."""
        self._stack.append(load(word, self._policy, self._turn, self._isolation))
        _output.say(f"{self.language}, as it was saved; `:back` leaves it")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for session, _language in self._stack:
            session.close()


def load(word: str, policy: Policy, turn: Limits, isolation: Isolation | None) -> tuple[Session, str]:
    """Open a session that was saved, under the policy that was typed: as wide as somebody asked for."""
    from ringfence._snapshot import Snapshot

    from ._named import found

    with _output.Progress("the language") as progress:
        snapshot = Snapshot.load(
            found(word), policy=policy, allow_wider=True, turn=turn, progress=progress, isolation=isolation
        )
    return snapshot.fork(), snapshot.language
