"""Where `ringfence mcp` listens, and by which names it may be called there."""

from __future__ import annotations

import socket

import pytest

from ringfence.cli._listening import address_of, check_listening, listen, names_of, to_count
from ringfence.cli._parser import parser
from ringfence.cli._verbs import UsageError
from ringfence.errors import HostError


def check(*flags: str) -> None:
    """Check a command line."""
    check_listening(parser("mcp").parse_args(list(flags)))


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--port", "1"),
        ("--port", "1", "--host", "localhost"),
        ("--port", "1", "--host", "::1"),
        ("--port", "1", "--host", "192.0.2.1", "--allow-host", "sandbox.example"),
    ],
)
def test_this_machine_or_a_name_is_enough(flags: tuple[str, ...]) -> None:
    """What says by which name it is called may listen anywhere."""
    check(*flags)


@pytest.mark.parametrize("host", ["192.0.2.1", "::", "example.com", "127.0.0.1.example.com", ""])
def test_listening_beyond_this_machine_takes_a_name(host: str) -> None:
    """Nobody opens a port to strangers by one flag."""
    with pytest.raises(UsageError, match="listens beyond this machine"):
        check("--port", "1", "--host", host)


def test_names_are_ours_with_our_port_and_those_that_were_allowed() -> None:
    """No name stands for every port."""
    with listen(None, "0") as listener:
        port = listener.getsockname()[1]
        names = names_of(listener, ["a.example", "b.example:443"])

        assert f"http://127.0.0.1:{port}" == address_of(listener)
    assert [
        *(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")),
        *("a.example", f"a.example:{port}", "b.example:443"),
    ] == names


def test_port_that_is_taken_says_so() -> None:
    """With a way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(HostError, match="cannot listen") as raised:
        listen(None, str(taken.getsockname()[1]))

    assert "`--port 0`" in raised.value.fix


@pytest.mark.parametrize("text", ["", "-1", "0", "1.5", "one", "\u0663"])
def test_count_is_a_whole_number(text: str) -> None:
    """And not nothing."""
    with pytest.raises(UsageError, match="is no number"):
        to_count(text)
