"""What may be asked for: names of the index, with versions, extras, markers and digests, and nothing else."""

from __future__ import annotations

import re
from itertools import zip_longest

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
_MAX_DIGESTS = 1000
_HASH = "--hash"
_SHA256 = re.compile(r"sha256:([0-9a-fA-F]{64})")


class Asked(Requirement):
    """
    A requirement, and which wheels may stand for it.

    Attributes:
        digests: the sha256 of each; none where any will do.
    """

    def __init__(self, text: str, digests: Iterable[str] = ()) -> None:
        super().__init__(text)
        self.digests = frozenset(digests)


def parse(texts: Iterable[str]) -> list[Asked]:
    """
    Read requirements as `pip install` has them, one in each text, with the digests that a locked file has.

    Raises:
        LoadError: one is none, or leads past the index: an address, a path or an option; or a digest is none.
    """
    if isinstance(texts, str):
        raise TypeError(f"packages is a list of requirements, and {texts!r} is one text\nhint: write `[{texts!r}]`")
    found = [_one(text) for text in texts]
    if len(found) > _MAX_REQUIREMENTS:
        raise _refused(f"{len(found)} packages", "that is no list that somebody wrote", "ask for the ones you import")
    return found


def of_file(text: str) -> list[str]:
    """Find the requirements in a file, for `parse`: one in each line, which may go on in the next, and comments."""
    return list(_lines(text))


def key(requirement: Asked) -> str:
    """Write it the same way, whichever way it was written."""
    name = canonicalize_name(requirement.name)
    extras = ",".join(sorted(canonicalize_name(extra) for extra in requirement.extras))
    marker = f"; {requirement.marker}" if requirement.marker else ""
    digests = "".join(f" {digest}" for digest in sorted(requirement.digests))
    return f"{name}[{extras}]{requirement.specifier}{marker}{digests}"


def _lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        bare = line.partition(" #")[0].strip()
        if bare and not bare.startswith("#"):
            yield bare


def _one(text: str) -> Asked:
    text, pinned, hashes = text.partition(_HASH)
    text = text.rstrip()
    shown = f"the package `{quote(text, 80)}`"
    if text.startswith("-"):
        why = "it is an option: only names are taken, from the index that pip is set up for"
        raise _refused(shown, why, "leave it out; an index is set with `pip config set global.index-url URL`")
    try:
        if len(text) > _MAX_CHARS:
            raise InvalidRequirement("it is too long")
        requirement = Asked(text, _digests(shown, pinned + hashes))
    except InvalidRequirement as error:
        why = str(error).partition("\n")[0] or "it cannot be read"
        if "://" in text or text.startswith((".", "/", "~")):
            why = "it is an address or a path: only names are taken"
        raise _refused(shown, why, "write a name of the index, such as `jinja2` or `jinja2==3.1.6`") from error
    if requirement.url is not None:
        why = "it is an address: only names are taken, of wheels whose digests the index has"
        raise _refused(shown, why, f"write `{requirement.name}`; a folder of yours is granted with `--dir`")
    return requirement


def _digests(shown: str, options: str) -> set[str]:
    words = options.replace(f"{_HASH}=", f"{_HASH} ").split()
    if len(words) > 2 * _MAX_DIGESTS:
        raise _refused(shown, f"it has more than {_MAX_DIGESTS} digests", "leave those of wheels that are Python alone")
    found = [_SHA256.fullmatch(digest) for digest in words[1::2]]
    for option, digest, sha256 in zip_longest(words[::2], words[1::2], found, fillvalue=""):
        if option != _HASH or not sha256:
            why = f"`{quote(f'{option} {digest}', 100)}` is no digest that is compared: only sha256 is, of 64 digits"
            raise _refused(shown, why, f"write `{_HASH}=sha256:…`, as `uv pip compile --generate-hashes` does")
    return {sha256[1].lower() for sha256 in found if sha256}


def _refused(what: str, why: str, fix: str) -> LoadError:
    return LoadError(f"{what} cannot be brought in", why, fix)
