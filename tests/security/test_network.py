"""Attacks over the network, by a real client on Rust's `std::net`: where it may not go, how much, for how long."""

from __future__ import annotations

import subprocess
import sys
import time
from operator import le
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Limits, Net, Policy, Result
from security.isolated import Sandbox
from security.peers import answering, deaf, drip, echo, flood, full, serving, silent
from waiting import late

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from security.peers import Talk

pytestmark = pytest.mark.usefixtures("isolation")

# Grants that a program could have and that lead to none of the targets below.
ELSEWHERE = Net(tcp=["db.example.com:*", "*.example.org:*", "203.0.113.0/24:*"])


class Dial:
    """Runs the client."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def __call__(self, *args: object, net: Net | None = None, on_denied: Any = "continue", **limits: Any) -> Result:
        """Run it once."""
        limits.setdefault("wall", "10s")
        policy = Policy(net=net or Net(), limits=Limits(**limits), on_denied=on_denied)
        return Sandbox(self.program, policy=policy).run(list(map(str, args)))


@pytest.fixture
def dial(dial_program: Path) -> Dial:
    """Give the client under a policy made of the keywords."""
    return Dial(dial_program)


def echoed(server: socket.socket, data: bytes, sender: tuple[str, int]) -> None:
    """Send a datagram back."""
    server.sendto(data, sender)


def kinds(result: Result) -> list[tuple[str, str]]:
    """Give what was refused."""
    return [(denial.kind, denial.what) for denial in result.denials]


def test_guest_without_a_grant_reaches_nobody(dial: Dial) -> None:
    """Neither by address nor by name, over TCP or UDP; the server never hears of it."""
    with serving(echo) as peer, answering(lambda *_: None) as udp:
        for act, target in (("tcp", peer.address), ("udp", f"127.0.0.1:{udp}"), ("tcp", f"localhost:{peer.port}")):
            result = dial(act, target, "hello")
            assert (1, b"PermissionDenied\n") == (result.exit_code, result.stdout), target
            assert 1 == len(result.denials), target

        assert 0 == peer.connections


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",  # noqa: S104
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "255.255.255.255",
        "224.0.0.1",
        "1.1.1.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "db.example.com.",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "example.com",
        "db.example.com.evil.net",
        "evil.net#db.example.com",
        "user@db.example.com",
    ],
)
def test_no_form_of_an_address_or_name_slips_past_the_grants(dial: Dial, host: str) -> None:
    """Private, mapped, embedded, decimal, octal, hexadecimal, dotted at the end, or merely similar: all are refused."""
    with serving(echo) as peer:
        result = dial("each", f"{host}:{peer.port}", net=ELSEWHERE)

        assert 0 == result.exit_code
        assert b": connected" not in result.stdout
        assert 0 == peer.connections


def test_granted_name_that_leads_inside_is_refused(dial: Dial) -> None:
    """`localhost` is granted and is 127.0.0.1, which is not: it is named with what it is."""
    with serving(echo) as peer:
        result = dial("tcp", f"localhost:{peer.port}", "hello", net=Net(tcp=[f"localhost:{peer.port}"]))

        assert b"PermissionDenied\n" == result.stdout
        assert ("resolve", "localhost at 127.0.0.1 (loopback)") in kinds(result)
        assert 0 == peer.connections


def test_granted_address_is_reached_by_its_name_too(dial: Dial) -> None:
    """Who grants the address and the name gets through, by TCP and by UDP."""
    with serving(echo) as peer, answering(echoed) as udp:
        net = Net(tcp=[f"localhost:{peer.port}", f"127.0.0.1:{peer.port}"], udp=[f"127.0.0.1:{udp}"])

        assert b"hello\n" == dial("tcp", f"localhost:{peer.port}", "hello", net=net).stdout
        assert b"hello\n" == dial("tcp", peer.address, "hello", net=net).stdout
        assert f"hello from 127.0.0.1:{udp}\n" == dial("udp", f"127.0.0.1:{udp}", "hello", net=net).text


@pytest.mark.parametrize("shift", [-1, 1])
def test_port_beside_the_granted_range_is_refused(dial: Dial, shift: int) -> None:
    """A range has its ends and nothing beyond; a grant of UDP is none of TCP."""
    with serving(echo) as peer:
        first, last = sorted((peer.port + shift, peer.port + 9 * shift))
        net = Net(tcp=[f"127.0.0.1:{first}-{last}"], udp=[f"127.0.0.1:{peer.port}"])

        assert b"PermissionDenied\n" == dial("tcp", peer.address, "hello", net=net).stdout
        assert 0 == peer.connections


def test_stranger_is_not_heard_over_udp(dial: Dial) -> None:
    """Datagrams come only from granted peers: a reflection from another port is dropped."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))

        def reflect(server: socket.socket, _: bytes, sender: tuple[str, int]) -> None:
            for turn in range(200):
                stranger.sendto(b"evil %d" % turn, sender)
            server.sendto(b"good", sender)
            stranger.sendto(b"end", sender)
            server.sendto(b"end", sender)

        with answering(reflect) as port:
            result = dial("hear", f"127.0.0.1:{port}", "hello", net=Net(udp=[f"127.0.0.1:{port}"]))

    assert b"good\nend\n" == result.stdout
    assert () == result.denials


