"""JavaScript for the web: programs are modules, and behave as those of any other language from the outside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import ringfence
from ringfence import Dir, LoadError, Policy, Result, Sandbox, Session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from conftest import Command

LANGUAGE = "javascript-web"
pytestmark = pytest.mark.usefixtures("compiled_web")


def web(code: str, input: bytes | None = None, env: Mapping[str, str] | None = None) -> Result:
    """Run a program with nothing granted but these variables."""
    return ringfence.run(code=code, language=LANGUAGE, policy=Policy(env=env or {}), input=input)


def script(tmp_path: Path, text: str, name: str = "program.js") -> Path:
    """Write a script."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_script_is_handed_in_with_its_arguments_variables_and_input(tmp_path: Path, ringfence: Command) -> None:
    """As any program: nothing is granted, and the text does not stand among the arguments."""
    code = "for await (const piece of process.stdin) console.log(process.argv.slice(1), process.env.NAME, piece)"
    script(tmp_path, code, "program.js")
    ended = ringfence(
        *("run", "--language", LANGUAGE, "--env", "NAME=value", "program.js", "a", "b c"), input=b"from stdin"
    )

    assert (0, "[ 'program.js', 'a', 'b c' ] value from stdin\n", "") == (ended.exit_code, ended.stdout, ended.stderr)


def test_every_way_to_hand_a_program_in_runs_it(tmp_path: Path, ringfence: Command) -> None:
    """`-c`, `-`, a path, `code` for a run, and a command line of its own under a grant."""
    path = script(tmp_path, "console.log('told')")
    bare = Sandbox(language=LANGUAGE, policy=Policy(dirs=[Dir(tmp_path, at="/work")]))
    told = [
        ringfence("run", "--language", LANGUAGE, "-c", "console.log('told')").stdout,
        ringfence("run", "--language", LANGUAGE, "-", input=b"console.log('told')").stdout,
        ringfence("run", "--language", LANGUAGE, path.name).stdout,
        Sandbox(path, language=LANGUAGE).run().text,
        bare.run(code="console.log('told')").text,
        bare.run(["-e", "console.log('told')"]).text,
        bare.run(["/work/program.js"]).text,
    ]

    assert ["told\n"] * 7 == told


def test_js_files_stay_with_the_other_javascript(tmp_path: Path) -> None:
    """This language claims no ends of names, so none is unclear."""
    assert "object\n" == ringfence.run(script(tmp_path, "console.log(typeof std)")).text
    assert "undefined\n" == ringfence.run(script(tmp_path, "console.log(typeof std)"), language=LANGUAGE).text


def test_streams_and_exit_codes_are_as_usual() -> None:
    """`console.log` and `console.error`, `process.exit`, and `process.exitCode` at the end."""
    result = web(
        "console.log('out'); console.error('err'); process.exitCode = 3; setTimeout(() => console.log('late'), 5)"
    )
    left = web("process.on('exit', code => console.log('left with', code)); process.exit(259)")

    assert (3, "out\nlate\n", b"err\n") == (result.exit_code, result.text, result.stderr)
    assert (3, "left with 259\n") == (left.exit_code, left.text)
    ended = web("process.on('exit', code => console.log('ended with', code)); setTimeout(console.log, 1, 'worked')")
    assert (0, "worked\nended with 0\n") == (ended.exit_code, ended.text)


ERRORS = {
    "throw": (
        "function f() {\n  throw new TypeError('no', { cause: new Error('why') });\n}\nf();",
        """src/a.js:2
  throw new TypeError('no', { cause: new Error('why') });
        ^

TypeError: no
    at f (src/a.js:2:9)
    at src/a.js:4:1
  [cause]: Error: why
      at f (src/a.js:2:38)
      at src/a.js:4:1
""",
    ),
    "syntax": (
        "let a = 1;\nlet b = ;\n",
        """src/a.js:2
let b = ;
        ^

SyntaxError: expected expression, got ';'
    at src/a.js:2:9
""",
    ),
    "timer": (
        "setTimeout(() => { throw new RangeError('late') }, 1)",
        """src/a.js:1
setTimeout(() => { throw new RangeError('late') }, 1)
                         ^

RangeError: late
    at src/a.js:1:26
""",
    ),
    "rejection": (
        "async function main() {\n  throw new Error('unheard');\n}\nmain();",
        """Uncaught (in promise) unheard
    at main (src/a.js:2:9)
    at src/a.js:4:1
""",
    ),
    "no error": ("throw { a: 1 }", "Uncaught { a: 1 }\n"),
    "missing": (
        "import { x } from './b.js';",
        'ReferenceError: Error loading module "./b.js" (resolved path "src/b.js"): No such file or directory\n',
    ),
    "listener": (
        "addEventListener('x', () => { throw new Error('heard') });\ndispatchEvent(new Event('x'));",
        """Exception while Exception in event listener for x
src/a.js:1
addEventListener('x', () => { throw new Error('heard') });
                                    ^

Error: heard
    at src/a.js:1:37
""",
    ),
}


