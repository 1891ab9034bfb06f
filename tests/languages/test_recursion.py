"""Recursion without an end, as each language tells of it: what it has a word for is caught, and the program goes on."""

from __future__ import annotations

import pytest

from ringfence import Limits, Policy, languages
from security import isolated

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled", "compiled_installed", "isolation")]

POLICY = Policy(limits=Limits(wall="60s", memory="256MiB"))
# A program that catches the error and goes on, and what it prints.
CAUGHT = {
    "python": ("def f(): f()\ntry: f()\nexcept RecursionError as e: print(type(e).__name__)", "RecursionError"),
    "javascript": ("function f() { f() } try { f() } catch (e) { console.log(e.name) }", "RangeError"),
    "lua": ("local function f() return 1 + f() end print((select(2, pcall(f)):match('stack .*')))", "stack overflow"),
    "ruby": ("def f = [1].each { f }\nbegin; f; rescue SystemStackError => e; p e.class; end", "SystemStackError"),
}
# A turn that does not, its error's message, and a turn that follows.
TOLD = {
    "python": ("def f(): f()\nf()", "maximum recursion depth exceeded", "6 * 7"),
    "javascript": ("function f() { f() }; f()", "Maximum call stack size exceeded", "6 * 7"),
    "lua": ("function f() return 1 + f() end return f()", "stack overflow", "return 6 * 7"),
    "ruby": ("def f = [1].each { f }\nf", "stack level too deep", "6 * 7"),
    "sqlite": (f"select {'not ' * 5000} 1", "Expression tree is too large (maximum depth 1000)", "select 6 * 7 as n"),
}
# What has no such error takes memory to its end, as natively.
TAKES_MEMORY = {
    "perl": "no warnings; sub f { f() } eval { f() }; print 'caught'",
    "php": "function f() { f(); } try { f(); } catch (Error $e) { echo 'caught'; }",
}


def skip_unless_installed(language: str) -> None:
    """Skip what cannot be run here."""
    if language not in languages.names():
        pytest.skip(f"NOT TESTED: {language} is not installed (`ringfence languages install {language}`)")


@pytest.mark.parametrize("language", CAUGHT)
def test_error_is_caught_and_the_program_goes_on(language: str) -> None:
    """Under its own name, by the language's own means."""
    skip_unless_installed(language)
    code, said = CAUGHT[language]

    result = isolated.run_code(code, language, policy=POLICY)

    assert ("exited", 0, f"{said}\n", b"") == (result.outcome, result.exit_code, result.text, result.stderr)


@pytest.mark.parametrize("language", TOLD)
def test_error_of_a_turn_is_told_and_the_session_goes_on(language: str) -> None:
    """As any other error of a turn, again and again, and in a copy."""
    skip_unless_installed(language)
    code, said, after = TOLD[language]

    with isolated.Session(language, policy=POLICY) as session, session.fork() as fork:
        for each in (session, session, fork):
            turn = each.eval(code)
            assert turn.error is not None, turn
            assert said in turn.error.message
            assert each.eval(after).value in (42, [{"n": 42}])


@pytest.mark.parametrize("language", TAKES_MEMORY)
def test_recursion_without_such_an_error_ends_at_the_limit_of_memory(language: str) -> None:
    """Nothing catches it."""
    skip_unless_installed(language)

    result = isolated.run_code(TAKES_MEMORY[language], language, policy=POLICY)

    assert "memory" == result.limit, result
    assert "caught" not in result.text


def test_recursion_in_c_ends_in_a_trap() -> None:
    """Natively it is a signal."""
    skip_unless_installed("c")
    code = "int f(volatile int n) { char kept[100]; kept[n % 100] = n; return f(n + 1) + kept[n % 7]; }"

    result = isolated.run_code(f"{code}\nint main(void) {{ return f(0); }}", "c", policy=POLICY)

    assert ("trapped", None) == (result.outcome, result.exit_code), result
    assert result.trap in {"stack overflow", "out of bounds memory access"}