@pytest.mark.parametrize(("act", "at"), [("listen", "127.0.0.1:0"), ("listen", "0.0.0.0:8080"), ("bind", "0.0.0.0:53")])
def test_guest_is_reached_by_nobody(dial: Dial, act: str, at: str) -> None:
    """It neither listens nor takes a port of its own choice, whatever it was granted."""
    everything = ["0.0.0.0/0:*", "127.0.0.0/8:*"]
    result = dial(act, at, net=Net(tcp=everything, udp=everything))

    assert (1, b"PermissionDenied\n") == (result.exit_code, result.stdout)
    assert "listen" == result.denials[0].kind


def test_flood_of_connections_ends_at_the_limit(dial: Dial) -> None:
    """One more than it may have open at one time is an error for the guest; all are closed with the run."""
    with serving(silent) as peer:
        result = dial("many", peer.address, 100, net=Net(tcp=[peer.address]), connections=10)

        assert b"10 then" in result.stdout
        assert [("connections", "more than 10 at one time")] == kinds(result)
        assert peer.wait_until(lambda peer: (10, 10) == (peer.connections, peer.ended))


def test_connections_one_after_the_other_are_not_counted_together(dial: Dial) -> None:
    """A closed connection gives its place back."""
    with serving(echo) as peer:
        assert b"50\n" == dial("turns", peer.address, 50, net=Net(tcp=[peer.address]), connections=2).stdout


def test_big_transfers_arrive_whole(dial: Dial) -> None:
    """What the guest wrote goes out while it does something else, and comes back."""

    def count(connection: socket.socket) -> None:
        total = 0
        while data := connection.recv(65536):
            total += len(data)
        connection.sendall(b"%d" % total)

    with serving(count) as peer:
        assert b"20000000\n" == dial("pour", peer.address, 20_000_000, net=Net(tcp=[peer.address])).stdout


@pytest.mark.parametrize(("act", "talk"), [("pour", silent), ("drain", flood), ("pour", echo)])
def test_flood_of_bytes_ends_the_run_at_the_limit(dial: Dial, act: str, talk: Talk) -> None:
    """Both directions count, and together."""
    with serving(talk) as peer:
        args = [act, peer.address, *([10_000_000] if act == "pour" else [])]
        result = dial(*args, net=Net(tcp=[peer.address]), net_bytes="1MiB")

        assert ("limited", "net_bytes") == (result.outcome, result.limit)
        assert peer.received <= 1024 * 1024


@pytest.mark.parametrize(("act", "talk"), [("drain", silent), ("drain", drip), ("pour", deaf)])
def test_peer_that_never_comes_to_an_end_is_left_at_the_deadline(dial: Dial, act: str, talk: Talk) -> None:
    """Whether it says nothing, a byte now and then, or takes nothing: the run ends in time, and the connection too."""
    with serving(talk) as peer:
        args = [200_000_000] if act == "pour" else []
        started = time.monotonic()
        result = dial(act, peer.address, *args, net=Net(tcp=[peer.address]), wall="500ms", net_bytes="1GiB")

        assert ("limited", "wall") == (result.outcome, result.limit)
        assert time.monotonic() - started < 0.5 + late()
        assert peer.wait_until(lambda peer: 1 == peer.ended)


