"""Attacks on the way to a server of https: authorities that nobody trusts, other names, no TLS at all."""

from __future__ import annotations

import datetime as dt
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from ringfence import Net, Policy
from security.http_guest import Answer, Request, answers, http_guest
from security.http_server import OK, Server, echo
from security.isolated import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("isolation")


def tls(authority: trustme.CA, *names: str, **details: object) -> ssl.SSLContext:
    """Make a server's side of TLS with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **details).configure_cert(context)  # type: ignore[arg-type]
    return context


def send(server: Server, *, host: str = "127.0.0.1") -> Answer:
    """Send one request to a server of https."""
    url = f"https://{host}:{server.port}"
    policy = Policy(net=Net(http=[f"* {url}", f"* {server.url}"]))
    result = run(http_guest(Request(f"{url}/")), policy=policy)
    assert "exited" == result.outcome
    return answers(result.stdout)[0]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """Make an authority that this process trusts, alone."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return authority


def test_server_of_a_trusted_authority_is_heard(authority: trustme.CA) -> None:
    """By name and by address."""
    with Server(echo, tls=tls(authority, "127.0.0.1", "localhost")) as server:
        by_address, by_name = send(server), send(server, host="localhost")

    assert (200, 200) == (by_address.status, by_name.status)
    assert f"host: localhost:{server.port}\r\n".encode() in by_name.body


def test_authorities_are_read_from_a_directory_too(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SSL_CERT_DIR` is honoured as OpenSSL does."""
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca.pem").rename(tmp_path / "ca" / "0a1b2c3d.0")
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "ca"))
    with Server(tls=tls(authority, "127.0.0.1")) as server:
        assert 200 == send(server).status


def test_server_of_another_authority_is_refused(authority: trustme.CA) -> None:  # noqa: ARG001 - it is the one trusted
    """A certificate of anybody is none; the request is not sent."""
    with Server(tls=tls(trustme.CA(), "127.0.0.1")) as server:
        assert ("TLS-certificate-error", []) == (send(server).error, server.heard)


def test_certificate_for_another_name_is_refused(authority: trustme.CA) -> None:
    """It has to be for the host that was granted."""
    with Server(tls=tls(authority, "api.example.com", "127.0.0.2")) as server:
        assert ("TLS-certificate-error", []) == (send(server).error, server.heard)
        assert ("TLS-certificate-error", []) == (send(server, host="localhost").error, server.heard)


def test_certificate_that_is_over_is_refused(authority: trustme.CA) -> None:
    """A certificate has its time."""
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    with Server(tls=tls(authority, "127.0.0.1", not_after=past)) as server:
        assert ("TLS-certificate-error", []) == (send(server).error, server.heard)


def test_server_without_tls_gets_no_request(authority: trustme.CA) -> None:  # noqa: ARG001
    """Https is never http."""
    with Server(OK, reads=False) as server:
        answer = send(server)

        assert answer.error in {"TLS-protocol-error", "connection-terminated"}
        assert all(b"GET" not in heard for heard in server.heard)


@pytest.mark.parametrize("file", ["missing", "empty", "garbage"])
def test_without_authorities_nobody_is_trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """Where the authorities cannot be read, https does not work; it is never unverified."""
    if file != "missing":
        (tmp_path / file).write_text("" if file == "empty" else "-----BEGIN CERTIFICATE-----\nAAAA\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / file))
    with Server(tls=tls(authority, "127.0.0.1")) as server:
        assert ("configuration-error", []) == (send(server).error, server.heard)


def test_old_tls_is_not_spoken(authority: trustme.CA) -> None:
    """TLS 1.2 and 1.3, and nothing older."""
    context = tls(authority, "127.0.0.1")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with Server(tls=context) as server:
        answer = send(server)

        assert answer.error in {"TLS-protocol-error", "TLS-alert-received", "connection-terminated"}
        assert [] == server.heard
