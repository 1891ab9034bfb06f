"""What a person says to us: the words, and what is said where they are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence.cli._branches import Branches
from ringfence.cli._commands import Quit, obey
from ringfence.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable


class Told(Branches):
    """Branches that only note what they are told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattribute__(self, name: str) -> object:
        if name in {"fork", "back", "save", "load"}:
            return lambda *words: self.told.append(" ".join([name, *words]))
        return self if name == "session" else object.__getattribute__(self, name)

    def restart(self) -> None:
        """Fail."""
        raise HostError("no memory", "there is none", "buy some")


@pytest.fixture
def say() -> Callable[[str], list[str]]:
    """Say something, and give what came of it."""
    branches = Told()

    def say(text: str) -> list[str]:
        obey(text, branches, lambda: branches.told.append("limits"))
        return branches.told

    return say


def test_words_are_obeyed(say: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    """Names may stand anywhere behind them."""
    for text in (":fork", ":back", ":limits", ":save  one ", ":load ./a b"):
        say(text)
    assert ["fork", "back", "limits", "save one", "load ./a b"] == say(":help")
    assert "\n:fork " in capsys.readouterr().err
    with pytest.raises(Quit):
        say(":quit")


@pytest.mark.parametrize("text", [":", ":save", ":load ", ":fork one", ":quit now", ": fork", ":nope", ":Fork"])
def test_what_is_wrong_is_told(text: str, say: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    """With what would be right, and nothing is done."""
    assert [] == say(text)
    assert "hint:" in capsys.readouterr().err


def test_failure_is_told(say: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    """And is no end."""
    say(":restart")
    assert "error: no memory: there is none\nhint: buy some\n" == capsys.readouterr().err
