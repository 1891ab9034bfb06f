"""What attacks in a language have in common: how they are run, how they must end, and what is looked at behind them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ringfence
from ringfence import Limits, Policy, Session, SessionError
from security.isolated import options
from waiting import late

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfence import Result

WALL = 0.3
# Where they reach for memory: what they may have, in bytes.
MEMORY = 200 << 20


@dataclass(frozen=True)
class Hostile:
    """
    A language whose programs attack, each where the fixture `isolation` says.

    Attributes:
        language: its name.
        clean: a program that prints what an attack before it may have left.
        told: what it prints where nothing was left.
    """

    language: str
    clean: str
    told: str

    def attack(self, code: str, **limits: Any) -> Result:
        """Run the attack."""
        policy = Policy(limits=Limits(**{"wall": 60, "memory": "512MiB", **limits}))
        return ringfence.run(code=code, language=self.language, policy=policy, **options())

    def alive(self) -> None:
        """Look whether the next run is as if nothing had been."""
        result = self.attack(self.clean)
        assert (self.told, b"", ()) == (result.text, result.stderr, result.denials)

    def endless(self, code: str) -> None:
        """Run what never ends: it does at its deadline."""
        began = time.monotonic()
        result = self.attack(code, wall=WALL)

        assert "wall" == result.limit, result
        assert result.usage.wall_seconds < WALL + late()
        assert time.monotonic() - began < 20
        self.alive()

    def hog(self, code: str) -> Result:
        """Run what takes all memory: it gets no more than it may have."""
        result = self.attack(code, memory=MEMORY, wall=20)

        assert result.usage.memory_bytes <= MEMORY
        self.alive()
        return result

    def floods(self, codes: Iterable[str]) -> None:
        """Run what prints without end: it ends at its limit."""
        for code in codes:
            result = self.attack(code, output="64KiB")
            assert "output" == result.limit, (code, result)
            assert result.usage.output_bytes <= 64 << 10
        self.alive()

    def deep(self, code: str, *traps: str, **limits: Any) -> None:
        """Run what calls itself: the language's own error, a limit, or one of these traps; never the host's stack."""
        result = self.attack(code, **limits)

        assert result.outcome in {"exited", "trapped", "limited"}, result
        assert result.trap in {None, "stack overflow", *traps}, result
        self.alive()

    def strange(self, codes: Iterable[str], **limits: Any) -> None:
        """Run what may come to anything but for others: to a limit too, where one is said."""
        ends = {"exited", "trapped"} | ({"limited"} if limits else set())
        for code in codes:
            result = self.attack(code, **limits)
            assert result.outcome in ends, (code, result)
            self.alive()

    def turns(self, codes: Iterable[str], keep: str, kept: str) -> None:
        """Have a session of its own take each as a turn: it comes to something, and so does one after it."""
        for code in codes:
            with Session(self.language, turn=Limits(wall=WALL), **options()) as session:
                session.eval(keep)
                assert session.eval(code).outcome, code
                with contextlib.suppress(SessionError):
                    assert session.eval(kept).outcome, code
            self.alive()
