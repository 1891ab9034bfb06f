"""Attacks through the messages by which Python speaks HTTP: forged ones, and servers that do not play fair."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from ringfence import Limits, Net, Policy, Result, Secret
from security import isolated
from security.http_server import Server, answer, echo, says
from security.isolated import run_code
from security.test_https import tls

if TYPE_CHECKING:
    import socket
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("isolation")

# `send` is the message that a request becomes, with whatever a guest likes to put into it.
PRELUDE = """
import _ringfence_host as host
def send(url, method="GET", headers=(), body=b"", timeout=None):
    headers = [[n, v] for n, v in headers]
    return host.ask("H", {"method": method, "url": url, "headers": headers, "body": body, "timeout": timeout})
def read(number):
    head = host.ask("A", [number, None])
    if head[0]: return head
    pieces = []
    while (piece := host.ask("B", [number, 1 << 40, None])[1]): pieces.append(piece)
    return head[1]["status"], b"".join(pieces)
"""


def python(code: str, *http: str, wall: float = 20, secrets: list[Secret] | None = None, **limits: Any) -> Result:
    """Run Python under these grants."""
    policy = Policy(net=Net(http=list(http)), secrets=secrets or [], limits=Limits(wall=wall, **limits))
    return run_code(PRELUDE + code, "python", policy=policy)


def denied(result: Result) -> list[str]:
    """Name the requests that were refused."""
    return [denial.what for denial in result.denials if denial.kind == "http"]


def test_forged_messages_are_refused_one_by_one() -> None:
    """Whatever is no map of the five keys, no number, no time; the next honest message is answered."""
    with Server() as server:
        code = f"""
U = {server.url!r}
good = {{"method": "GET", "url": U, "headers": [], "body": b"", "timeout": None}}
forged = [("H", x) for x in (None, 1, [], {{}}, "GET", [good], good | {{"more": 1}}, good | {{"method": 1}},
    good | {{"url": None}}, good | {{"headers": {{}}}}, good | {{"headers": [["a"]]}},
    good | {{"headers": [["a", "b"]]}},
    good | {{"headers": [["a", b"b"]] * 1000}}, good | {{"body": "text"}}, good | {{"timeout": -1}},
    good | {{"timeout": float("nan")}}, good | {{"timeout": "1"}}, {{k: v for k, v in good.items() if k != "body"}})]
forged += [(k, x) for k in "ABX" for x in (None, 1, [], [1], [-1, None], [1, 2, 3, 4], ["1", None], [1.0, None, None])]
forged += [("C", x) for x in (None, [], ["a"], ["a", "80"], [b"a", 80], ["a", -1])]
refused = 0
for kind, value in forged:
    try: print(kind, value, host.ask(kind, value))
    except OSError: refused += 1
for raw in (b"H", b"H\\xff", b"A\\x80", b"B" + b"\\x9f", b"X\\x82\\x01", b"C\\x00\\x00", b"H" + b"\\x81" * 1000):
    try: print(raw, host.raw(raw))
    except OSError: refused += 1
print(len(forged) + 7 - refused, read(send(U)[1]))
"""
        result = python(code, f"* {server.url}")

    assert ("exited", b"") == (result.outcome, result.stderr)
    assert "0 (200, b'ok')\n" == result.text


def test_numbers_of_no_exchange_and_of_other_steps_are_closed() -> None:
    """Those of nobody, those that are done, a body before its head, a head twice."""
    with Server(echo) as server:
        code = f"""
n = send({server.url!r})[1]
for k in (0, n + 1, 2 ** 64 - 1): print(host.ask("A", [k, None])[1], host.ask("B", [k, 1, None])[1])
print(host.ask("B", [n, 1, None])[1], host.ask("A", [n, None])[0], host.ask("A", [n, None])[1])
print(host.ask("X", [n, None]), host.ask("B", [n, 1, None])[1], host.ask("X", [n, None]))
"""
        result = python(code, f"* {server.url}")

    assert "closed closed\n" * 3 + "closed 0 closed\n[0, None] closed [0, None]\n" == result.text


def test_exchange_of_another_session_is_out_of_reach() -> None:
    """Numbers are a session's own."""
    with Server(echo) as server:
        policy = Policy(net=Net(http=[f"* {server.url}"]))
        with (
            isolated.Session(language="python", policy=policy) as mine,
            isolated.Session(language="python", policy=policy) as other,
        ):
            number = mine.eval(f"{PRELUDE}\nn = send({server.url!r})[1]; n").value
            stolen = other.eval(f"{PRELUDE}\n[host.ask('A', [n, None])[1] for n in range(100)]").value
            kept = mine.eval("read(n)[0]").value

    assert (["closed"] * 100, 200) == (stolen, kept)
    assert isinstance(number, int)


