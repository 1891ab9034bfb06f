"""Python's own ways to HTTP, and the libraries that people use: unchanged, through the host, under a grant."""

from __future__ import annotations

import gzip
import importlib.util
import shutil
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from ringfence import Dir, Limits, Net, Policy, Result, Session, run
from security.http_server import Server, answer, echo

if TYPE_CHECKING:
    import socket

LIBRARIES = (*("requests", "urllib3", "idna", "certifi", "charset_normalizer"), *("httpx", "httpcore", "h11", "anyio"))
GET = {
    "urllib": "import urllib.request\nprint(urllib.request.urlopen({url!r}).read().decode())",
    "requests": "import requests\nprint(requests.get({url!r}).text)",
    "httpx": "import httpx\nprint(httpx.get({url!r}, follow_redirects=True).text)",
}
FAILED = {
    "urllib": "urllib.error.URLError",
    "requests": "requests.exceptions.ConnectionError",
    "httpx": "httpx.ConnectError",
}
every_library = pytest.mark.parametrize("library", GET)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the libraries as their pure wheels have them: without what was compiled for this machine."""
    folder = tmp_path_factory.mktemp("packages")
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        place = Path(spec.origin).parent
        shutil.copytree(place, folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copy(str(importlib.util.find_spec("typing_extensions").origin), folder)  # type: ignore[union-attr]
    return folder


def python(code: str, packages: Path, *http: str, wall: float = 60) -> Result:
    """Run Python that may import the libraries, under these grants."""
    policy = Policy(
        net=Net(http=list(http)),
        dirs=[Dir(packages, at="/packages")],
        env={"PYTHONPATH": "/packages"},
        limits=Limits(wall=wall),
    )
    return run(code=code, language="python", policy=policy)


def denied(result: Result) -> list[str]:
    """Name the requests that were refused."""
    return [denial.what for denial in result.denials if denial.kind == "http"]


def last(result: Result) -> str:
    """Name the exception that ended it."""
    return result.stderr.decode().splitlines()[-1].partition(":")[0]


@every_library
def test_granted_request_is_sent_and_answered(library: str, packages: Path) -> None:
    """Path and query arrive, with our `Host`; nothing was refused."""
    with Server(echo) as server:
        url = f"{server.url}/a?b=c"
        result = python(GET[library].format(url=url), packages, f"GET {server.url}/*")

    assert (0, b"", []) == (result.exit_code, result.stderr, denied(result))
    assert result.text.startswith(f"GET /a?b=c HTTP/1.1\r\nhost: {server.authority}\r\n")


@every_library
def test_without_a_grant_the_network_is_unreachable(library: str, packages: Path) -> None:
    """The library raises its own exception, and the denials name the server."""
    with Server() as server:
        result = python(GET[library].format(url=f"{server.url}/x"), packages)

        assert [] == server.heard
    assert (FAILED[library], [server.url]) == (last(result), denied(result))
    assert "Network is unreachable" in result.stderr.decode()


@every_library
def test_request_beyond_the_grant_is_told_with_its_method_and_path(library: str, packages: Path) -> None:
    """The host and port are granted, the path is not."""
    with Server() as server:
        result = python(GET[library].format(url=f"{server.url}/x?key=1"), packages, f"GET {server.url}/v1/*")

        assert [] == server.heard
    assert (FAILED[library], [f"GET {server.url}/x"]) == (last(result), denied(result))


@every_library
def test_name_that_is_not_granted_is_not_looked_up(library: str, packages: Path) -> None:
    """It fails as a name does where no network is."""
    result = python(GET[library].format(url="https://api.example.com/x"), packages, "GET https://other.example.com/*")

    assert (FAILED[library], ["https://api.example.com"]) == (last(result), denied(result))


@every_library
def test_server_that_is_not_there_is_refused(library: str, packages: Path) -> None:
    """The library's own exception, and no denial."""
    with Server() as server:
        pass
    result = python(GET[library].format(url=server.url), packages, f"GET {server.url}")

    assert (FAILED[library], []) == (last(result), denied(result))
    assert "Connection refused" in result.stderr.decode()


