"""Attacks in JavaScript: endless, boundless and forged, and on the driver that runs them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

import ringfence
from ringfence import Limits, Policy
from security.isolated import options
from waiting import late

if TYPE_CHECKING:
    from ringfence import Result

pytestmark = pytest.mark.usefixtures("isolation")

WALL = 0.3
ENDLESS = [
    "for (;;) { }",
    "for (;;) try { throw 1 } catch { continue } finally { continue }",
    "(function f() { try { f() } finally { f() } })()",
    "(function f() { Promise.resolve().then(f) })(); ",
    "(async () => { for (;;) await null })()",
    "setInterval(() => { }, 0)",
    "for (;;) Promise.reject(1)",
    "(function f() { setTimeout(f) })()",
    "os.sleep(1e9)",
    "await new Promise(done => setTimeout(done, 1e9))",
    "[...(function* () { for (;;) yield 1 })()].length",
    "/(a+)+$/.test('a'.repeat(40) + 'b')",
    "'x'.repeat(1 << 20).replace(/(x+x+)+y/, '')",
    "for (;;) [3, 2, 1].sort(() => 0)",
    "Array.from({ length: 2 ** 50 })",
    "new Array(4294967295).fill(0).map(String)",
    "2n ** 1000000n % 7n; for (let n = 3n; ; n = n * n % (2n ** 400000n)) ;",
    "JSON.stringify({ toJSON() { for (;;) ; } })",
    "process.on('exit', () => { for (;;) ; })",
    "process.stdin.on('data', () => { }); for (;;) std.in.readAsString()",
    "new Proxy({}, { get() { for (;;) ; } }).x",
]
BREAK_ALL = """
    for (const { prototype } of [Array, Map, Set, String, RegExp, Promise, Error, Object, Function])
        for (const name of Reflect.ownKeys(prototype)) try { prototype[name] = () => { throw 1 } } catch { }
"""


def attack(text: str, **keywords: Any) -> Result:
    """Run the attack, where the fixture says."""
    return ringfence.run(code=text, language="javascript", **keywords, **options())


def alive() -> None:
    """Look whether the next run is as if nothing had been."""
    told = attack("console.log([1, 2].map(x => x + 1), typeof left, Object.keys(process.env).length)").check().text
    assert "[ 2, 3 ] undefined 0\n" == told


@pytest.mark.parametrize("text", ENDLESS)
def test_endless_program_ends_at_the_deadline(text: str) -> None:
    """Or before, of its own; no catch, finally, job or timer of it runs on."""
    attack("")  # compiled before the clock starts
    begun = time.monotonic()

    result = attack(text, policy=Policy(limits=Limits(wall=WALL, memory="128MiB")))

    assert result.outcome in {"limited", "exited"}
    assert time.monotonic() - begun < WALL + late(2)
    if result.outcome == "exited":
        assert 1 == result.exit_code
        assert b"RangeError" in result.stderr
    alive()


@pytest.mark.parametrize(
    "text",
    [
        "const all = []; for (;;) all.push(new Array(1000).fill({}))",
        "let text = 'x'; for (;;) text += text + Math.random()",
        "const all = []; for (;;) all.push(new Uint8Array(1 << 20))",
        "new Uint8Array(4e9)",
        "new ArrayBuffer(8, { maxByteLength: 3e9 }).resize(3e9)",
        "let f = () => 1; for (;;) { const g = f; f = () => g() }",
        "for (let i = 0; ; i++) globalThis['name' + i] = i",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, i)",
        "for (;;) setTimeout(() => { }, 1e6)",
        "let n = 3n; for (;;) n *= n",
        "'abc'.padEnd(2 ** 29).split('').map(c => [c])",
        "structuredClone(new Array(1e8).fill([]))",
    ],
)
def test_hog_of_memory_gets_an_error_or_is_limited(text: str) -> None:
    """What it takes is its own limit, and the next run has all of it again."""
    result = attack(text, policy=Policy(limits=Limits(wall=20, memory="64MiB")))

    assert (result.outcome, result.limit) in {("exited", None), ("limited", "memory")}
    assert 1 == result.exit_code
    alive()


@pytest.mark.parametrize(
    "text",
    [
        "for (;;) console.log('x'.repeat(1000))",
        "for (;;) console.error('x')",
        "for (;;) std.puts('x')",
        "const b = new ArrayBuffer(65536); for (;;) os.write(1, b, 0, 65536)",
        "console.log('x'.repeat(64 << 20))",
    ],
)
def test_flood_of_output_ends_at_its_limit(text: str) -> None:
    """Whichever way it writes."""
    result = attack(text, policy=Policy(limits=Limits(wall=20, output="1MiB")))

    assert ("limited", "output") == (result.outcome, result.limit)
    assert len(result.stdout) + len(result.stderr) <= 1 << 20
    alive()


@pytest.mark.parametrize(("depth", "told"), [(150, "151\n"), (10_000, "RangeError\n"), (1_000_000, "RangeError\n")])
def test_deeply_nested_source_is_read_or_refused(depth: int, told: str) -> None:
    """Shallow nesting is read, deep nesting is an error of the language."""
    nested = f"'1+('.repeat({depth}) + '1' + ')'.repeat({depth})"
    text = f"try {{ console.log(eval({nested})) }} catch (e) {{ console.log(e.name) }}"

    assert told == attack(text).check().text


def test_source_that_is_nested_too_deeply_ends_in_the_languages_error() -> None:
    """As the program itself, not by `eval`."""
    result = attack("(" * 100_000)

    assert ("exited", 1) == (result.outcome, result.exit_code)
    assert b"Maximum call stack size exceeded" in result.stderr


def test_huge_integer_is_refused() -> None:
    """A number of more than a million bits is no number here."""
    text = "for (const make of [() => 2n ** 99999999n, () => 1n << 4000000000n, () => BigInt('9'.repeat(5e6))])"
    text += " try { make(); console.log('made') } catch (e) { console.log(e.name) }"

    assert "RangeError\n" * 3 == attack(text, policy=Policy(limits=Limits(wall=20))).check().text


def test_nothing_starts_processes_threads_or_connections() -> None:
    """What could is not there: neither in the modules nor by WASI's own numbers."""
    modules = ["os.exec", "os.Worker", "os.pipe", "os.kill", "os.dup2", "os.symlink", "std.popen", "std.urlGet"]
    absent = [*modules, "fetch", "WebSocket", "WebAssembly", "Worker", "require"]
    text = f"console.log({', '.join(f'typeof {name}' for name in absent)})"

    assert " ".join(["undefined"] * len(absent)) + "\n" == attack(text).check().text