@pytest.mark.parametrize(
    "header",
    [
        ("host", b"evil.example"),
        ("Connection", b"keep-alive"),
        ("transfer-encoding", b"chunked"),
        ("upgrade", b"websocket"),
        ("proxy-authorization", b"x"),
        ("expect", b"100-continue"),
        ("x-mine", b"a\r\nhost: evil.example"),
        ("x-mine", b"a\nb"),
        ("x-mine", b"a\0b"),
        ("x-mine: 1\r\nhost", b"evil.example"),
        ("", b"evil.example"),
        ("x mine", b"evil.example"),
    ],
)
def test_headers_that_shape_the_message_are_refused(header: tuple[str, bytes]) -> None:
    """Past the layer of Python, in the message itself."""
    with Server() as server:
        result = python(f"print(send({server.url!r}, headers=[{header!r}])[0])", f"* {server.url}")

        assert ("1\n", []) == (result.text, server.heard)


def test_lying_content_length_is_not_sent() -> None:
    """The length is that of the body, so no body becomes the beginning of a second request."""
    with Server(echo) as server:
        code = f"""
for length in (b"0", b"5", b"500", b"-1", b"x"):
    n = send({server.url!r}, "POST", [("content-length", length)], b"GET /admin HTTP/1.1\\r\\n\\r\\n")
    print(read(n[1])[0])
"""
        result = python(code, f"* {server.url}")

        assert "200\n" * 5 == result.text
        assert all(b"\r\ncontent-length: 23\r\n" in heard.lower() for heard in server.heard)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://{0}@127.0.0.2:{1}/",
        "http://user@{0}/",
        "http://2130706433:{1}/",
        "http://0x7f.1:{1}/",
        "http://[::ffff:127.0.0.1]:{1}/",
        "http://localhost:{1}/",
        "http://{0}/v1/../admin",
        "http://{0}/v1/%2e%2e/admin",
        "https://{0}/v1/x",
        "ftp://{0}/v1/x",
        "file:///etc/passwd",
        "//{0}/v1/x",
        "/v1/x",
        "",
    ],
)
def test_request_that_is_not_granted_is_never_sent(url: str) -> None:
    """However its URL is written."""
    with Server() as server:
        written = url.format(server.authority, server.port)
        result = python(f"print(send({written!r})[:2])", f"GET {server.url}/v1/*")

        assert [] == server.heard
    assert result.text in {"[1, 'denied']\n", "[1, 'invalid']\n"}
    assert "denied" not in result.text or 1 == len(denied(result))


@pytest.mark.parametrize("method", ["POST", "CONNECT", "TRACE", "get", "GET /x HTTP/1.1\r\n\r\nGET", ""])
def test_other_methods_are_never_sent(method: str) -> None:
    """A grant of GET is one of GET."""
    with Server() as server:
        result = python(f"print(send({server.url!r}, {method!r})[0])", f"GET {server.url}")

        assert ("1\n", []) == (result.text, server.heard)


def test_sockets_speak_nothing_but_http() -> None:
    """A connection that looks made sends nothing of another protocol, nor a second request in the first."""
    with Server(reads=False) as server:
        code = f"""
import socket
for data in (b"EHLO me\\r\\n\\r\\n", b"\\x16\\x03\\x01\\x00", b"GET / HTTP/1.1\\r\\n\\r\\nGET /2 HTTP/1.1\\r\\n\\r\\n",
             b"GET / HTTP/1.1\\r\\nx: 1\\r\\n y: 2\\r\\n\\r\\n", b"GET /\\r\\n\\r\\n", b" GET / HTTP/1.1\\r\\n\\r\\n"):
    s = socket.create_connection(("127.0.0.1", {server.port}))
    try: s.sendall(data); print("sent", data)
    except OSError as error: print(type(error).__name__)
    s.close()
try: socket.create_connection(("127.0.0.1", {server.port})).recv(1)
except OSError as error: print(type(error).__name__)
"""
        result = python(code, f"GET {server.url}")

        assert ("OSError\n" * 7, b"", []) == (result.text, result.stderr, server.heard)


