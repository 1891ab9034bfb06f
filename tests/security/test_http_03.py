"""Attacks through `wasi:http` by components of WASI 0.3, which take another way to the same requests."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from ringfence import Limits, Net, Policy
from security.http_guest import ERRORS, SHARED_TYPES
from security.http_server import Server
from security.isolated import run
from security.test_http import HOSTILE, dripping, silent
from waiting import late

pytestmark = pytest.mark.usefixtures("isolation")


GUEST = Path(__file__).with_name("http_guest_03.wat").read_text()


def guest(url: str, *, error: str = "HTTP-request-denied") -> bytes:
    """Write a component that sends one request, and may meet one error."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    parts = {
        "TYPES": SHARED_TYPES,
        "URL": rest,
        "SCHEME": str(["http", "https"].index(scheme)),
        "AUTHORITY": str(len(authority)),
        "PATH_AT": str(1024 + len(authority)),
        "PATH": str(len(slash + path)),
        "ERROR": str(ERRORS.index(error)),
    }
    return re.sub(r"@([A-Z_]+)@", lambda found: parts[found[1]], GUEST).encode()


def policy(*http: str, wall: float = 10) -> Policy:
    """Grant requests to a component of WASI 0.3."""
    return Policy(wasi="0.3", net=Net(http=http), limits=Limits(wall=wall))


def test_granted_request_is_answered() -> None:
    """The same grants and the same wire as for WASI 0.2."""
    with Server() as server:
        result = run(guest(f"{server.url}/a?b"), policy=policy(f"{server.url}/a"))

        assert ("exited", 0, ()) == (result.outcome, result.exit_code, result.denials)
        assert [f"GET /a?b HTTP/1.1\r\nhost: {server.authority}\r\nconnection: close\r\n\r\n".encode()] == server.heard


@pytest.mark.parametrize("granted", [[], ["https://a.example.com"]])
def test_request_that_is_not_granted_is_refused(granted: list[str]) -> None:
    """A typed error, a denial, and no connection."""
    with Server() as server:
        result = run(guest(f"{server.url}/a?b"), policy=policy(*granted))

        assert ("exited", 1, []) == (result.outcome, result.exit_code, server.heard)
    assert [("http", f"GET {server.url}/a")] == [(denial.kind, denial.what) for denial in result.denials]


@pytest.mark.parametrize("kind", ["garbage", "a giant header", "interim answers without end", "another protocol"])
def test_hostile_answer_ends_in_a_typed_error(kind: str) -> None:
    """The same bounds."""
    said, [error] = HOSTILE[kind]
    with Server(said) as server:
        result = run(guest(f"{server.url}/", error=error), policy=policy(server.url))

    assert ("exited", 1) == (result.outcome, result.exit_code)


def test_server_that_says_nothing_is_left_at_the_deadline() -> None:
    """And its connection is closed."""
    with Server(silent) as server:
        started = time.monotonic()
        result = run(guest(f"{server.url}/"), policy=policy(server.url, wall=0.5))

        assert time.monotonic() - started < 0.5 + 2 * late()
        assert ("limited", "wall") == (result.outcome, result.limit)
        assert server.closed.acquire(timeout=5)


def test_answer_that_is_not_read_is_dropped_with_the_run() -> None:
    """The guest ends with an open answer, and the server sees the end."""
    with Server(dripping) as server:
        assert 0 == run(guest(f"{server.url}/"), policy=policy(server.url)).exit_code
        assert server.closed.acquire(timeout=5)
