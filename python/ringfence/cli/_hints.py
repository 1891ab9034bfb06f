"""After a run that was refused something and failed: the flag that would have granted it."""

from __future__ import annotations

import shlex

from ringfence.cli._amounts import amount, flag_of
from ringfence.cli._mounts import mount_hint
from ringfence.cli._paths import path_hint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ringfence._policy import Policy
    from ringfence._result import Denial, Result
    from ringfence._turn import Turn

_NOUNS = {
    "memory": "more memory",
    "open_files": "more open files",
    "disk": "more room on the disk",
    "files": "more files",
    "connections": "more connections",
}

_NET = {"resolve": "the name", "connect": "a connection to", "listen": "to be reached at"}


def limit_hint(result: Result | Turn, policy: Policy) -> str | None:
    """Name the flag for the limit that ended the run, with twice as much."""
    return None if result.limit is None else f"{_raise(result.limit, policy)}, or leave it so"


def refusal_hint(result: Result | Turn, policy: Policy) -> str | None:
    """Name the flag for the last thing the guest was refused, which is most likely what it failed of."""
    # The last of very many stands for those that are not kept apart. `<string>` is an interpreter's name for text that
    # came from no file; it looks there for the lines of a traceback all the same.
    denials = [denial for denial in result.denials if not denial.what.startswith(("(", "/<"))]
    if not denials:
        return None
    last = max(denials, key=lambda denial: denial.first_seconds)
    if last.kind in _NOUNS:
        return f"the guest was refused {_NOUNS[last.kind]}: {_raise(last.kind, policy)}, or leave it so"
    if last.kind == "path":
        return f"the guest was refused `{last.what}`: no name is longer than 255 bytes, no path than 4096 or 1024 names"
    if last.kind in _NET:
        return f"the guest was refused {_NET[last.kind]} `{last.what}`, {_network(last, policy)}"
    if last.kind == "http":
        return f"the guest was refused the request `{last.what}`, {_request(last, policy)}"
    granted = [grant.at or "/" for grant in policy.dirs]
    grants = "nothing" if not granted else "only " + ", ".join(f"`{path}`" for path in granted)
    flag = mount_hint(last, policy) or path_hint(last, policy, denials)
    told = f"the guest was refused a {last.kind} of `{last.what}`, the policy grants {grants}: {flag}, or leave it so"
    return told if flag else None


def _raise(limit: str, policy: Policy) -> str:
    flag = flag_of(limit)
    value = policy.limits._fields()[limit]
    if not isinstance(value, int | float):
        return f"raise `{flag}`"
    return f"the limit was {amount(limit, value)}, raise it with `{flag} {amount(limit, value * 2)}`"


def _network(denial: Denial, policy: Policy) -> str:
    """Write the flag for a host the guest chose: quoted for a shell, and never wider than what it asked for."""
    if denial.kind == "listen":
        return "which no policy grants: a guest reaches others, and is reached by nobody"
    granted = [*policy.net.tcp, *(f"udp://{endpoint}" for endpoint in policy.net.udp)]
    grants = "nothing" if not granted else "only " + ", ".join(f"`{endpoint}`" for endpoint in granted)
    where = denial.what
    if denial.kind == "resolve":
        # An address that is not public stands behind the name that leads to it.
        name, at, address = where.partition(" at ")
        host = address.partition(" ")[0] if at else name
        where = f"{f'[{host}]' if ':' in host else host}:PORT"
    where = where.removeprefix("tcp://")
    if "\\" in where or "…" in where:
        return f"the policy grants {grants}: grant it with `--net HOST:PORT`, or leave it so"
    return f"the policy grants {grants}: add `--net {shlex.quote(where)}`, or leave it so"


def _request(denial: Denial, policy: Policy) -> str:
    """Write the flag for a request the guest chose: that method and that path, quoted for a shell."""
    method, _, url = denial.what.partition(" ")
    if " (" in url:
        return "which no policy grants"
    grants = ", ".join(f"`{grant}`" for grant in policy.net.http)
    grants = f"only {grants}" if grants else "nothing"
    if "\\" in denial.what or "…" in denial.what or "%" in url or not method.isalpha():
        return f'the policy grants {grants}: grant it with `--http "METHOD https://HOST/PATH/*"`, or leave it so'
    return f"the policy grants {grants}: add `--http {shlex.quote(denial.what)}`, or leave it so"
