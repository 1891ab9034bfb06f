"""
The plain part of TOML, which a `pack.toml` is written in: one key a line, texts without escapes, lists of them.

Importing `tomllib` costs 5 ms, a fifth of what a whole start may take. What is not plain is left to it, and so is every
error.
"""

from __future__ import annotations

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_MAX_DIGITS = 18

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def read_plain(text: str) -> dict[str, Any] | None:
    r"""
    Read a document; None where it is not plain, or not right.

    >>> read_plain('name = "x"  # what it is called\n[options]\ncode = ["-c"]')
    {'name': 'x', 'options': {'code': ['-c']}}
    """
    document: dict[str, Any] = {}
    table = document
    for line in (line.strip(" \t") for line in text.split("\n")):
        if not line.replace("\t", "").isprintable():
            return None
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            name = line[1:-1]
            if not line.endswith("]") or not _is_bare(name) or name in document:
                return None
            table = document[name] = {}
            continue
        key, equals, rest = (part.strip(" \t") for part in line.partition("="))
        value = _value(rest)
        if not equals or not _is_bare(key) or key in table or value is None:
            return None
        table[key] = value
    return document


def _is_bare(key: str) -> bool:
    return bool(key) and set(key) <= _BARE


def _value(text: str) -> str | int | list[str] | None:
    """Read a value, and see that nothing but a comment follows it."""
    value: str | int | list[str] | None = None
    rest = ""
    if text.startswith('"'):
        value, rest = _text(text)
    elif text.startswith("["):
        value, rest = _list(text)
    else:
        digits = text.partition("#")[0].rstrip(" \t")
        if digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS and str(int(digits)) == digits:
            value = int(digits)
    return value if not rest or rest.startswith("#") else None


def _text(text: str) -> tuple[str | None, str]:
    """Read a text, which begins here; and what comes after it."""
    inside, quote, rest = text[1:].partition('"')
    return (None, rest) if not quote or "\\" in inside else (inside, rest.lstrip(" \t"))


def _list(text: str) -> tuple[list[str] | None, str]:
    """Read a list of texts, which begins here; and what comes after it."""
    items: list[str] = []
    rest = text[1:].lstrip(" \t")
    while rest.startswith('"'):
        item, rest = _text(rest)
        if item is None:
            return None, rest
        items.append(item)
        if not rest.startswith(","):
            break
        rest = rest[1:].lstrip(" \t")
    return (items, rest[1:].lstrip(" \t")) if rest.startswith("]") else (None, rest)
