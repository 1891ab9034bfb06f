"""JavaScript programs behave as their language says: scripts, modules, timers, streams, files, exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Policy, Sandbox, run

if TYPE_CHECKING:
    from pathlib import Path

    from ringfence import Result


@pytest.fixture(scope="module")
def javascript() -> Sandbox:
    """Give the interpreter under the policy that grants nothing."""
    return Sandbox(language="javascript")


def script(tmp_path: Path, text: str, name: str = "program.js") -> Path:
    """Write a script."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("console.log(typeof this, this === globalThis)", "object true\n"),
        ("import { puts } from 'qjs:std'; puts(typeof this + '\\n')", "undefined\n"),
        ("export const answer = 42; console.log(typeof this)", "undefined\n"),
        ("// import and export are words here\nconsole.log(typeof this)", "object\n"),
        ("const { puts } = await import('qjs:std'); puts(typeof this + '\\n')", "object\n"),
        ("#!/usr/bin/env node\nconsole.log('after the first line')", "after the first line\n"),
        ("\ufeffconsole.log('after the mark')", "after the mark\n"),
    ],
)
def test_script_and_module_are_told_apart_by_their_text(tmp_path: Path, text: str, told: str) -> None:
    """Static `import` or `export` makes a module, everything else is a script."""
    assert told == run(script(tmp_path, text)).check().text


@pytest.mark.parametrize(("name", "told"), [("a.mjs", "undefined\n"), ("a.cjs", "object\n"), ("a.js", "object\n")])
def test_end_of_the_name_says_what_it_is(tmp_path: Path, name: str, told: str) -> None:
    """`.mjs` is a module though it imports nothing."""
    assert told == run(script(tmp_path, "console.log(typeof this)", name)).check().text


def test_top_level_await_works_in_a_script_and_in_a_module(javascript: Sandbox, tmp_path: Path) -> None:
    """Both wait for what they await."""
    text = "const later = new Promise(done => setTimeout(() => done('later'), 5)); console.log(await later)"

    assert "later\n" == javascript.run(code=text).check().text
    assert "later\n" == run(script(tmp_path, text, "a.mjs")).check().text


def test_jobs_and_timers_run_in_the_order_of_the_language(javascript: Sandbox) -> None:
    """First the script, then jobs, then timers by when they are due."""
    text = """
        setTimeout(() => console.log('second timer'), 20); setTimeout(console.log, 5, 'first', 'timer');
        const once = setInterval(() => { console.log('interval'); clearInterval(once) }, 10);
        clearTimeout(setTimeout(() => console.log('never'), 1));
        Promise.resolve().then(() => console.log('job')); queueMicrotask(() => console.log('microtask'));
        process.nextTick(word => console.log(word), 'tick'); console.log('script');
    """

    told = "script\njob\nmicrotask\ntick\nfirst timer\ninterval\nsecond timer\n"

    assert told == javascript.run(code=text).check().text


def test_arguments_variables_and_input_arrive(tmp_path: Path) -> None:
    """A script finds them where node has them."""
    text = """
        const [name, ...rest] = process.argv.slice(1);
        console.log(name.endsWith('program.js'), rest, process.env.WORD, std.getenv('WORD'));
        let text = ''; for await (const piece of process.stdin) text += piece;
        console.log(text.toUpperCase());
    """
    policy = Policy(env={"WORD": "grün"})

    result = run(script(tmp_path, text), ["a", "b c"], policy=policy, input="zwölf".encode())

    assert "true [ 'a', 'b c' ] grün grün\nZWÖLF\n" == result.check().text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("process.exitCode = 7", 7),
        ("process.exit(8); console.log('no')", 8),
        ("std.exit(9); console.log('no')", 9),
        ("process.exit(-1)", 255),
        ("try { process.exit(3) } catch { console.log('no') } finally { console.log('no') }", 3),
        ("new Promise(() => process.exit(4)); console.log('no')", 4),
        ("(async () => { try { std.exit(5) } catch { } console.log('no') })(); console.log('no')", 5),
        ("setTimeout(() => process.exit(6), 1); setInterval(() => { }, 5)", 6),
        ("[3, 1, 2].sort(() => process.exit(10)); console.log('no')", 10),
        ("({ toString() { process.exit(11) } }) + ''; console.log('no')", 11),
        ("await 1; process.exit(12)", 12),
        ("process.exitCode = 2; throw new Error('one is for errors')", 1),
        ("", 0),
    ],
)
def test_program_exits_with_its_code(javascript: Sandbox, text: str, code: int) -> None:
    """An exit ends the program where it stands: no code can catch it, and nothing runs after it."""
    result = javascript.run(code=text)

    assert ("exited", code, b"") == (result.outcome, result.exit_code, result.stdout)