@pytest.mark.parametrize(("text", "told"), ERRORS.values(), ids=list(ERRORS))
def test_uncaught_error_names_the_users_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    """With exit code 1, whatever it was: nothing of our own driver shows."""
    script(tmp_path, text, "src/a.js")
    monkeypatch.chdir(tmp_path)
    result = ringfence.run("src/a.js", language=LANGUAGE)

    assert (told, 1) == (result.stderr.decode(), result.exit_code)


def test_wait_for_what_never_comes_ends_as_in_node() -> None:
    """Exit code 13, in words."""
    result = web("console.log('before'); await new Promise(() => {}); console.log('never')")

    assert (13, "before\n") == (result.exit_code, result.text)
    assert b"js: the program waits at its top level for what never comes\n" == result.stderr


def test_program_is_a_module_with_timers_in_order() -> None:
    """Strict, with `await` at the top, `import.meta`, and work that is still to come when its text ends."""
    result = web("""
        console.log(this, typeof import.meta, await Promise.resolve('awaited'));
        setTimeout(console.log, 20, 'third'); setTimeout(console.log, 1, 'second');
        queueMicrotask(() => console.log('first'));
        const timer = setInterval(() => { console.log('again'); clearInterval(timer) }, 30);
        clearTimeout(setTimeout(console.log, 0, 'never'));
    """)

    assert (b"", 0) == (result.stderr, result.exit_code)
    assert "undefined object awaited\nfirst\nsecond\nthird\nagain\n" == result.text


def test_neighbours_are_imported_under_a_grant_and_hinted_at_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ringfence: Command
) -> None:
    """Modules of modules too, each from where its importer lies."""
    monkeypatch.chdir(tmp_path)
    script(tmp_path, "import { twice } from './lib/twice.js'; console.log(twice(21));", "main.js")
    script(tmp_path, "import { two } from './two.js'; export const twice = x => two * x;", "lib/twice.js")
    script(tmp_path, "export const two = 2;", "lib/two.js")
    granted = ringfence("run", "--language", LANGUAGE, "--dir", ".:/", "main.js")
    alone = ringfence("run", "--language", LANGUAGE, "main.js")

    assert ("42\n", "", 0) == (granted.stdout, granted.stderr, granted.exit_code)
    assert 1 == alone.exit_code
    assert "lib/twice.js" in alone.stderr


INTERFACES = {
    "url": ("new URL('?q=1#h', 'https://a.b/c').href", "https://a.b/c?q=1#h"),
    "search": ("String(new URLSearchParams({ a: '1 2', b: 'é' }))", "a=1+2&b=%C3%A9"),
    "text": ("new TextDecoder().decode(new TextEncoder().encode('é€😀'))", "é€😀"),
    "base64": ("atob(btoa('hello'))", "hello"),
    "clone": (
        "structuredClone(new Map([[1, { a: [new Date(0)] }]])).get(1).a[0].toISOString()",
        "1970-01-01T00:00:00.000Z",
    ),
    "headers": ("[...new Headers({ B: '2', a: '1' })].join()", "a,1,b,2"),
    "response": ("await new Response('x', { status: 201 }).text()", "x"),
    "request": ("new Request('http://a/b', { method: 'PUT' }).method", "PUT"),
    "blob": ("await new Blob(['a', 'b']).text()", "ab"),
    "abort": ("(() => { const c = new AbortController(); c.abort(); return c.signal.aborted })()", "true"),
    "aborted": ("AbortSignal.abort().aborted", "true"),
    "event": ("new Event('x') instanceof Event", "true"),
    "form": ("(() => { const f = new FormData(); f.set('a', 'b'); return f.get('a') })()", "b"),
    "stream": (
        """await new Response(new ReadableStream({
            start(c) { c.enqueue(new TextEncoder().encode('s')); c.close() },
        })).text()""",
        "s",
    ),
    "gzip": (
        """await new Response(new Blob(['zip']).stream().pipeThrough(new CompressionStream('gzip'))
            .pipeThrough(new DecompressionStream('gzip'))).text()""",
        "zip",
    ),
    "digest": (
        "new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode('abc'))).slice(0, 4).join()",
        "186,120,22,191",
    ),
    "hmac": (
        """await crypto.subtle.verify('HMAC', await crypto.subtle.importKey('raw', new Uint8Array(32),
        { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']), new Uint8Array(32), new Uint8Array(1))""",
        "false",
    ),
    "uuid": ("/^[0-9a-f]{8}-[0-9a-f]{4}-4/.test(crypto.randomUUID())", "true"),
}


