"""`ringfence repl`: a session to type into, under one policy."""

from __future__ import annotations

from . import _output
from ._grants import add_grants, policy_of
from ._isolation import add_isolation

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.epilog = (
        "TIME and SIZE are written as for `ringfence run`. --wall, --cpu, --fuel and --output are for each turn, the "
        "rest for the session. Lines from a file or a pipe are run one piece after the other, without prompts."
    )
    add_grants(parser)
    add_isolation(parser)
    parser.add_argument("language", metavar="LANGUAGE", nargs="?", default="python", help="python unless given")


def execute(arguments: argparse.Namespace) -> int:
    """Read, run and show until the end of input, or until the guest exits."""
    from ringfence._isolation import close_all
    from ringfence._session import Session
    from ringfence._shares import shares

    from ._conversation import Conversation
    from ._typing import Typing

    policy = policy_of(arguments)
    whole, turn = shares(policy)
    with _output.Progress(arguments.language) as progress:
        session = Session(arguments.language, policy=whole, turn=turn, progress=progress, isolation=arguments.isolation)
    typing = Typing()
    try:
        with session, typing.history(arguments.language):
            if typing.is_terminal:
                _output.say(f"{arguments.language} in a sandbox; `:help` tells what else there is")
            return Conversation(session, arguments.language, policy, turn, typing).serve()
    finally:
        close_all()