def test_exit_listener_is_told_the_code(javascript: Sandbox) -> None:
    """`process.on('exit')` runs last."""
    result = javascript.run(code="process.on('exit', code => console.log('bye', code)); process.exit(3)")

    assert (3, "bye 3\n") == (result.exit_code, result.text)


def test_uncaught_error_shows_its_line_and_its_stack(tmp_path: Path) -> None:
    """As node does: place, line, mark, error, stack; and exit code 1."""
    text = "function deep() {\n\tthrow new TypeError('oh')\n}\nsetTimeout(() => deep(), 1)\n"
    path = script(tmp_path, text)

    result = run(path)

    head = f"{path}:2\n\tthrow new TypeError('oh')\n\t          ^\n\nTypeError: oh\n    at deep ({path}:2:12)\n"
    assert (1, b"") == (result.exit_code, result.stdout)
    assert result.stderr.decode().startswith(head)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("throw new Error('oh', { cause: new TypeError('why') })", "[cause]: TypeError: why"),
        ("throw 'text'", "Uncaught 'text'"),
        ("Promise.reject(new RangeError('nobody')); setTimeout(() => console.log('no'), 1)", "RangeError: nobody"),
        ("Promise.any([Promise.reject(new Error('one'))])", "AggregateError"),
        ("await Promise.reject(new Error('awaited'))", "Error: awaited"),
        ("import './missing.mjs'", "could not load module filename 'missing.mjs'"),
        ("import { nothing } from 'qjs:std'", "Could not find export 'nothing' in module 'qjs:std'"),
        ("await new Promise(() => { })", "top-level await never settles"),
    ],
)
def test_what_nobody_catches_is_told_on_stderr(javascript: Sandbox, text: str, told: str) -> None:
    """Errors, rejections and failed imports end the program with 1."""
    result = javascript.run(code=text)

    assert ("exited", 1, b"") == (result.outcome, result.exit_code, result.stdout)
    assert told in result.stderr.decode()


def test_rejection_that_is_handled_in_time_is_none(javascript: Sandbox) -> None:
    """As long as it is in the same round of jobs."""
    text = "const p = Promise.reject(new Error('x')); queueMicrotask(() => p.catch(e => console.log(e.message)))"

    assert "x\n" == javascript.run(code=text).check().text


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("const x = 1;\nlet y = ;\n", "let y = ;", "unexpected token in expression: ';'"),
        ("if (1) {\n", "program.js:2", "unexpected token in expression: ''"),
        ("await = 3; import x from 'y'", "", "SyntaxError"),
        ("let a; let a", "let a; let a", "invalid redefinition of lexical identifier"),
    ],
)
def test_syntax_error_shows_the_place(tmp_path: Path, text: str, line: str, message: str) -> None:
    """The line, and the engine's own words."""
    result = run(script(tmp_path, text))

    told = result.stderr.decode()
    assert 1 == result.exit_code
    assert "SyntaxError: " in told
    assert line in told
    assert message in told