@every_library
def test_redirects_are_followed_by_the_library_each_under_the_grant(library: str, packages: Path) -> None:
    """To a granted place it goes on, to another it ends."""

    def script(connection: socket.socket, request: bytes) -> None:
        there = {b"/1": "/2", b"/2": "/3", b"/4": "http://169.254.169.254/latest"}.get(request.split(b" ")[1])
        connection.sendall(answer(b"", f"location: {there}", status="302 Found") if there else answer(b"arrived"))

    with Server(script) as server:
        arrived = python(GET[library].format(url=f"{server.url}/1"), packages, f"GET {server.url}/*")
        lost = python(GET[library].format(url=f"{server.url}/4"), packages, f"GET {server.url}/*")

    assert ("arrived\n", b"") == (arrived.text, arrived.stderr)
    assert (FAILED[library], ["http://169.254.169.254"]) == (last(lost), denied(lost))


POST = {
    "urllib": "import urllib.request as u\na = u.urlopen(u.Request(U, b'x' * 300_000, {'X-Mine': '1'})).read()",
    "http.client": """
import http.client
c = http.client.HTTPConnection(U.split("/")[2])
c.request("POST", "/", iter([b"x" * 100_000] * 3), {"X-Mine": "1"}, encode_chunked=True)
a = c.getresponse().read()
""",
    "requests json": """
import requests
a = requests.post(U, json={"k": "x" * 300_000}, headers={"X-Mine": "1"}).content
""",
    "requests file": """
import io, requests
a = requests.post(U, files={"f": ("n.txt", io.BytesIO(b"x" * 300_000))}, headers={"X-Mine": "1"}).content
""",
    "requests pieces": """
import requests
a = requests.post(U, data=(b"x" * 100_000 for _ in range(3)), headers={"X-Mine": "1"}).content
""",
    "httpx json": "import httpx\na = httpx.post(U, json={'k': 'x' * 300_000}, headers={'X-Mine': '1'}).content",
    "httpx file": """
import io, httpx
a = httpx.post(U, files={"f": ("n.txt", io.BytesIO(b"x" * 300_000))}, headers={"X-Mine": "1"}).content
""",
    "httpx pieces": """
import httpx
a = httpx.post(U, content=(b"x" * 100_000 for _ in range(3)), headers={"X-Mine": "1"}).content
""",
}


@pytest.mark.parametrize("way", POST)
def test_bodies_arrive_whole(way: str, packages: Path) -> None:
    """In one piece, in many, as JSON and as a form with a file."""
    with Server(echo) as server:
        code = f"U = {server.url!r} + '/'\n{POST[way]}\nprint(a[:7], b'x-mine: 1' in a, a.count(b'xxx'))"
        result = python(code, packages, f"POST {server.url}")

    assert (b"", "b'POST / ' True 100000\n") == (result.stderr, result.text)


def test_headers_codings_and_streams_come_back(packages: Path) -> None:
    """Several cookies, gzip, and a body of 20 MB that is read piece by piece."""
    packed = gzip.compress(b"packed")

    def script(connection: socket.socket, request: bytes) -> None:
        if b" /gzip " in request:
            connection.sendall(answer(packed, "content-encoding: gzip", "set-cookie: a=1", "set-cookie: b=2"))
        elif b" /error " in request:
            connection.sendall(answer(b"no tea", status="418 Short And Stout"))
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(20):
                connection.sendall(b"f4240\r\n" + b"y" * 1_000_000 + b"\r\n")
            connection.sendall(b"0\r\n\r\n")

    code = """
import requests, httpx, urllib.request, urllib.error
a, b = requests.get(U + "/gzip"), httpx.get(U + "/gzip")
print(a.text, b.text, dict(a.cookies), b.headers.get_list("set-cookie"))
print(sum(map(len, requests.get(U + "/", stream=True).iter_content(70_000))))
with httpx.stream("GET", U + "/") as c: print(sum(map(len, c.iter_bytes())))
print(len(urllib.request.urlopen(U + "/").read()), requests.head(U + "/gzip").headers["content-length"])
try: urllib.request.urlopen(U + "/error")
except urllib.error.HTTPError as e: print(e.code, e.reason, e.read())
"""
    with Server(script) as server:
        result = python(f"U = {server.url!r}\n{code}", packages, f"GET,HEAD {server.url}")

    assert b"" == result.stderr
    assert [
        "packed packed {'a': '1', 'b': '2'} ['a=1', 'b=2']",
        "20000000",
        "20000000",
        f"20000000 {len(packed)}",
        "418 I'm a Teapot b'no tea'",
    ] == result.text.splitlines()


