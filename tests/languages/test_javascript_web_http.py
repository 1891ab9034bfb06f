"""`fetch` under the grants of http, and nothing beside them."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from ringfence import Limits, Net, Policy, Result, run
from security.http_server import Server, answer, echo

if TYPE_CHECKING:
    import socket
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("compiled_web")


def web(code: str, *http: str) -> Result:
    """Run a program that may reach these."""
    return run(code=code, language="javascript-web", policy=Policy(net=Net(http=list(http)), limits=Limits(wall=60)))


def denied(result: Result) -> list[str]:
    """Name the requests that were refused."""
    return [denial.what for denial in result.denials if denial.kind == "http"]


def test_granted_request_is_sent_with_its_method_headers_and_body() -> None:
    """Text, bytes, a form, and an object as JSON."""
    code = """
        const post = async (body, headers) => (await fetch(U, { method: 'POST', body, headers })).text();
        console.log(await (await fetch(U + '?a=1')).text());
        console.log(await post('text', { 'X-Mine': '1' }), await post(new Uint8Array([104, 105])));
        console.log(await post(new URLSearchParams({ a: '1' })));
        console.log(await post(JSON.stringify({ a: 1 }), { 'content-type': 'application/json' }));
    """
    with Server(echo) as server:
        result = web(f"const U = '{server.url}/v1';{code}", f"GET,POST {server.url}/v1")

    assert (b"", []) == (result.stderr, denied(result))
    assert result.text.startswith(f"GET /v1?a=1 HTTP/1.1\r\nhost: {server.authority}\r\n")
    for part in ("POST /v1 HTTP/1.1", "x-mine: 1", "\r\n\r\ntext", "\r\n\r\nhi", "\r\n\r\na=1", '\r\n\r\n{"a":1}'):
        assert part in result.text, part
    assert "content-type: application/json" in result.text


def test_answer_has_its_status_headers_and_body_as_the_web_has_them() -> None:
    """An error status is no exception; several headers of one name; JSON."""

    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer(b'{"a": [1]}', "set-cookie: a=1", "set-cookie: b=2", status="418 Short And Stout"))

    code = (
        "const r = await fetch(U); console.log(r.status, r.ok, r.url === U, r.headers.getSetCookie(), await r.json())"
    )
    with Server(script) as server:
        result = web(f"const U = '{server.url}/'; {code}", f"GET {server.url}")

    assert (b"", "418 false true [ 'a=1', 'b=2' ] { a: [ 1 ] }\n") == (result.stderr, result.text)


def test_work_that_nobody_awaits_is_finished_before_the_end() -> None:
    """The program's text ends long before its requests do."""
    with Server(echo) as server:
        code = "for (const n of [1, 2, 3]) fetch(U + n).then(r => r.text()).then(t => console.log(t.slice(0, 6)))"
        result = web(f"const U = '{server.url}/'; {code}", f"GET {server.url}")

    assert (b"", ["GET /1", "GET /2", "GET /3"]) == (result.stderr, sorted(result.text.splitlines()))