def test_connection_that_hangs_half_open_is_left_at_the_deadline(dial: Dial) -> None:
    """A server that does not answer the first packet holds nobody."""
    with full() as peer:
        started = time.monotonic()
        result = dial("drain", peer.address, net=Net(tcp=[peer.address]), wall="500ms")

        assert ("limited", "wall") == (result.outcome, result.limit)
        assert time.monotonic() - started < 0.5 + late()


def test_cancelled_run_closes_its_connection(dial: Dial) -> None:
    """Whoever gives up on a run need not wait for its peer."""
    with serving(silent) as peer:
        policy = Policy(net=Net(tcp=[peer.address]))
        with Sandbox(dial.program, policy=policy).start(["drain", peer.address]) as process:
            assert peer.wait_until(lambda peer: 1 == peer.connections)
            process.kill()
            assert "cancelled" == process.wait().outcome

        assert peer.wait_until(lambda peer: 1 == peer.ended)


def test_nothing_is_left_of_a_run(dial: Dial, descriptors: Callable[[], int]) -> None:
    """Descriptors and threads are what they were, however the runs ended and whatever they looked up."""
    with serving(silent) as peer:
        net = Net(tcp=[peer.address, "localhost:1"], udp=["127.0.0.1:9"])

        def runs() -> None:
            dial("many", peer.address, 20, net=net)
            dial("drain", peer.address, net=net, wall="100ms")
            dial("hear", "127.0.0.1:9", "x", net=net, wall="100ms")
            dial("resolve", "localhost", net=net)

        def left() -> tuple[int, int]:
            assert peer.wait_until(lambda peer: peer.connections == peer.ended)
            return descriptors(), len(list(Path("/proc/self/task").iterdir()))

        runs()
        before = left()
        for _ in range(5):
            runs()

        # The threads of the peer go a moment after they have seen the end.
        assert peer.wait_until(lambda _: all(map(le, left(), before))), (before, left())


def test_policy_that_stops_at_a_refusal_stops_at_the_network_too(dial: Dial) -> None:
    """The run ends where it asked; nothing it does afterwards happens."""
    for act, target in (("each", "127.0.0.1:1"), ("resolve", "evil.net"), ("listen", "127.0.0.1:0")):
        result = dial(act, target, on_denied="stop")
        assert ("denied", b"") == (result.outcome, result.stdout), act


def test_refused_names_cannot_forge_what_we_print(dial: Dial) -> None:
    """What a guest looks for is shown escaped and cut."""
    result = dial("resolve", "evil\x1b[2J.net", "x" * 5000)

    for _, what in kinds(result):
        assert "\x1b" not in what
        assert len(what) < 500


def test_ten_thousand_names_are_refused_without_a_resolver(dial: Dial) -> None:
    """Names that are not granted are counted, and cost no lookup."""
    started = time.monotonic()
    result = dial("again", "secret-%.evil.net", 80, 10_000)

    assert b'{"none": 10000}\n' == result.stdout
    assert 10_000 == sum(denial.count for denial in result.denials)
    assert time.monotonic() - started < 5


ALONE = """
import contextlib, os, sys
import ringfence
policy = ringfence.Policy(net=ringfence.Net(tcp=sys.argv[2:]))
sandbox = ringfence.Sandbox(sys.argv[1], policy=policy)
sandbox.run(["each", "127.0.0.1:9", "localhost:9"])
queues = 0
for fd in os.listdir("/proc/self/fd"):
    with contextlib.suppress(FileNotFoundError):  # the one this listing is read from
        link = os.readlink(f"/proc/self/fd/{fd}")
        queues += "eventpoll" in link or "socket" in link
print(queues)
"""


@pytest.mark.parametrize(("grants", "queues"), [((), 0), (("127.0.0.1:9",), 1)])
def test_nothing_of_the_network_is_opened_without_a_grant(dial: Dial, grants: tuple[str, ...], queues: int) -> None:
    """No socket and no queue of events; with a grant there is the queue, once for the process."""
    command = [sys.executable, "-c", ALONE, str(dial.program), *grants]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)

    assert queues <= int(ended.stdout) <= 2 * queues, ended.stdout
