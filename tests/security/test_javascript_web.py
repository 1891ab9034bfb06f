"""Attacks in JavaScript for the web: endless, boundless and forged, and on the bridge and the driver that run them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

import ringfence
from ringfence import Limits, Net, Policy
from security.http_server import Server, answer, echo
from security.isolated import options
from waiting import late

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from ringfence import Result

pytestmark = pytest.mark.usefixtures("isolation", "compiled_web")

LANGUAGE = "javascript-web"
WALL = 0.3
ENDLESS = [
    "for (;;) { }",
    "for (;;) try { throw 1 } catch { continue } finally { continue }",
    "(function f() { try { f() } finally { f() } })()",
    "(function f() { Promise.resolve().then(f) })()",
    "(async () => { for (;;) await null })()",
    "setInterval(() => { }, 0)",
    "(function f() { queueMicrotask(f) })()",
    "await new Promise(done => setTimeout(done, 1e9))",
    "[...(function* () { for (;;) yield 1 })()].length",
    "/(a+)+$/.test('a'.repeat(60) + 'b')",
    "for (let n = 3n; ; n = n * n % (2n ** 400000n)) ;",
    "process.on('exit', () => { for (;;) ; })\nprocess.exit(0)",
    "new Proxy({}, { get() { for (;;) ; } }).x",
    "const s = new ReadableStream({ pull(c) { c.enqueue(1) } }).getReader(); for (;;) await s.read()",
    "addEventListener('x', () => dispatchEvent(new Event('x'))); for (;;) dispatchEvent(new Event('y'))",
    "throw { get stack() { for (;;) ; }, toString() { for (;;) ; }, toJSON() { for (;;) ; }, get a() { for (;;) ; } }",
]
BREAK_ALL = """
    for (const { prototype } of [Array, Map, Set, String, RegExp, Promise, Error, Object, Function, Uint8Array])
        for (const name of Reflect.ownKeys(prototype)) try { prototype[name] = () => { throw 1 } } catch { }
    for (const name of Reflect.ownKeys(globalThis)) try { globalThis[name] = undefined } catch { }
"""


def attack(text: str, *http: str, **limits: Any) -> Result:
    """Run the attack, where the fixture says."""
    policy = Policy(net=Net(http=list(http)), limits=Limits(**{"wall": 60, **limits}))
    return ringfence.run(code=text, language=LANGUAGE, policy=policy, **options())


def alive() -> None:
    """Look whether the next run is as if nothing had been."""
    result = attack("console.log([1, 2].map(x => x + 1), typeof left, Object.keys(process.env).length)")
    assert ("[ 2, 3 ] undefined 0\n", b"", ()) == (result.text, result.stderr, result.denials)


@pytest.mark.parametrize("text", ENDLESS)
def test_endless_program_ends_at_its_deadline(text: str) -> None:
    """Whatever it is busy with; the next run is clean."""
    began = time.monotonic()
    result = attack(f"globalThis.left = 1; {text}", wall=WALL, memory="256MiB")

    assert result.limit in {"wall", "memory"}, result
    assert time.monotonic() - began < 10
    assert result.usage.wall_seconds < WALL + late()
    alive()


BOMBS = [
    "const all = []; for (;;) all.push('x'.repeat(100) + all.length)",
    "const all = []; for (;;) all.push({})",
    "const all = []; for (;;) all.push(new Uint8Array(1 << 20))",
    "const all = []; for (;;) all.push(new ArrayBuffer(1 << 28))",
    "let all = [0]; for (;;) all = all.concat(all)",
    "const all = new Map(); for (let i = 0; ; i++) all.set(i, { all })",
    "await new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(1 << 20)) } })).arrayBuffer()",
]


@pytest.mark.parametrize("text", BOMBS)
def test_memory_bomb_ends_at_its_limit(text: str) -> None:
    """As a limit of the run, or as the engine's own error; never as the host's."""
    result = attack(text, memory="96MiB")

    assert "memory" == result.limit or b"out of memory" in result.stderr, result
    assert result.usage.memory_bytes <= 96 << 20
    alive()


def test_flood_of_output_ends_at_its_limit() -> None:
    """On both streams, by every way to write."""
    for text in (
        "for (;;) console.log('x'.repeat(1000))",
        "for (;;) process.stderr.write('x')",
        "process.stdout.write(new Uint8Array(1 << 26))",
        "for (;;) Promise.reject(new Error('x'.repeat(1000)))",
    ):
        result = attack(text, output="64KiB", memory="64MiB")
        assert result.limit in {"output", "memory"}, (text, result)
        assert result.usage.output_bytes <= 64 << 10
    alive()


DEEP = [
    "const f = () => f(); f()",
    "const f = a => [a].map(f); f(1)",
    "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; JSON.stringify(a)",
    "(0, eval)('('.repeat(1e6))",
    "(0, eval)('[0' + ',[0'.repeat(1e6))",
    "new RegExp('('.repeat(1e6))",
    "let a = {}; for (let i = 0; i < 1e6; i++) a = { a }; structuredClone(a)",
    "const e = new Error('x'); e.cause = e; throw e",
    "let p = {}; for (let i = 0; i < 1e6; i++) p = new Proxy(p, {}); p.x",
    "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; String(a.flat(Infinity))",
]


@pytest.mark.parametrize("text", DEEP)
def test_deep_nesting_is_the_languages_error(text: str) -> None:
    """Recursion of the program, of the parser, of the library: an exception with exit code 1, or no error at all."""
    result = attack(text, memory="512MiB")

    assert ("exited", None) == (result.outcome, result.trap), result
    assert result.exit_code in {0, 1}
    alive()


def test_program_finds_nothing_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables, no files, no names of processes; the only global ways out are those of the policy."""
    monkeypatch.setenv("SECRET", "s3cr3t")
    (tmp_path / "secret.js").write_text("export default 's3cr3t'", encoding="utf-8")
    text = f"""
        console.log(JSON.stringify(process.env), process.cwd(), process.argv.length, process.pid);
        for (const path of ['{tmp_path}/secret.js', '/etc/passwd', '../../../etc/passwd', '/proc/self/environ'])
            await import(path).then(m => console.log('read', m), e => console.log('refused'));
        console.log(typeof require, typeof Deno, typeof Bun, typeof WebSocket, typeof Worker, typeof std, typeof os);
    """
    result = attack(text)

    assert "{} / 1 1\n" + "refused\n" * 4 + "undefined " * 6 + "undefined\n" == result.text
    assert b"s3cr3t" not in result.stdout + result.stderr
    assert all(denial.kind == "read" for denial in result.denials)


