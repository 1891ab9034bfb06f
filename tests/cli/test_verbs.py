"""Which verbs there are."""

from __future__ import annotations

import pytest

from ringfence.cli._verbs import VERBS, load, nearest


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_it_takes_and_does_it(verb: str) -> None:
    """Each is a file of its own."""
    loaded = load(verb)

    assert callable(loaded.add_arguments)
    assert callable(loaded.execute)


def test_word_that_was_probably_meant_is_near() -> None:
    """A value behind a flag does not count, and what is far away is not guessed."""
    assert "--wall" == nearest("--wal=3", ["--wall", "--cpu"])
    assert nearest("nothing", VERBS) is None
