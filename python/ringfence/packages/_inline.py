"""What a script says it needs, in its comments: inline metadata, as PEP 723 has it."""

from __future__ import annotations

import re
import tomllib

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from ringfence._text import quote
from ringfence.errors import LoadError

_BLOCK = re.compile(r"(?m)^# /// (?P<kind>[a-zA-Z0-9-]+)[ \t]*$\n(?P<content>(?:^#(?:| .*)$\n)+)^# ///[ \t]*$")
_HOW = 'write it as PEP 723 has it: `# dependencies = ["jinja2"]` between `# /// script` and `# ///`'


def asked_for(source: bytes, version: str) -> list[str]:
    """
    Find the requirements in a script; none where it names none.

    Args:
        source: the script's text, which is not trusted.
        version: the language version that it would run in.

    Raises:
        LoadError: its metadata cannot be read, or want another version.
    """
    text = source.decode("utf-8-sig", "replace").replace("\r\n", "\n")
    blocks = [found for found in _BLOCK.finditer(text) if found["kind"] == "script"]
    if not blocks:
        return []
    what = "the script's metadata cannot be used"
    if len(blocks) > 1:
        raise LoadError(what, "there are several blocks of `# /// script`", "leave one")
    lines = blocks[0]["content"].splitlines()
    try:
        metadata = tomllib.loads("\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines))
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, and lists in lists in lists
        raise LoadError(what, quote(str(error), 200), _HOW) from error
    dependencies, wanted = metadata.get("dependencies", []), metadata.get("requires-python", "")
    if not isinstance(dependencies, list) or not all(isinstance(one, str) for one in dependencies):
        raise LoadError(what, "`dependencies` is no list of texts", _HOW)
    try:
        if not SpecifierSet(wanted).contains(version, prereleases=True):
            why = f"it wants Python {quote(str(wanted), 40)}, and this is {version}"
            raise LoadError(what, why, "change its `requires-python`, if it can run here")
    except (InvalidSpecifier, TypeError, AttributeError) as error:
        raise LoadError(
            what, "`requires-python` cannot be read", 'write it as in `requires-python = ">=3.11"`'
        ) from error
    return dependencies
