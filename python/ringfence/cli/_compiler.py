"""What a compiler is given on the command line: flags, and a source on standard input, which an interpreter reads."""

from __future__ import annotations

from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument(
        "--compiler-flag",
        dest="compiler_flags",
        metavar="FLAG",
        action="append",
        default=[],
        help="a flag for the compiler of source in C, as `--compiler-flag=-O0`; again for more",
    )
    parser.add_argument(
        "--source",
        dest="sources",
        metavar="FILE",
        action="append",
        default=[],
        help="another source in C, compiled and linked with PROGRAM, or a header for it; again for more",
    )


def read_source(language: str) -> str | None:
    """
    Read the source from standard input, where the language is compiled; None where it is not.

    Raises:
        UsageError: it is no text.
        LoadError: there is no such language.
    """
    from ringfence.languages import find
    from ringfence.languages._pick import MAX_SCRIPT_BYTES

    if find(language).compiler is None:
        return None
    import sys

    try:
        # One more than is taken: then it is refused as too long.
        return sys.stdin.buffer.read(MAX_SCRIPT_BYTES + 1).decode()
    except UnicodeDecodeError as error:
        why = f"byte {error.start} of standard input is not UTF-8"
        raise UsageError("the source cannot be compiled", why, "write it as UTF-8") from error


def switches(language: str, words: list[str]) -> list[str]:
    """
    Give the arguments for the language itself, as they are.

    Raises:
        LoadError: there is no such language.
        UsageError: it is compiled, and what runs is the program.
    """
    import shlex

    from ringfence.languages import find

    pack = find(language)
    if pack.compiler is None:
        return words
    flag = shlex.quote(f"--compiler-flag={words[0]}")
    what = f"{pack.title} has no command line of its own here"
    raise UsageError(what, "its source is compiled, and the program is run", f"write `ringfence run {flag} FILE`")