def test_nothing_of_the_host_is_seen() -> None:
    """No variables, files or folders, and no descriptors beyond the three."""
    text = """
        const open = []; for (let fd = 3; fd < 64; fd++) if (os.read(fd, new ArrayBuffer(1), 0, 1) >= 0) open.push(fd);
        console.log(process.env, std.getenviron(), open, os.readdir('/')[0], os.readdir('.')[0]);
        for (const path of ['/etc/passwd', '/proc/self/environ', '../../etc/passwd', '/dev/tty', 'javascript.wasm'])
            console.log(std.loadFile(path), os.stat(path)[0], os.open(path, os.O_RDWR | os.O_CREAT) < 0);
    """

    assert "{} {} [] [ '.', '..' ] [ '.', '..' ]\n" + "null null true\n" * 5 == attack(text).check().text


def test_closed_and_stolen_descriptors_harm_only_the_guest() -> None:
    """A program that closes its own streams prints nothing more."""
    result = attack("for (let fd = 0; fd < 64; fd++) os.close(fd); console.log('gone'); throw new Error('gone')")

    assert ("exited", b"", b"") == (result.outcome, result.stdout, result.stderr)
    alive()


def test_forged_messages_to_the_host_are_refused() -> None:
    """Every kind there is and is not, with payloads that are nonsense: an error each, nothing else."""
    text = """
        let refused = 0, answered = [];
        const send = (...bytes) => {
            try { ringfence.raw(new Uint8Array(bytes)); answered.push(bytes[0]) }
            catch (e) { refused += e instanceof Error }
        };
        send();
        const endless = [0x9b, 255, 255, 255, 255, 255, 255, 255, 255];
        for (let kind = 0; kind < 256; kind++) { send(kind, 0); send(kind, 0xff, 0xff); send(kind, ...endless) }
        for (let kind = 0; kind < 256; kind++) send(kind, ...crypto.getRandomValues(new Uint8Array(64)));
        try { ringfence.raw(new Uint8Array(300 << 20)) } catch { refused++ }
        try { ringfence.raw('text') } catch { refused++ }
        try { ringfence.call('search', ['x']) } catch { refused++ }
        console.log(answered, refused);
    """

    assert "[] 1028\n" == attack(text, policy=Policy(limits=Limits(wall=20, memory="512MiB"))).check().text


@pytest.mark.parametrize(
    "text",
    [
        "for (const name of Reflect.ownKeys(globalThis)) try { globalThis[name] = null } catch { }",
        BREAK_ALL,
        "Object.defineProperty(Object.prototype, 'then', { get() { throw 1 } })",
        "Object.prototype.toString = Error.prototype.toString = () => { for (;;) process.exit(1) }",
        "Error.prepareStackTrace = () => { throw new Error('again') }",
        "Object.defineProperty(Array.prototype, 0, { set() { throw 1 } })",
        "console.log = process.stdout.write = null; Object.freeze(globalThis)",
        "let Map = 1, Error = 2, Object = 3, String = 4",
    ],
)
def test_program_that_breaks_its_own_language_still_ends(text: str) -> None:
    """Whatever it replaces, its error ends it with 1."""
    result = attack(text + "; null.field")

    assert ("exited", 1) == (result.outcome, result.exit_code)
    alive()


@pytest.mark.parametrize("seed", range(8))
def test_forged_bytecode_reaches_nothing_but_its_own_memory(seed: int) -> None:
    """The engine loads bytecode unchecked, so a guest can write over its driver: it ends, one way or another."""
    text = f"""
        import * as bjson from 'qjs:bjson';
        let state = {seed + 1};
        const random = n => (state = state * 48271 % 2147483647) % n;
        const make = () => [1, 'x', {{ y: 2n }}].map(v => [v, typeof v]).flat().join() + /a+/.exec('aa');
        const whole = new Uint8Array(bjson.write({{ f: make, d: new Date(0) }}, 0x7));
        for (let i = 0; i < 2000; i++) {{
            const bytes = whole.slice();
            for (let k = 0; k <= random(4); k++) bytes[random(bytes.length)] = random(256);
            try {{ const made = bjson.read(bytes.buffer, 0, bytes.length, 0x7); made?.f?.(); String(made) }} catch {{ }}
        }}
    """

    result = ringfence.run(
        code=text, language="javascript", policy=Policy(limits=Limits(wall=3, memory="128MiB")), **options()
    )

    assert result.outcome in {"exited", "trapped", "limited"}
    alive()