def test_modules_inside_of_the_component_lead_nowhere_else() -> None:
    """A program may import what the driver is made of: it gets its own text, its own exit, its own streams, no more."""
    text = """
        import { exit, source } from 'ringfence:language/host@1.0.0';
        import * as driver from 'ringfence:javascript-web/driver';
        import * as bridge from 'ringfence:javascript-web/bridge@1.0.0';
        import { getEnvironment } from 'wasi:cli/environment@0.2.10';
        console.log(source() === undefined, getEnvironment().length, Object.keys(driver).length > 0);
        driver.write(1, new TextEncoder().encode('by hand\\n'));
        exit(7);
    """
    result = attack(text)

    assert ("true 0 true\nby hand\n", 7) == (result.text, result.exit_code)
    alive()


FORGED = [
    "bridge.evaluate(0, 0, 0, 0, 0)",
    "bridge.evaluate(0xfffffff0, 0xfffffff0, 0xfffffff0, 0, 0xffffffff)",
    "bridge.passWrite(1, 0xfffffff0, 0xffffffff, 0xfffffff0)",
    "bridge.passRead(0, 0, 1 << 20, 0)",
    "bridge.settle(3, 0xffffff00, 0xffffffff); await new Promise(() => {})",
    "driver.evaluate('again', new TextEncoder().encode('driver.evaluate'))",
    "driver.evaluate('\\ud800', new Uint8Array(1 << 24))",
    "driver.write(77, new Uint8Array(10))",
    "for (let i = 0; i < 100; i++) driver.settle(i, 'x'.repeat(i))",
]


@pytest.mark.parametrize("text", FORGED)
def test_forged_calls_of_the_bridge_harm_only_their_own_run(text: str) -> None:
    """Pointers out of memory, the loader called again from within: a trap or an exit of this run."""
    names = {"driver": "driver", "bridge": "bridge@1.0.0"}
    head = "".join(f"import * as {name} from 'ringfence:javascript-web/{of}';" for name, of in names.items())
    result = attack(head + text, wall=10, memory="256MiB")

    assert result.outcome in {"exited", "trapped", "limited"}, result
    alive()


def test_broken_builtins_do_not_break_the_end() -> None:
    """Everything that the driver may use is replaced; the error is still told, or the run ends by a trap."""
    result = attack(BREAK_ALL + "throw 'x'")

    assert result.outcome in {"exited", "trapped"}
    assert result.exit_code != 0
    alive()


def test_redirect_to_where_nothing_is_granted_is_refused() -> None:
    """The metadata service of a cloud, a file, another port: none of them hears of it."""
    there = [
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "http://127.0.0.1:1/x",
        "//localhost/x",
        "data:text/plain,x",
    ]

    def script(connection: socket.socket, request: bytes) -> None:
        at = int(request.split(b" ")[1][1:])
        connection.sendall(answer(b"", f"location: {there[at]}", status="302 Found"))

    with Server(script) as server:
        text = f"""for (let n = 0; n < {len(there)}; n++)
            await fetch('{server.url}/' + n).then(() => console.log('got through'), e => console.log(e.name))"""
        result = attack(text, f"GET {server.url}/*")

    assert "TypeError\n" * len(there) == result.text
    assert ["GET http://127.0.0.1:1/x", "GET http://169.254.169.254/latest", "GET http://localhost/x"] == sorted(
        denial.what for denial in result.denials
    )


def test_credentials_do_not_follow_a_redirect_to_another_server() -> None:
    """They are for the first one only."""
    headers = "{ authorization: 'Bearer s3cr3t', cookie: 's3cr3t', 'x-mine': '1' }"
    with Server(echo) as other, Server(answer(b"", f"location: {other.url}/x", status="302 Found")) as server:
        result = attack(
            f"await fetch('{server.url}', {{ headers: {headers} }})", f"GET {server.url}", f"GET {other.url}/*"
        )

    assert 0 == result.exit_code, result.stderr
    assert b"x-mine: 1" in other.heard[0]
    assert b"s3cr3t" not in other.heard[0]


def test_headers_cannot_be_forged() -> None:
    """What frames a message is the host's; line ends are refused; the name of the server is that of the address."""
    headers = [
        "{ a: 'b\\r\\nx-evil: 1' }",
        "{ 'a\\nb': '1' }",
        "{ host: 'evil' }",
        "{ 'transfer-encoding': 'chunked' }",
        "{ 'content-length': '9' }",
        "{ connection: 'upgrade', upgrade: 'x' }",
    ]
    with Server(echo) as server:
        for forged in headers:
            attack(f"await fetch('{server.url}', {{ headers: {forged} }})", f"GET {server.url}")

        for heard in server.heard:
            assert b"evil" not in heard
            assert b"upgrade" not in heard
            assert b"chunked" not in heard
            assert f"host: {server.authority}".encode() in heard