TIMEOUT = {
    "import urllib.request as u; u.urlopen(U, timeout=.3)": "TimeoutError",
    "import requests; requests.get(U, timeout=.3)": "requests.exceptions.ReadTimeout",
    "import httpx; httpx.get(U, timeout=.3)": "httpx.ReadTimeout",
}


@pytest.mark.parametrize(("code", "raised"), TIMEOUT.items(), ids=["urllib", "requests", "httpx"])
def test_timeouts_are_the_librarys_own(code: str, raised: str, packages: Path) -> None:
    """A server that never answers."""
    with Server(lambda connection, _: connection.recv(1)) as server:  # type: ignore[arg-type]
        began = time.monotonic()
        result = python(f"U = {server.url!r}\n{code}", packages, f"GET {server.url}")

    assert raised == last(result)
    assert time.monotonic() - began < 30


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """Make an authority that this process trusts, alone."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return authority


UNVERIFIED = {
    "urllib": "import ssl, urllib.request as u\nu.urlopen(U, context=ssl._create_unverified_context())",
    "requests": "import requests\nrequests.get(U, verify=False)",
    "httpx": "import httpx\nhttpx.get(U, verify=False)",
}


@every_library
def test_https_is_spoken_and_verified_by_the_host(library: str, packages: Path, authority: trustme.CA) -> None:
    """A trusted server is heard; a stranger's certificate is an error, whatever the guest asks for."""
    trusted, strange = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    authority.issue_cert("127.0.0.1").configure_cert(trusted)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(strange)
    with Server(echo, tls=trusted) as server, Server(echo, tls=strange) as stranger:
        heard = python(GET[library].format(url=f"{server.url}/x"), packages, f"GET {server.url}")
        code = f"U = {stranger.url!r}\n{UNVERIFIED[library]}"
        refused = python(code, packages, f"GET {stranger.url}")

        assert [] == stranger.heard
    assert (b"", True) == (heard.stderr, heard.text.startswith("GET /x HTTP/1.1\r\n"))
    raised = {**FAILED, "requests": "requests.exceptions.SSLError"}[library]
    assert raised == last(refused)
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr.decode()


def test_sessions_send_requests_and_keep_answers_between_turns() -> None:
    """What was opened in one turn is read in the next; denials are the turn's."""
    with (
        Server(echo) as server,
        Session(language="python", policy=Policy(net=Net(http=[f"GET {server.url}"]))) as session,
    ):
        opened = session.eval(f"import urllib.request as u; a = u.urlopen('{server.url}/one'); a.status")
        read = session.eval("a.read().split()[1].decode()")
        refused = session.eval("u.urlopen('http://127.0.0.1:1/')")

    assert (200, "/one") == (opened.value, read.value)
    assert refused.error is not None
    told = [denial.what for denial in refused.denials if denial.kind == "http"]
    assert ("urllib.error.URLError", ["http://127.0.0.1:1"]) == (refused.error.type, told)


def test_asynchronous_clients_are_not_there_yet(packages: Path) -> None:
    """They end in an exception, not in a wait."""
    with Server(echo) as server:
        code = f"import asyncio, httpx\nasync def f(): await httpx.AsyncClient().get({server.url!r})\nasyncio.run(f())"
        result = python(code, packages, f"GET {server.url}", wall=30)

    assert ("exited", 1) == (result.outcome, result.exit_code)
