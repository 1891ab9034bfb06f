"""From flags to a policy: they add directories, variables and network to the policy file's, and replace the rest."""

from __future__ import annotations

from ringfence._policy import Limits, Policy

from ._dirs import to_dir
from ._network import net_of, to_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

_LIMITS = (
    "wall",
    "cpu",
    "fuel",
    "memory",
    "output",
    "host_bytes",
    "open_files",
    "disk",
    "files",
    "connections",
    "net_bytes",
    "compile",
)
_CHOICES = ("clock", "wasi", "on_denied")


def policy_of(arguments: argparse.Namespace) -> Policy:
    """Make the policy of a command line."""
    flags = vars(arguments)
    base = Policy.from_file(arguments.policy) if arguments.policy else None
    changes: dict[str, Any] = {name: flags[name] for name in _CHOICES if flags[name] is not None}
    if arguments.dir:
        changes["dirs"] = [*(base.dirs if base else ()), *map(to_dir, arguments.dir)]
    if arguments.tmp:
        changes["tmp"] = True
    if arguments.env:
        _add_variables(changes, arguments.env, base)
    if arguments.net or arguments.http:
        changes["net"] = net_of(arguments, base)
    if arguments.secret:
        changes["secrets"] = [*(base.secrets if base else ()), *map(to_secret, arguments.secret)]
    if arguments.random is not None:
        changes["random"] = to_number(arguments.random)
    limits: dict[str, Any] = {name: to_number(flags[name]) for name in _LIMITS if flags[name] is not None}
    if limits:
        changes["limits"] = _merge(base, limits)
    if base is None:
        return Policy(**changes)
    return base.replace(**changes) if changes else base


def to_number(text: str) -> int | float | str:
    """Read a number where there is one; text keeps its unit, for the policy to read."""
    for kind in (int, float) if text[:1].isdigit() else ():
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _add_variables(changes: dict[str, Any], entries: list[str], base: Policy | None) -> None:
    env = base.env if base else {}
    inherit = list(base.inherit_env) if base else []
    for entry in entries:
        name, equals, value = entry.partition("=")
        if equals:
            env[name] = value
            inherit = [other for other in inherit if other != name]
        elif name not in inherit:
            env.pop(name, None)
            inherit.append(name)
    changes["env"], changes["inherit_env"] = env, inherit


def _merge(base: Policy | None, limits: dict[str, Any]) -> Limits:
    return base.limits.replace(**limits) if base else Limits(**limits)
