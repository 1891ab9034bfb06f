"""What may be asked for: names of the index, with versions, extras and markers, and nothing else."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ringfence._text import quote
from ringfence.errors import LoadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# More than these is no list that somebody wrote.
_MAX_REQUIREMENTS = 500
_MAX_CHARS = 500
_HASHES = re.compile(r"(?:\s+--hash[= ]\w+:\w+)+$")


def parse(texts: Iterable[str]) -> list[Requirement]:
    """
    Read requirements as `pip install` has them, one in each text.

    Raises:
        LoadError: one is none, or leads past the index: an address, a path or an option.
    """
    if isinstance(texts, str):
        raise TypeError(f"packages is a list of requirements, and {texts!r} is one text\nhint: write `[{texts!r}]`")
    found = [_one(text) for text in texts]
    if len(found) > _MAX_REQUIREMENTS:
        raise _refused(f"{len(found)} packages", "that is no list that somebody wrote", "ask for the ones you import")
    return found


def of_file(text: str) -> list[str]:
    """
    Read a file of requirements: one in each line, and comments.

    Raises:
        LoadError: a line is an option, such as `-r` or `--index-url`.
    """
    return list(_lines(text))


def key(requirement: Requirement) -> str:
    """Write it the same way, whichever way it was written."""
    name = canonicalize_name(requirement.name)
    extras = ",".join(sorted(canonicalize_name(extra) for extra in requirement.extras))
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{name}[{extras}]{requirement.specifier}{marker}"


def _lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        bare = line.partition(" #")[0].strip()
        if bare and not bare.startswith("#"):
            # Digests of a locked file: the ones of the index are asked for and compared anyway.
            yield _HASHES.sub("", bare).strip()


def _one(text: str) -> Requirement:
    shown = f"the package `{quote(text, 80)}`"
    if text.startswith("-"):
        why = "it is an option: only names are taken, from the index that pip is set up for"
        raise _refused(shown, why, "leave it out; an index is set with `pip config set global.index-url URL`")
    try:
        if len(text) > _MAX_CHARS:
            raise InvalidRequirement("it is too long")
        requirement = Requirement(text)
    except InvalidRequirement as error:
        why = str(error).partition("\n")[0] or "it cannot be read"
        if "://" in text or text.startswith((".", "/", "~")):
            why = "it is an address or a path: only names are taken"
        raise _refused(shown, why, "write a name of the index, such as `jinja2` or `jinja2==3.1.6`") from error
    if requirement.url is not None:
        why = "it is an address: only names are taken, of wheels whose digests the index has"
        raise _refused(shown, why, f"write `{requirement.name}`; a folder of yours is granted with `--dir`")
    return requirement


def _refused(what: str, why: str, fix: str) -> LoadError:
    return LoadError(f"{what} cannot be brought in", why, fix)
