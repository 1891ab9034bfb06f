"""Parsers whose errors teach."""

import pytest

from ringfence.cli._parser import parser
from ringfence.cli._verbs import VERBS, UsageError, whole


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_flag_has_help(verb: str) -> None:
    """A flag without a word about it does not exist."""
    made = parser(verb)

    assert made.description is not None
    assert made.description.startswith(VERBS[verb])
    assert [] == [action.dest for action in made._actions if not action.help]


@pytest.mark.parametrize("verb", VERBS)
def test_no_flag_is_abbreviated(verb: str) -> None:
    """A flag added later never changes what a shorter one meant."""
    with pytest.raises(UsageError):
        parser(verb).parse_args(["--jso"])


def test_missing_program_is_one_thing_missing() -> None:
    """The error names what to add."""
    with pytest.raises(UsageError) as raised:
        parser("run").parse_args([])

    assert ("the following arguments are required", "PROGRAM") == (raised.value.what, raised.value.why)


def test_everything_after_the_program_is_its_own() -> None:
    """Flags of the guest are not ours, whatever they are called."""
    arguments = parser("run").parse_args(["--wall", "1s", "tool.wasm", "--help", "--wall", "--", "-x"])

    assert ("1s", "tool.wasm", ["--help", "--wall", "--", "-x"]) == (arguments.wall, arguments.program, arguments.args)


def test_dashes_behind_a_flag_that_ends_ours_are_the_guests() -> None:
    """`--` ends our flags before PROGRAM and is an argument like any other after `-c CODE`."""
    run = parser("run")

    assert "tool.wasm" == run.parse_args(["--wall", "1s", "--", "tool.wasm"]).program
    assert ["--", "-x"] == whole(run.parse_args(["tool.wasm", "-c", "--", "-x"]).args)[1:]
    assert ["x", "--", "y"] == run.parse_args(["-c", "x", "--", "y"]).code
