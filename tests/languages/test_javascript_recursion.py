"""However deep JavaScript goes, it ends in an error that can be caught, never in a trap."""

from __future__ import annotations

import pytest

from ringfence import Limits, Policy, Sandbox

NEST = "let a = []; for (let i = 0; i < 200000; i++) a = [a];"
# What runs into the bound, each by a way of its own through the engine.
PROBES = [
    "function f() { return 1 + f() } f()",
    "function f(...a) { return f(...a, 1) + 1 } f()",
    "const o = { toString: () => '' + o }; '' + o",
    "const o = { valueOf() { return +o } }; +o",
    "const p = { get x() { return this.x } }; p.x",
    f"{NEST} JSON.stringify(a)",
    f"{NEST} String(a)",
    f"{NEST} structuredClone(a)",
    f"{NEST} a.flat(Infinity)",
    "JSON.parse('['.repeat(500000))",
    "JSON.parse('{\"a\":'.repeat(500000))",
    "eval('('.repeat(200000) + '1' + ')'.repeat(200000))",
    "eval('['.repeat(200000))",
    "eval('{'.repeat(200000))",
    "eval('a=>'.repeat(100000) + '1')",
    "eval('!'.repeat(300000) + '1')",
    "eval('x?'.repeat(100000) + '1')",
    "eval('if(1)'.repeat(100000) + ';')",
    "eval('`${'.repeat(100000))",
    "eval('new '.repeat(100000) + 'x')",
    "eval('a**'.repeat(100000) + '1')",
    "eval('class A{static{'.repeat(30000))",
    "eval('[a,b]='.repeat(60000) + '1')",
    "let p = {}; for (let i = 0; i < 100000; i++) p = new Proxy(p, {}); p.x",
    "let p = {}; for (let i = 0; i < 100000; i++) p = new Proxy(p, {}); Object.keys(p)",
    "let p = {}; for (let i = 0; i < 100000; i++) p = new Proxy(p, {}); Object.getPrototypeOf(p)",
    "let p = []; for (let i = 0; i < 100000; i++) p = new Proxy(p, {}); 'x' in p",
    "const p = new Proxy({}, { get(t, k, r) { return r[k] } }); p.x",
    "let p = () => 1; for (let i = 0; i < 100000; i++) p = new Proxy(p, {}); p()",
    "let f = () => 1; for (let i = 0; i < 10000; i++) f = f.bind(null); f()",
    "const a = [1, 2]; function f() { a.sort(f); return 0 } f()",
    "function f() { [1].map(f) } f()",
    "function f() { 'a'.replace(/a/, f) } f()",
    "function f() { Reflect.apply(f, null, []) } f()",
    "function f() { JSON.parse('[1]', f) } f()",
    "function f() { JSON.stringify([1], f) } f()",
    "function f() { return JSON.stringify({ toJSON: f }) } f()",
    "class A { constructor() { new A } } new A",
    "function* g() { yield* g() } [...g()]",
    "async function f() { await f() } await f()",
    "function f() { eval('f()') } f()",
    "globalThis.f = () => new Function('f()')(); f()",
    "const o = { [Symbol.iterator]() { return [...o] } }; [...o]",
    "Function('return function f() { f(' + Array(1024).fill('0').join(',') + ') }')()()",
]
# What the engine does without recursion, or refuses as no JavaScript.
FINISHED = [
    ("eval('1+'.repeat(300000) + '1')", "300001"),
    ("let p = {}; for (let i = 0; i < 100000; i++) p = Object.create(p); String(p.x)", "undefined"),
    ("let a = []; for (let i = 0; i < 300000; i++) a = { a }; a = null; 1", "1"),
    ("let p = Promise.resolve(1); for (let i = 0; i < 100000; i++) p = Promise.resolve(p).then(x => x); await p", "1"),
    ("Math.max(...new Array(60000).fill(1))", "1"),
    ("try { Math.max(...new Array(1000000).fill(1)) } catch (e) { e.name }", "RangeError"),
    ("try { new RegExp('('.repeat(100000) + ')'.repeat(100000)) } catch (e) { e.name }", "SyntaxError"),
    ("try { new RegExp('['.repeat(50000), 'v') } catch (e) { e.name }", "SyntaxError"),
    ("try { eval('function f(){'.repeat(50000) + '}'.repeat(50000)) } catch (e) { e.name }", "SyntaxError"),
]
WALL = 30


@pytest.fixture(scope="module")
def javascript() -> Sandbox:
    """Give the interpreter, with time enough for a loaded machine."""
    return Sandbox(language="javascript", policy=Policy(limits=Limits(wall=WALL, memory="512MiB")))


@pytest.mark.parametrize("probe", PROBES)
def test_deep_recursion_is_a_range_error(javascript: Sandbox, probe: str) -> None:
    """It is caught, and the program goes on."""
    names = "try { %s } catch (e) { console.log(e instanceof RangeError, e.message) } console.log('alive', 1 + 1)"

    result = javascript.run(code=names % probe)

    assert "exited" == result.outcome, result
    assert "true Maximum call stack size exceeded\nalive 2\n" == result.text


@pytest.mark.parametrize(("probe", "told"), FINISHED)
def test_deep_structures_that_need_no_stack_are_worked_through(javascript: Sandbox, probe: str, told: str) -> None:
    """They end with their value."""
    assert f"{told}\n" == javascript.run(["-p", probe]).check().text


def test_plain_recursion_reaches_three_thousand_calls(javascript: Sandbox) -> None:
    """The docs say so."""
    text = "let n = 0; function f() { n++; f() } try { f() } catch { } console.log(n > 3000)"

    assert "true\n" == javascript.run(code=text).check().text


def test_uncaught_recursion_ends_with_its_stack(javascript: Sandbox) -> None:
    """As any other error does."""
    result = javascript.run(code="function f() { f() } f()")

    assert ("exited", 1) == (result.outcome, result.exit_code)
    assert "RangeError: Maximum call stack size exceeded\n    at f ([eval]:1:" in result.stderr.decode()
