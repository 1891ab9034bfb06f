"""After a script that failed to import or include what lies beside it: the flag that lets it."""

from __future__ import annotations

import os
import shlex

from ringfence._text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfence._policy import Policy
    from ringfence._result import Result
    from ringfence._source import Runnable

# Names looked at beside a script: a directory of more is no directory of scripts.
_MAX_NAMES = 2000
_WORDS = r"\b(?:import|from|require|include|load|use)\b.*"


def neighbour_hint(result: Result, policy: Policy, script: Runnable) -> str | None:
    """Name the flag for what the script seems to have wanted from its own directory; None where that was not it."""
    if script.source is None or script.pack is None or result.outcome != "exited" or result.ok:
        return None
    [path] = script.args
    host = os.path.dirname(path) or "."  # noqa: PTH120 - pathlib costs 4 ms to import
    guest = os.path.normpath(f"/{host}")
    guest = f"/{guest.lstrip('/')}"
    if any(grant.at == guest or guest.startswith(f"{(grant.at or '').rstrip('/')}/") for grant in policy.dirs):
        return None
    refused = [denial.what for denial in result.denials if denial.kind == "read"]
    if refused and not any(guest in {what, os.path.dirname(what)} for what in refused):  # noqa: PTH120
        return None
    suffixes = script.pack.suffixes or (os.path.splitext(path)[1],)  # noqa: PTH122
    found = next(_wanted(script.source, host, suffixes), None)
    if found is None:
        return None
    flag = host if os.path.normpath(host) in {guest, guest.lstrip("/"), "."} and guest != "/.." else f"{host}:{guest}"
    return (
        f"`{quote(found)}` lies beside the script, which is handed in alone, and the policy does not grant it: "
        f"add `--dir {shlex.quote(flag)}`, or leave it so"
    )


def header_hint(words: str, path: str | None) -> str | None:
    """Name the flag for the header that a compiler did not find and that lies beside the script; None otherwise."""
    import re

    missing = re.search(r"fatal error: '([^'\n]+)' file not found", words)
    if missing is None or path is None:
        return None
    host = os.path.dirname(path) or "."  # noqa: PTH120 - pathlib costs 4 ms to import
    file = os.path.normpath(os.path.join(host, missing[1]))  # noqa: PTH118
    if not os.path.isfile(file):  # noqa: PTH113
        return None
    flag = f"{host}:/source" if ".." in host.split("/") else host
    return (
        f"`{quote(missing[1])}` lies beside the script, which is handed in alone: "
        f"add `--source {shlex.quote(file)}`, or `--dir {shlex.quote(flag)}`"
    )


def _wanted(source: bytes, folder: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Give what lies beside a script, by a name that stands in a line of it that imports."""
    import re

    lines = re.findall(_WORDS, source.decode("utf-8", "replace"))
    words = {word for line in lines for word in re.findall(r"\w+", line)}
    try:
        names = sorted(os.listdir(folder)[:_MAX_NAMES])  # noqa: PTH208
    except OSError:
        return
    for name in names:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        if stem in words and (suffix in suffixes or (not suffix and os.path.isdir(f"{folder}/{name}"))):  # noqa: PTH112
            yield name
