"""From the command line to an exit code."""

from __future__ import annotations

import os
import sys

from ringfence.errors import HostError, RingfenceError

from . import _output, _stdio
from ._exit import Exit
from ._verbs import VERBS, UsageError, load, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_USAGE = """\
usage: ringfence VERB …

Run any WASI program under one policy: files, variables, clocks and limits, denied unless granted.

verbs:
{verbs}

`ringfence VERB --help` tells more; `ringfence --version` tells the version.\
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code; without `argv` it is that of this process, which ends with it."""
    if argv is None:
        _stdio.hold()
        _stdio.leave(_execute(sys.argv[1:]))
    return _execute(list(argv))


def _execute(words: list[str]) -> int:
    as_json = False
    try:
        name = words[0] if words else "--help"
        if name in VERBS:
            arguments = _arguments(name, words[1:])
            as_json = getattr(arguments, "json", False)
            return load(name).execute(arguments)
        return _without_verb(name)
    except UsageError as problem:
        _output.failure(problem, as_json=as_json)
        return Exit.USAGE
    except RingfenceError as problem:
        if name != "run":
            # What it imports takes longer than a run.
            from ._fixes import of_other_verb

            of_other_verb(problem)
        _output.failure(problem, as_json=as_json and not isinstance(problem, _output.Unwritable))
        return problem.exit_code
    except KeyboardInterrupt:
        return Exit.CANCELLED
    except Exception as problem:
        if os.environ.get("RINGFENCE_TRACEBACK"):
            raise
        why = f"{type(problem).__name__}: {problem}".replace("\n", " ")
        fix = "set `RINGFENCE_TRACEBACK=1` to see where, and report it"
        _output.failure(HostError("ringfence failed", why, fix), as_json=as_json)
        return Exit.OURS


def _arguments(name: str, words: list[str]) -> argparse.Namespace:
    if name == "run" and words and not words[0].startswith("-") and "--" not in words:
        from ._plain import plain

        return plain(name, words)
    from ._parser import parser

    return parser(name).parse_args(words)


def _without_verb(word: str) -> int:
    if word in {"--help", "-h"}:
        verbs = "\n".join(f"  {name:<12} {summary}" for name, summary in VERBS.items())
        _output.data(_USAGE.format(verbs=verbs))
        return Exit.OK
    if word == "--version":
        from importlib.metadata import version

        _output.data(f"ringfence {version('ringfence')}")
        return Exit.OK
    near = nearest(word, VERBS)
    fix = f"did you mean `ringfence {near}`?" if near else "see `ringfence --help`"
    if os.path.exists(word):  # noqa: PTH110 - pathlib costs 4 ms to import
        fix = f"did you mean `ringfence run {word}`?"
    raise UsageError(f"there is no verb `{word}`", f"the verbs are {', '.join(VERBS)}", fix)
