"""From flags to a policy: they add directories, variables and network to the policy file's, and replace the rest."""

from __future__ import annotations

from ringfence._policy import Limits, Policy

from ._dirs import to_dir
from ._network import net_of, to_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

_CHOICES = ("clock", "wasi", "on_denied")


def add_grants(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a policy: one flag is one line, in the order of `Policy` and `Limits`."""
    add = parser.add_argument
    add("--policy", metavar="FILE", help="start from this policy file; the flags add to it")
    add(
        "--dir",
        metavar="HOST[:GUEST][:MODE]",
        action="append",
        help="let it see a directory or file; MODE is ro, rw, overlay or memory",
    )
    add("--tmp", action="store_true", help="give it a private /tmp, gone after the run")
    add("--env", metavar="NAME[=VALUE]", action="append", help="set a variable, or hand on our own by its name")
    add("--net", metavar="[udp://]HOST:PORT", action="append", help="let it connect there; TCP unless said")
    add("--http", metavar="[METHODS] URL", action="append", help="let it send such requests; GET and HEAD unless said")
    add(
        "--secret",
        metavar="NAME=env:VAR@ORIGIN[#HEADER]",
        action="append",
        help="let it send our variable VAR to ORIGIN and never see it; in the header authorization unless said",
    )
    add("--clock", choices=("coarse", "precise"), help="how fine its clocks are")
    add("--random", metavar="real|SEED", help="real random numbers, or the same ones in every run")
    add("--wasi", choices=("0.2", "0.3"), help="the highest WASI level a component may use")
    add("--on-denied", choices=("continue", "stop"), help="refuse and go on, or end the run")
    add("--wall", metavar="TIME", help="time on the clock, waiting included")
    add("--cpu", metavar="TIME", help="processor time")
    add("--fuel", metavar="N", help="instructions, counted the same way in every run")
    add("--memory", metavar="SIZE", help="memories, tables and heaps together")
    add("--output", metavar="SIZE", help="stdout and stderr together")
    add("--host-bytes", metavar="SIZE", help="memory the host holds for it")
    add("--open-files", metavar="N", help="files open at one time")
    add("--disk", metavar="SIZE", help="bytes it may add to the disk")
    add("--files", metavar="N", help="files, directories and links it may add")
    add("--connections", metavar="N", help="network connections open at one time")
    add("--net-bytes", metavar="SIZE", help="bytes over the network, both ways together")
    add("--compile", metavar="TIME", help="time to compile it")


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
    limits: dict[str, Any] = {name: to_number(flags[name]) for name in Limits.__slots__ if flags[name] is not None}
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
