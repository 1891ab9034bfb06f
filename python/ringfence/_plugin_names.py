"""Names of a component as Python spells them, no two the same."""

from __future__ import annotations

import itertools
import keyword

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


# As many names that are spelled alike are told apart by lines at their ends.
_LINES = 10


def snake(name: str) -> str:
    """Spell the name of a function, a field or a parameter: `get-item` is `get_item`, `class` is `class_`."""
    return _safe("_".join(_words(name)))


def camel(name: str) -> str:
    """Spell the name of a type or a case: `http-error` is `HttpError`, `none` is `None_`."""
    return _safe("".join(word[:1].upper() + word[1:] for word in _words(name)))


def upper(name: str) -> str:
    """Spell the name of a member of an enum or of flags: `read-only` is `READ_ONLY`."""
    return _safe("_".join(_words(name)).upper())


class Spelling:
    """
    Spells names one after the other.

    A name that is taken, by one before it or by Python, gets `_` at its end until it is not; after ten, a number.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._used = set(taken)
        # How many were made of each name: a guest may have thousands that are spelled alike.
        self._made: dict[str, int] = {}

    def one(self, name: str, spell: str) -> str:
        """Spell the next."""
        plain = {"snake": snake, "camel": camel, "upper": upper}[spell](name)
        for at in itertools.count(self._made.get(plain, 0)):
            # No name begins with two lines.
            is_numbered = at >= _LINES or (at > 0 and plain == "_")
            own = f"{plain.rstrip('_')}_{at}" if is_numbered else plain + "_" * at
            if own not in self._used:
                break
        self._made[plain] = at + 1
        self._used.add(own)
        return own


def spelled(names: Iterable[str], spell: str, taken: Iterable[str] = ()) -> list[str]:
    """Spell them all, in their order."""
    spelling = Spelling(taken)
    return [spelling.one(name, spell) for name in names]


def short(interface: str) -> str:
    """Give the last part of an interface's name: `content` of `app:markdown/content@1.0.0`."""
    return interface.partition("@")[0].rpartition("/")[2]


def member(name: str) -> tuple[str, str, str] | None:
    """
    Tell a function of a resource: what it is, of which resource, and its own name.

    `[method]blob.write` is `("method", "blob", "write")`, `[constructor]blob` is `("constructor", "blob", "blob")`.
    """
    kind, bracket, rest = name.partition("]")
    if not bracket or kind not in {"[constructor", "[method", "[static"}:
        return None
    resource, _, own = rest.partition(".")
    return kind[1:], resource, own or resource


def _words(name: str) -> list[str]:
    # What is no letter, number or line separates words: `[method]`, say, or what a later version of names brings.
    plain = "".join(character if character.isalnum() else "-" for character in name)
    return [word for word in plain.split("-") if word]


def _safe(name: str) -> str:
    if not name.isidentifier():
        name = f"_{name}" if f"_{name}".isidentifier() else "_"
    return f"{name}_" if keyword.iskeyword(name) or name.startswith("__") else name
