"""Attacks on secrets: a guest that wants to see what it may only send, and servers that repeat it."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import re
import time
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from ringfence import Net, Policy, PolicyError, Result, Secret
from security.http_guest import PLACEHOLDER, Answer, Request, answers, http_guest
from security.http_server import Server, answer, echo
from security.isolated import Sandbox, run
from security.test_https import tls

if TYPE_CHECKING:
    import socket
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("isolation")

VALUE = "sk-live-0123456789/ab+CD=ef"
AUTHORIZED = (("authorization", f"Bearer {PLACEHOLDER}"),)
PLACEHOLDERS = re.compile(rb"ringfence-placeholder-[0-9a-f]{32}")


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """Make an authority that this process trusts, and set the value."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("PROD_KEY", VALUE)
    return authority


@pytest.fixture
def api(authority: trustme.CA) -> Any:
    """Give a server of https for a script."""
    return lambda script: Server(script, tls=tls(authority, "127.0.0.1"))


def policy_for(server: Server, **changes: Any) -> Policy:
    """Grant all requests to a server, with a secret for it."""
    secret = Secret("API_KEY", env="PROD_KEY", origin=server.url, **changes)
    return Policy(net=Net(http=[f"* {server.url}"]), secrets=[secret])


def send(server: Server, *requests: Request, policy: Policy | None = None) -> tuple[Result, list[Answer]]:
    """Send requests as a guest that has the placeholder."""
    result = run(http_guest(*requests), policy=policy or policy_for(server))
    assert "exited" == result.outcome
    assert VALUE.encode() not in result.stdout + result.stderr
    return result, answers(result.stdout)


def test_value_is_sent_and_the_guest_sees_a_placeholder(api: Any) -> None:
    """The server hears the value where the guest wrote the placeholder; an echo of it is the placeholder again."""
    with api(echo) as server:
        _, [came] = send(server, Request(f"{server.url}/v1", headers=AUTHORIZED))

        assert f"\r\nauthorization: Bearer {VALUE}\r\n".encode() in server.heard[0]
    assert 200 == came.status
    assert re.search(rb"\r\nauthorization: Bearer ringfence-placeholder-[0-9a-f]{32}\r\n", came.body)


def test_header_is_the_one_that_was_granted(api: Any) -> None:
    """A secret for another header goes into that one."""
    with api(echo) as server:
        request = Request(f"{server.url}/", headers=(*AUTHORIZED, ("x-api-key", PLACEHOLDER)))
        send(server, request, policy=policy_for(server, header="X-API-Key"))

        assert f"\r\nx-api-key: {VALUE}\r\n".encode() in server.heard[0]
        assert 1 == server.heard[0].count(VALUE.encode())


def test_placeholder_elsewhere_stays_one(api: Any) -> None:
    """In another header, in the URL, in the body: the server hears the placeholder."""
    with api(echo) as server:
        headers = (("x-other", PLACEHOLDER), (PLACEHOLDER.lower().replace("{", "a").replace("}", "b"), "x"))
        path, body = f"/{PLACEHOLDER}?q={PLACEHOLDER}", PLACEHOLDER.encode()
        send(server, Request(server.url, path=path, method="POST", headers=headers, body=body))

        assert VALUE.encode() not in server.heard[0]
        assert 4 == len(PLACEHOLDERS.findall(server.heard[0]))


def test_value_goes_to_no_other_origin(api: Any) -> None:
    """Neither to another server that is granted, nor to another port, nor over plain http."""
    with api(echo) as server, api(echo) as other, Server(echo) as plain:
        secret = Secret("API_KEY", env="PROD_KEY", origin=server.url)
        localhost = f"https://localhost:{server.port}"
        http = [f"* {one}" for one in (server.url, other.url, plain.url, localhost)]
        policy = Policy(net=Net(http=http), secrets=[secret])
        urls = (other.url, plain.url, f"http://{server.authority}", localhost)
        send(server, *(Request(f"{url}/", headers=AUTHORIZED) for url in urls), policy=policy)

        for heard in (*server.heard, *other.heard, *plain.heard):
            assert VALUE.encode() not in heard
            assert PLACEHOLDERS.search(heard)
        assert 1 == len(other.heard) == len(plain.heard)