def test_large_bodies_stream_both_ways() -> None:
    """20 MB in pieces, of which the program keeps none; 3 MB out of a stream."""

    def script(connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"POST"):
            connection.sendall(answer(str(request.count(b"x") // 1000).encode()))
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(20):
            connection.sendall(b"f4240\r\n" + b"y" * 1_000_000 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")

    code = """
        let bytes = 0;
        for (const reader = (await fetch(U)).body.getReader(); ;) {
            const { done, value } = await reader.read();
            if (done) break;
            bytes += value.length;
        }
        let left = 30;
        const piece = () => new Uint8Array(100_000).fill(120);
        const body = new ReadableStream({ pull(c) { if (left--) c.enqueue(piece()); else c.close() } });
        console.log(bytes, await (await fetch(U, { method: 'POST', body, duplex: 'half' })).text());
    """
    with Server(script) as server:
        result = web(f"const U = '{server.url}';{code}", f"GET,POST {server.url}")

    assert (b"", "20000000 3000\n") == (result.stderr, result.text)


REFUSED = {
    "nothing granted": ("{url}/x", [], "GET {url}/x"),
    "another path": ("{url}/x?key=1", ["GET {url}/v1/*"], "GET {url}/x"),
    "another method": ("{url}/x", ["POST {url}/*"], "GET {url}/x"),
    "a name": ("https://api.example.com/x", ["GET https://other.example.com/*"], "GET https://api.example.com/x"),
}


@pytest.mark.parametrize(("asked", "granted", "told"), REFUSED.values(), ids=list(REFUSED))
def test_refusal_is_a_type_error_and_a_denial(asked: str, granted: list[str], told: str) -> None:
    """It can be caught; no server hears of it; what was asked for is noted, without its query."""
    with Server() as server:
        url = server.url
        code = "try { await fetch(U) } catch (e) { console.log(e instanceof TypeError, String(e)) }"
        result = web(f"const U = '{asked.format(url=url)}'; {code}", *(grant.format(url=url) for grant in granted))

        assert [] == server.heard
    assert "true TypeError: NetworkError when attempting to fetch resource\n" == result.text
    assert [told.format(url=url)] == denied(result)


def test_uncaught_refusal_ends_the_program_with_what_would_grant_it() -> None:
    """Exit code 1, the error, and the denial that the hint is made of."""
    result = web("await fetch('http://127.0.0.1:1/x')")

    assert (1, ["GET http://127.0.0.1:1/x"]) == (result.exit_code, denied(result))
    assert b"TypeError: NetworkError when attempting to fetch resource\n" == result.stderr


def test_server_that_is_not_there_is_a_type_error_too() -> None:
    """And no denial."""
    with Server() as server:
        pass
    result = web(f"await fetch('{server.url}')", f"GET {server.url}")

    assert (1, []) == (result.exit_code, denied(result))
    assert b"NetworkError" in result.stderr


def redirecting(connection: socket.socket, request: bytes) -> None:
    """Send a chain of redirects, and an echo at its end."""
    there = {b"/1": "/2", b"/2": "/end", b"/loop": "/loop", b"/away": "http://169.254.169.254/latest"}
    status = "307 Temporary Redirect" if b"/307" in request.split(b"\r\n")[0] else "302 Found"
    to = "/end" if status.startswith("307") else there.get(request.split(b" ")[1])
    connection.sendall(answer(b"", f"location: {to}", status=status) if to else answer(request))


def test_redirects_are_followed_as_the_web_does_each_under_the_grant() -> None:
    """A post becomes a get, or is sent again where the answer says so; the other modes are there."""
    code = """
        async function told(path, init) {
            const r = await fetch(U + path, init);
            return [r.status, r.redirected, r.url.slice(U.length), (await r.text()).split(' ')[0]].join();
        }
        const post = { method: 'POST', body: 'b' };
        console.log(await told('/1'), await told('/1', post), await told('/307', post));
        console.log(await told('/1', { redirect: 'manual' }));
        console.log(await fetch(U + '/1', { redirect: 'error' }).catch(e => e.name));
        console.log(await fetch(U + '/loop').catch(e => e.message));
    """
    with Server(redirecting) as server:
        result = web(f"const U = '{server.url}';{code}", f"GET,POST {server.url}")

    assert b"" == result.stderr
    assert [
        "200,true,/end,GET 200,true,/end,GET 200,true,/end,POST",
        "302,false,/1,",
        "TypeError",
        "redirect count exceeded",
    ] == result.text.splitlines()


def test_https_is_spoken_and_verified_by_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trusted server is heard; a stranger's certificate is a TypeError."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    trusted, strange = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    authority.issue_cert("127.0.0.1").configure_cert(trusted)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(strange)
    with Server(echo, tls=trusted) as server, Server(echo, tls=strange) as stranger:
        code = f"""console.log((await (await fetch('{server.url}/x')).text()).slice(0, 6));
            console.log(await fetch('{stranger.url}/x').catch(e => e.name))"""
        result = web(code, f"GET {server.url}", f"GET {stranger.url}")

        assert [] == stranger.heard
    assert (b"", "GET /x\nTypeError\n") == (result.stderr, result.text)
