"""From flags to what a guest may reach over the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Net, Policy, Secret
from ringfence.cli._grants import policy_of
from ringfence.cli._network import to_secret
from ringfence.cli._parser import parser
from ringfence.cli._verbs import UsageError

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


def test_http_is_methods_and_a_url_as_often_as_wanted(tmp_path: Path) -> None:
    """Added to those of the policy file, beside its hosts and ports."""
    file = tmp_path / "policy.toml"
    file.write_text('net.tcp = ["a.example.com:1"]\nnet.http = ["https://c.example.com"]\n', encoding="utf-8")
    more = ["GET,POST https://api.example.com/v1/*", "https://d.example.com"]
    expected = Net(tcp=["a.example.com:1"], http=["https://c.example.com", *more])

    assert expected == read("--policy", str(file), "--http", more[0], "--http", more[1]).net


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("KEY=env:PROD@https://a.example.com", Secret("KEY", env="PROD", origin="https://a.example.com")),
        (
            "KEY=env:PROD@https://a.example.com:8443#X-API-Key",
            Secret("KEY", env="PROD", origin="https://a.example.com:8443", header="X-API-Key"),
        ),
    ],
)
def test_secret_names_two_variables_and_an_origin(text: str, secret: Secret) -> None:
    """NAME=env:VAR@ORIGIN[#HEADER]."""
    assert secret == to_secret(text)


@pytest.mark.parametrize(
    "text", ["KEY", "KEY=sk-live-0123", "KEY=PROD@https://a.example.com", "=env:PROD@https://a", "KEY=env:PROD@x#"]
)
def test_secret_that_may_be_a_value_is_refused_and_not_shown(text: str) -> None:
    """Whoever writes the value on the command line by mistake does not find it in a log as well."""
    with pytest.raises(UsageError, match="--secret NAME=env:VAR") as raised:
        to_secret(text)

    assert "sk-live" not in str(raised.value)


def test_secret_needs_a_request_that_is_granted() -> None:
    """The flags make a policy, which is checked as a whole."""
    flag = "KEY=env:PROD@https://a.example.com"

    assert [to_secret(flag)] == list(read("--http", "https://a.example.com", "--secret", flag).secrets)
