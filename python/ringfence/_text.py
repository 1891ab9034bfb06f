"""Text that a guest chose, made safe for a terminal, a log or an exception."""

from __future__ import annotations

_MAX_CHARACTERS = 200


def quote(text: str, limit: int = _MAX_CHARACTERS) -> str:
    r"""
    Escape every control, format and direction character; cut to `limit` characters and say how many are missing.

    ESC and LF forge output, bidirectional overrides reorder it, a long name floods it.

    >>> quote("a\x1b[2J")
    'a\\x1b[2J'
    """
    missing = len(text) - limit
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text[:limit]
    )
    return f"{shown}… ({missing} more)" if missing > 0 else shown
