"""From flags to what a guest may reach over the network: they add to the policy file's."""

from __future__ import annotations

from ringfence._network import Net

from ._parser import UsageError

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
    return Net(**added, http=net.http)
