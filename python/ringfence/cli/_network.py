"""From flags to what a guest may reach over the network: they add to the policy file's."""

from __future__ import annotations

from ringfence._network import Net, Secret

from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ringfence._policy import Policy


def net_of(arguments: argparse.Namespace, base: Policy | None) -> Net:
    """Read [tcp://|udp://]HOST:PORT, where TCP is what is meant unless said."""
    net = base.net if base else Net()
    added: dict[str, list[str]] = {"tcp": list(net.tcp), "udp": list(net.udp)}
    for entry in arguments.net or ():
        scheme, separator, endpoint = entry.partition("://")
        if not separator:
            scheme, endpoint = "tcp", entry
        if scheme not in added:
            raise UsageError(
                f"cannot read `--net {entry}`",
                f"`{scheme}` is neither `tcp` nor `udp`",
                "write `--net HOST:PORT`, or `--net udp://HOST:PORT`",
            )
        added[scheme].append(endpoint)
    return Net(**added, http=[*net.http, *(arguments.http or ())])


def to_secret(text: str) -> Secret:
    """Read NAME=env:VAR@ORIGIN[#HEADER]."""
    name, equals, rest = text.partition("=")
    source, at, where = rest.partition("@")
    origin, hash_sign, header = where.partition("#")
    if not (name and equals and at and source.startswith("env:")) or (hash_sign and not header):
        # The text is not shown: a value that was written by mistake would be in it.
        raise UsageError(
            "cannot read `--secret`",
            "it names a variable of the guest, one of ours that holds the value, and where the value may be sent",
            "write `--secret NAME=env:VAR@https://api.example.com`, with `#HEADER` for another than authorization",
        )
    variable = source.removeprefix("env:")
    return Secret(name, env=variable, origin=origin, **({"header": header} if header else {}))