def test_body_that_is_larger_than_the_host_may_hold_is_refused() -> None:
    """Alone, or together with those that wait."""
    with Server() as server:
        code = f"""
def attempt(size):
    try: return send({server.url!r}, "POST", body=bytes(size))[:2]
    except OSError as error: return "longer" in str(error)
print(attempt(3 << 20), attempt(1_500_000), attempt(1_500_000))
"""
        result = python(code, f"POST {server.url}", host_bytes="2MiB")

    assert "True [0, 1] [1, 'too-long']\n" == result.text


def test_answer_without_end_stops_at_the_bytes_of_the_network() -> None:
    """What a guest may move is counted on the host."""

    def flood(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"x" * 65536)

    with Server(flood) as server:
        result = python(f"read(send({server.url!r})[1])", f"GET {server.url}", net_bytes="1MiB")

    assert ("limited", "net_bytes") == (result.outcome, result.limit)


@pytest.mark.parametrize("piece", [b"", b"HTTP/1.1 200 OK\r\n\r\nx"], ids=["no head", "no end"])
def test_answer_that_never_comes_ends_at_the_deadline(piece: bytes) -> None:
    """In whatever step it is waited for."""

    def silent(connection: socket.socket, _: bytes) -> None:
        connection.sendall(piece)
        connection.recv(1)

    with Server(silent) as server:
        began = time.monotonic()
        code = f"import urllib.request as u; u.urlopen({server.url!r}).read()"
        result = python(code, f"GET {server.url}", wall=2)
        took = time.monotonic() - began

    assert ("limited", "wall") == (result.outcome, result.limit)
    assert took < 4, "the deadline, half a second, and a loaded machine"


def test_open_exchanges_are_bounded() -> None:
    """A guest that never closes has as many as the limit `connections`; closing gives the place back."""
    with Server(says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")) as server:
        code = f"""
opened = [send({server.url!r}) for _ in range(6)]
print([number if not status else number for status, number, *_ in opened])
host.ask("X", [1, None])
print(send({server.url!r})[0])
"""
        result = python(code, f"GET {server.url}", connections=4)

    assert "[1, 2, 3, 4, 'limit', 'limit']\n0\n" == result.text
    assert "connections" in {denial.kind for denial in result.denials}


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff" * 100,
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
    ],
)
def test_hostile_server_is_an_exception(said: bytes) -> None:
    """The library's usual one, and the run goes on."""
    with Server(says(said)) as server:
        code = f"""
import urllib.request, http.client
try: print(urllib.request.urlopen({server.url!r}).read())
except (OSError, http.client.HTTPException): print("failed")
"""
        result = python(code, f"GET {server.url}")

    assert (b"", "failed\n") == (result.stderr, result.text)


def test_policy_that_stops_at_a_refusal_stops_here_too() -> None:
    """The guest gets no chance to go on."""
    policy = Policy(on_denied="stop")
    result = run_code(PRELUDE + "send('http://127.0.0.1:1/'); print('went on')", "python", policy=policy)

    assert ("denied", b"") == (result.outcome, result.stdout)
    assert ["GET http://127.0.0.1:1/"] == denied(result)


def test_secret_goes_to_its_server_and_never_to_the_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The placeholder becomes the value on the way, and the value a placeholder on the way back."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("PROD_KEY", "sk-live-0123456789")
    heads: list[bytes] = []

    def script(connection: socket.socket, request: bytes) -> None:
        heads.append(request)
        connection.sendall(answer(request, "x-seen: sk-live-0123456789"))

    with Server(script, tls=tls(authority, "127.0.0.1")) as server:
        secret = Secret("API_KEY", env="PROD_KEY", origin=server.url)
        code = f"""
import os, urllib.request as u
a = u.urlopen(u.Request({server.url!r}, headers={{"Authorization": "Bearer " + os.environ["API_KEY"]}}))
print(a.headers, a.read(), os.environ["API_KEY"] in a.headers["x-seen"])
"""
        result = python(code, f"GET {server.url}", secrets=[secret])

    assert b"" == result.stderr
    assert b"Bearer sk-live-0123456789" in heads[0]
    assert "sk-live" not in result.text
    assert result.text.endswith("True\n")