def test_neighbours_are_imported_under_a_grant(tmp_path: Path) -> None:
    """The script's own text is handed in; the modules beside it are files like any other."""
    script(tmp_path, "export const word = 'neighbour'", "lib.mjs")
    script(tmp_path, '{"number": 7}', "data.json")
    text = """
        import { word } from './lib.mjs'; import data from './data.json' with { type: 'json' };
        console.log(word, data.number, (await import('./lib.mjs')).word, import.meta.main);
    """
    path = script(tmp_path, text, "main.mjs")
    policy = Policy(dirs=[Dir(tmp_path, at=str(tmp_path))])

    assert "neighbour 7 neighbour true\n" == run(path, policy=policy).check().text
    assert "could not load module filename" in run(path).stderr.decode()


def test_files_are_read_and_written_under_a_grant(tmp_path: Path) -> None:
    """By `qjs:std` and `qjs:os`; what is not granted is not there."""
    script(tmp_path, "hello", "in.txt")
    text = """
        import * as std from 'qjs:std'; import * as os from 'qjs:os';
        std.writeFile('/data/out.txt', std.loadFile('/data/in.txt') + '!');
        const [names] = os.readdir('/data'), [stat] = os.stat('/data/out.txt');
        console.log(names.filter(name => name.endsWith('.txt')).sort(), stat.size);
        console.log(std.loadFile('/etc/passwd'), os.open('/etc/passwd', os.O_RDONLY) < 0, os.mkdir('/data/new'));
    """
    policy = Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")])

    result = run(code=text, language="javascript", policy=policy)

    assert "[ 'in.txt', 'out.txt' ] 6\nnull true 0\n" == result.check().text
    assert "hello!" == (tmp_path / "out.txt").read_text()


def test_every_run_is_fresh(javascript: Sandbox) -> None:
    """Random numbers and clocks are of the run, not of the snapshot, and nothing of one run is in the next."""
    text = """
        console.log(Math.random(), crypto.randomUUID(), Date.now() > 1781000000000, performance.now() < 5000);
        console.log(typeof left);
        globalThis.left = 1;
    """
    told = [javascript.run(code=text).check().text for _ in range(5)]

    assert 5 == len(set(told))
    assert all(text.endswith("true true\nundefined\n") for text in told)


def test_error_stream_and_output_keep_their_order(javascript: Sandbox) -> None:
    """What is written to stderr comes after what was printed before it."""
    from tempfile import TemporaryFile

    with TemporaryFile() as both:
        javascript.run(
            code="console.log(1); console.error(2); console.log(3); console.warn(4)", stdout=both, stderr=both
        )
        both.seek(0)
        assert b"1\n2\n3\n4\n" == both.read()


def test_lone_surrogates_are_written_as_utf8(javascript: Sandbox) -> None:
    """Text that is no Unicode is replaced, not passed on broken."""
    assert "\ufffd [ '\\ud800' ]\n" == javascript.run(code="console.log('\\ud800', ['\\ud800'])").check().text


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["-p", "6 * 7"], 0, "42\n"),
        (["-p", "({a: [1, 'x']})"], 0, "{ a: [ 1, 'x' ] }\n"),
        (["-v"], 0, "QuickJS-NG 0.18.0\n"),
        (["-e"], 9, "js: -e requires an argument\n"),
        (["--wrong"], 9, "js: bad option: --wrong\n"),
        (["nothing.js"], 1, "js: cannot read 'nothing.js': No such file or directory\n"),
        (["/"], 1, "js: cannot read '/': it is a directory\n"),
    ],
)
def test_command_line_is_the_interpreters(javascript: Sandbox, arguments: list[str], code: int, told: str) -> None:
    """Options as node has them, and its exit codes."""
    result: Result = javascript.run(arguments)

    assert code == result.exit_code
    assert (result.stdout + result.stderr).decode().startswith(told)


def test_program_on_standard_input_runs(javascript: Sandbox) -> None:
    """`-`, as for other interpreters."""
    assert "3\n" == javascript.run(["-"], input=b"console.log(1 + 2)").check().text