@pytest.mark.parametrize(("expression", "told"), INTERFACES.values(), ids=list(INTERFACES))
def test_interfaces_of_the_web_are_there(expression: str, told: str) -> None:
    """Those that browsers and servers share."""
    result = web(f"console.log(String({expression}))")

    assert (b"", f"{told}\n") == (result.stderr, result.text)


def test_random_numbers_clocks_and_globals_are_fresh_in_every_run() -> None:
    """Though all runs begin from one snapshot; with a seed they are the seed's."""
    code = """globalThis.left ??= Math.random();
        const bytes = [...crypto.getRandomValues(new Uint8Array(8))].join();
        console.log(JSON.stringify([left, crypto.randomUUID(), bytes, Date.now()]))"""
    sandbox = Sandbox(code=code, language=LANGUAGE)
    first, second = (json.loads(sandbox.run().check().text) for _ in range(2))
    seeded = Sandbox(code=code, language=LANGUAGE, policy=Policy(random=7))
    again = [json.loads(seeded.run().check().text)[:3] for _ in range(2)]

    assert all(one != other for one, other in zip(first[:3], second[:3], strict=True))
    assert first[3] <= second[3]
    assert again[0] == again[1]


def test_values_are_printed_as_in_the_other_javascript() -> None:
    """The two packs share what prints."""
    code = (
        "console.log('%s is %d', 'x', 4.5, [1, , 'a'], { b: new Set([1n]), f() {} }, /r/g, null, -0, new Uint8Array(2))"
    )
    told = {language: ringfence.run(code=code, language=language).check().text for language in (LANGUAGE, "javascript")}

    assert told["javascript"] == told[LANGUAGE]


def test_deep_recursion_is_an_error_of_the_language() -> None:
    """It can be caught, and the program goes on."""
    result = web("const f = () => f(); try { f() } catch (error) { console.log(String(error)) } console.log('after')")

    assert (b"", "InternalError: too much recursion\nafter\n") == (result.stderr, result.text)


def test_program_may_take_the_memory_that_its_limit_gives() -> None:
    """The engine's own bound of 32 MiB is gone."""
    code = "const all = []; for (let i = 0; i < 2_000_000; i++) all.push({ i }); console.log(all.length)"

    assert "2000000\n" == ringfence.run(code=code, language=LANGUAGE, policy=Policy()).check().text


def test_same_program_ends_the_same_in_every_isolation() -> None:
    """In this process, in another, and behind the second wall."""
    code = "console.log(await new Response('same').text()); process.exit(4)"
    ended = {
        isolation: Sandbox(code=code, language=LANGUAGE, isolation=isolation).run()
        for isolation in ("wasm", "process", "worker")
    }

    assert [(4, "same\n")] * 3 == [(result.exit_code, result.text) for result in ended.values()]


def test_what_a_component_cannot_do_is_refused_with_what_can(ringfence: Command) -> None:
    """Sessions, modules by name, and serving it to agents."""
    with pytest.raises(LoadError, match="cannot hold a session") as refused:
        Session(language=LANGUAGE)
    module = ringfence("run", "--language", LANGUAGE, "-m", "json")
    served = ringfence("mcp", "--language", LANGUAGE)

    assert "`javascript`" in refused.value.fix
    assert (2, True) == (module.exit_code, "`-m` is nothing that JavaScript for the web" in module.stderr)
    assert (2, True) == (served.exit_code, "cannot hold a session" in served.stderr)
