"""Whole pieces of source out of lines that are typed: the language itself says whether more must follow."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ringfence._session import Session
    from ringfence._turn import Turn

# Where QuickJS was when it gave up, in the last line of what it says.
_PLACE = re.compile(r"at <cell \d+>:(\d+):(\d+)\n$")

# Of an error that only says that the text has ended: its type, and what is in its message.
_ENDS_EARLY = {
    "lua": ("SyntaxError", re.compile(r"near <eof>\Z")),
    "sqlite": ("SQLITE_ERROR", re.compile(r"incomplete input\Z")),
    "php": ("ParseError", re.compile(r"\Asyntax error, unexpected end of file|\AUnclosed |\AUnterminated comment")),
    # Prism points at what is wrong, below the line that has it: all of it is that something was to come yet.
    "ruby": (
        "SyntaxError",
        re.compile(
            r"\A<cell \d+>:(?![\s\S]*^ +\| +\^~* unexpected (?!end-of-input))[\s\S]*^ +\| +\^~* .*(?:meets end of file|"
            r"unexpected end-of-input|before EOF|closing delimiter|to close the |to end with |a matching )",
            re.MULTILINE,
        ),
    ),
    "perl": (
        "SyntaxError",
        re.compile(r"\AMissing right |\Asyntax error at .*, at EOF$|anywhere before EOF at ", re.MULTILINE),
    ),
}


def attempt(session: Session, language: str, text: str) -> Turn | None:
    """
    Run text if it is whole; None where more lines must follow, and then nothing of it has run.

    A language that is not known here is read line by line.
    """
    if language == "python" and _wants_more(session, text):
        return None
    turn = session.eval(text, stdout="inherit", stderr="inherit")
    if language == "javascript":
        return None if is_cut_short(turn, text) else turn
    return None if language in _ENDS_EARLY and _ends_early(turn, *_ENDS_EARLY[language]) else turn


def _wants_more(session: Session, text: str) -> bool:
    """Ask the session's own `codeop`: only that Python knows its grammar."""
    asked = f"__import__('codeop').compile_command({text!r}) is None"
    return session.eval(asked, stdout="discard", stderr="discard").value is True


def _ends_early(turn: Turn, kind: str, words: re.Pattern[str]) -> bool:
    """Tell whether a language gave up at the end of the text, by the words that its own console goes by."""
    return turn.error is not None and turn.error.type == kind and words.search(turn.error.message) is not None


def is_cut_short(turn: Turn, text: str) -> bool:
    """Tell whether JavaScript gave up at the end of the text, before it ran any of it."""
    error = turn.error
    place = _PLACE.search(error.traceback) if error is not None and error.type == "SyntaxError" else None
    if error is None or place is None:
        return False
    lines = text.split("\n")
    row, column = int(place[1]) - 1, int(place[2]) - 1
    if error.message == "unexpected end of string":
        return row < len(lines) and lines[row][column : column + 1] in {"`", "}"}  # of a template
    return error.message == "unexpected end of comment" or (row, column) >= (len(lines) - 1, len(lines[-1].rstrip()))