SPELLINGS = {
    "as it is": VALUE,
    "upper case": VALUE.upper(),
    "base64": base64.b64encode(VALUE.encode()).decode(),
    "base64 behind a user": base64.b64encode(f"user:{VALUE}".encode()).decode(),
    "base64 in between": base64.b64encode(f"xx{VALUE}yyy".encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(f"?{VALUE}~".encode()).decode(),
    "hexadecimal": VALUE.encode().hex(),
    "hexadecimal capitals": VALUE.encode().hex(" ").upper(),
    "percent": urllib.parse.quote(VALUE),
    "percent for a part": urllib.parse.quote(VALUE, safe=""),
    "percent, all of it": "".join(f"%{byte:02X}" for byte in VALUE.encode()),
    "a form": urllib.parse.urlencode({"key": VALUE}),
    "JSON": json.dumps({"key": VALUE}),
    "JSON with slashes": json.dumps(VALUE).replace("/", "\\/"),
    "JSON escapes": "".join(f"\\u{byte:04x}" for byte in VALUE.encode()),
    "two bytes a letter": VALUE.encode("utf-16-le").decode(),
}


def tells_nothing(text: bytes) -> bool:
    """Whether no usual reading of a text has more than a few letters of the value in it."""
    readings = [text, urllib.parse.unquote_to_bytes(text), text.replace(b"\0", b""), text.replace(b"\\/", b"/")]
    for piece in re.findall(rb"[A-Za-z0-9+/]{8,}", text.translate(bytes.maketrans(b"-_", b"+/"))):
        readings += [base64.b64decode(piece[at : at + (len(piece) - at) // 4 * 4]) for at in range(4)]
    pieces = [VALUE[at : at + 6].lower().encode() for at in range(len(VALUE) - 5)]
    return not any(piece in reading.lower() for reading in readings for piece in pieces)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("how", ["whole", "bytes", "chunks"])
def test_echo_in_usual_spellings_is_scrubbed(api: Any, spelling: str, how: str) -> None:
    """Whole, byte by byte or in chunks: what reaches the guest tells nothing of the value."""
    said = f"<before>{SPELLINGS[spelling]}<after>".encode()

    def script(connection: socket.socket, _: bytes) -> None:
        if how == "whole":
            connection.sendall(answer(said))
            return
        head = b"transfer-encoding: chunked" if how == "chunks" else b"content-length: %d" % len(said)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        for at in range(0, len(said), 3):
            piece = said[at : at + 3]
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if how == "chunks" else piece)
        if how == "chunks":
            connection.sendall(b"0\r\n\r\n")

    with api(script) as server:
        _, [came] = send(server, Request(f"{server.url}/", headers=AUTHORIZED))

    assert (200, None) == (came.status, came.error)
    assert came.body.startswith(b"<before>")
    assert came.body.endswith(b"<after>")
    assert PLACEHOLDERS.search(came.body)
    assert tells_nothing(came.body), came.body


def test_echo_in_headers_and_trailers_is_scrubbed(api: Any) -> None:
    """In the words of the status, in a header's value and name, in a trailer."""
    encoded = base64.b64encode(f"user:{VALUE}".encode()).decode()
    name = VALUE.encode().hex()
    said = (
        f"HTTP/1.1 200 {VALUE}\r\nx-echo: Bearer {VALUE}\r\nwww-authenticate: Basic {encoded}\r\nx-{name}: 1\r\n"
        f"transfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n2\r\nok\r\n0\r\nx-end: {VALUE}\r\nx-{name}: 2\r\n\r\n"
    )
    with api(lambda connection, _: connection.sendall(said.encode())) as server:
        _, [came] = send(server, Request(f"{server.url}/", headers=AUTHORIZED))

    assert (200, b"ok") == (came.status, came.body)
    assert PLACEHOLDERS.search(dict(came.headers)["x-echo"])
    assert PLACEHOLDERS.search(dict(came.trailers)["x-end"])
    for header, value in (*came.headers, *came.trailers):
        assert tells_nothing(value), header
        assert name not in header


def test_echo_to_a_later_request_without_the_secret_is_scrubbed(api: Any) -> None:
    """A server that keeps what it heard tells it nobody, whoever asks and by whatever origin."""
    kept: list[bytes] = []

    def script(connection: socket.socket, request: bytes) -> None:
        kept.append(request)
        connection.sendall(answer(b"".join(kept)))

    with api(script) as server, Server(script) as plain:
        policy = policy_for(server).replace(net=Net(http=[f"* {server.url}", f"* {plain.url}"]))
        authorized = Request(f"{server.url}/", headers=AUTHORIZED)
        _, came = send(server, authorized, Request(f"{server.url}/"), Request(f"{plain.url}/"), policy=policy)

    assert [1, 1, 1] == [len(PLACEHOLDERS.findall(one.body)) for one in came]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "x-unknown"])
def test_packed_answer_is_refused(api: Any, coding: str) -> None:
    """What cannot be read cannot be scrubbed; the server is asked to send it plain."""
    packed = gzip.compress(VALUE.encode())
    with api(lambda connection, _: connection.sendall(answer(packed, f"content-encoding: {coding}"))) as server:
        request = Request(f"{server.url}/", headers=(*AUTHORIZED, ("accept-encoding", "gzip")))
        _, [came] = send(server, request)

        assert "HTTP-response-content-coding" == came.error
        assert b"\r\naccept-encoding: identity\r\n" in server.heard[0]
        assert b"gzip" not in server.heard[0]


def test_value_is_not_handed_over_in_parts(api: Any) -> None:
    """A range of an answer could be one letter of the value at a time: none is asked for, none is taken."""
    with api(answer(VALUE[:4].encode(), "content-range: bytes 0-3/27", status="206 Partial Content")) as server:
        request = Request(f"{server.url}/", headers=(*AUTHORIZED, ("range", "bytes=0-3"), ("if-range", '"x"')))
        _, [came] = send(server, request)

        assert "HTTP-response-content-coding" == came.error
        assert b"range" not in server.heard[0].lower()


def test_held_back_bytes_do_not_tell_a_guess(api: Any) -> None:
    """How much of an open answer is there does not depend on whether it looks like the value."""
    seen = []
    for guess in (VALUE[:12], "x" * 12):

        def script(connection: socket.socket, _: bytes, guess: str = guess) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nline\n" + guess.encode())
            time.sleep(3)

        with api(script) as server:
            request = Request(f"{server.url}/", headers=AUTHORIZED, between_bytes_seconds=0.3)
            _, [came] = send(server, request)
        seen.append((came.error, came.body))

    assert [("connection-read-timeout", b"line\n")] * 2 == seen


def test_placeholder_is_new_in_every_run_and_seen_by_core_modules(guests: Path, api: Any) -> None:
    """A placeholder of another run, or of another guest, is worth nothing."""
    with api(echo) as server:
        sandbox = Sandbox(guests / "print_environment.wat", policy=policy_for(server))
        seen = {sandbox.run().stdout for _ in range(5)}

    assert 5 == len(seen)
    for text in seen:
        assert re.fullmatch(rb"API_KEY=ringfence-placeholder-[0-9a-f]{32}\0", text)


@pytest.mark.parametrize(
    "value", [None, "", "tiny-77", "two\nlines-0123", "ends-in-a-line-feed\n", "\u00fcml\u00e4ute-0123", "x" * 5000]
)
def test_value_that_cannot_be_kept_is_refused_before_the_run(
    api: Any, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """Missing, or not what a header can carry: a policy error that names the variable and tells nothing of it."""
    with api(echo) as server:
        sandbox = Sandbox(http_guest(Request(f"{server.url}/")), policy=policy_for(server))
        if value is None:
            monkeypatch.delenv("PROD_KEY")
        else:
            monkeypatch.setenv("PROD_KEY", value)
        with pytest.raises(PolicyError, match=r"`API_KEY`.*`PROD_KEY`") as raised:
            sandbox.run()

        assert not value or value not in str(raised.value)
        assert [] == server.heard


def test_value_is_nowhere_but_on_the_wire(api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a policy, its file, its pickle or its repr, not in a result, its JSON or its denials, not in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with api(echo) as server:
        policy = policy_for(server)
        requests = (
            Request(f"{server.url}/", headers=AUTHORIZED),
            Request("https://refused.example/?" + VALUE, headers=AUTHORIZED),
        )
        result, _ = send(server, *requests, policy=policy)
        assert VALUE.encode() in server.heard[0]

    told = [repr(policy), policy.to_toml(), str(pickle.dumps(policy)), repr(result), result.json()]
    told += [str(pickle.dumps(result)), repr(result.denials), repr(policy.secrets)]
    for text in told:
        assert VALUE not in text
    for file in (tmp_path / "cache").rglob("*"):
        assert not file.is_file() or VALUE.encode() not in file.read_bytes()
