"""From flags to what a guest may reach over the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Net, Policy
from ringfence.cli._grants import policy_of
from ringfence.cli._parser import UsageError, parser

if TYPE_CHECKING:
    from pathlib import Path


def read(*words: str) -> Policy:
    """Read a command line."""
    return policy_of(parser("run").parse_args([*words, "tool.wasm"]))


@pytest.mark.parametrize(
    ("flags", "net"),
    [
        (["db.example.com:5432"], Net(tcp=["db.example.com:5432"])),
        (["tcp://10.0.0.0/8:1-9", "[::1]:80"], Net(tcp=["10.0.0.0/8:1-9", "[::1]:80"])),
        (["udp://1.1.1.1:53"], Net(udp=["1.1.1.1:53"])),
    ],
)
def test_net_is_a_host_and_a_port_over_tcp_unless_said(flags: list[str], net: Net) -> None:
    """[tcp://|udp://]HOST:PORT, as often as wanted."""
    assert Policy(net=net) == read(*(word for flag in flags for word in ("--net", flag)))


def test_net_adds_to_the_policy_file(tmp_path: Path) -> None:
    """Like directories, and nothing of the file is lost."""
    file = tmp_path / "policy.toml"
    file.write_text('net.tcp = ["a.example.com:1"]\nnet.http = ["https://c.example.com"]\n', encoding="utf-8")
    expected = Net(tcp=["a.example.com:1", "b.example.com:2"], http=["https://c.example.com"])

    assert expected == read("--policy", str(file), "--net", "b.example.com:2").net


def test_net_with_another_scheme_is_refused() -> None:
    """A URL is not a host and a port."""
    with pytest.raises(UsageError, match="neither `tcp` nor `udp`"):
        read("--net", "https://example.com:443")
