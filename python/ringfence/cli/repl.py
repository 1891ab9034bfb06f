"""`ringfence repl`: a session to type into, under one policy."""

from __future__ import annotations

from . import _output
from ._grants import add_grants, policy_of
from ._isolation import add_isolation
from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ringfence._isolation import Isolation
    from ringfence._policy import Limits, Policy
    from ringfence._session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.epilog = (
        "TIME and SIZE are written as for `ringfence run`. --wall, --cpu, --fuel and --output are for each turn, the "
        "rest for the session. Lines from a file or a pipe are run one piece after the other, without prompts."
    )
    add_grants(parser)
    add_isolation(parser)
    parser.add_argument("--load", metavar="NAME|PATH", help="go on from a session that was saved; PATH has a /")
    parser.add_argument("language", metavar="LANGUAGE", nargs="?", help="python unless given")


def execute(arguments: argparse.Namespace) -> int:
    """Read, run and show until the end of input, or until the guest exits."""
    from ringfence._isolation import close_all
    from ringfence._shares import shares

    from ._branches import Branches
    from ._conversation import Conversation
    from ._typing import Typing

    policy = policy_of(arguments)
    whole, turn = shares(policy)
    session, language = _opened(arguments, whole, turn)
    typing = Typing()
    try:
        with Branches(session, language, whole, turn, _isolation(arguments)) as branches, typing.history(language):
            if typing.is_terminal:
                _output.say(f"{language} in a sandbox; `:help` tells what else there is")
            return Conversation(branches, policy, turn, typing).serve()
    finally:
        close_all()


def _isolation(arguments: argparse.Namespace) -> Isolation | None:
    """Say where loaded sessions are: what was not typed leaves them where they were."""
    return None if arguments.isolation == "wasm" else arguments.isolation


def _opened(arguments: argparse.Namespace, policy: Policy, turn: Limits) -> tuple[Session, str]:
    """Open a new session, or one that was saved."""
    if arguments.load is not None:
        if arguments.language is not None:
            why = "a session that was saved has its language"
            what = f"`{arguments.language}` and `--load` were both given"
            raise UsageError(what, why, f"leave out `{arguments.language}`")
        from ._branches import load

        return load(arguments.load, policy, turn, _isolation(arguments))
    from ringfence._session import Session

    language = arguments.language or "python"
    with _output.Progress(language) as progress:
        given = {"policy": policy, "turn": turn, "progress": progress, "isolation": arguments.isolation}
        return Session(language, **given), language
