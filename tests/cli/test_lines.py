"""Pieces of source out of typed lines."""

from __future__ import annotations

import pytest

from ringfence import Session
from ringfence.cli._lines import attempt

for pack in ("ringfence_language_javascript", "ringfence_language_python"):
    pytest.importorskip(pack, reason="the language packs are not installed")

PYTHON_WANTS_MORE = [
    "if 1:",
    "(1,",
    "'''a",
    "@d",
    "def f():\n  return 1",
    "x = \\",
    "class A:\n  def f(self):\n    pass",
]
PYTHON_WHOLE = ["x = 1", "def f():\n  return 1\n", "1/", "x = 'a", "for", "if 1: pass\n", "(1,\n2)", "# only words"]
JAVASCRIPT_WANTS_MORE = [
    *("function f(){", "[1,", "`abc", "foo(", "if (1)", "/* x", "class A {\n", "x = {a: 1,\n b: 2", "a +", "() =>"),
    *("try {", "a ? b :", "`${a}\nb"),
]
JAVASCRIPT_WHOLE = ["let a = 1", "'abc", "a b", "1 +* 2", "return 1", "f(}", "throw new SyntaxError('end')", "`a\nb`"]


RUBY_WANTS_MORE = [
    *("def f(a)", "def f(a)\n  a", "[1].each do |x|", "if true", "x = [1,", "y = {a: 1,", "foo(1,", "class A", "begin"),
    *(
        "puts <<~E",
        "puts <<~E\n  hi",
        "=begin",
        "=begin\nabc",
        '"abc',
        "%w(a b",
        "/abc",
        "1 +",
        "x.",
        "->(a) {",
        "(",
        "{",
    ),
    *("case 1", "module M\ndef x", '"a#{', "begin\n1\nrescue", "f 1,", "while false", "# )\n[1"),
]
RUBY_WHOLE = [
    *("x = 1", "def f(a)\n a\nend", "end", "1 + )", "x = = 2", "def f(a)\n )", "puts <<~E\n hi\nE", "=begin\na\n=end"),
    *(
        "eval('def f(')",
        "raise SyntaxError, 'unexpected end-of-input'",
        "raise 'a `)` to close the x'",
        "if x then end end",
    ),
]


@pytest.fixture(scope="module")
def python() -> Session:
    """A session of Python."""
    return Session("python")


@pytest.fixture(scope="module")
def javascript() -> Session:
    """A session of JavaScript."""
    return Session("javascript")


@pytest.mark.parametrize("text", PYTHON_WANTS_MORE)
def test_python_that_is_not_whole_is_not_run(python: Session, text: str) -> None:
    """More lines must follow."""
    assert attempt(python, "python", text) is None


@pytest.mark.parametrize("text", PYTHON_WHOLE)
def test_python_that_is_whole_or_wrong_is_run(python: Session, text: str) -> None:
    """What is wrong is told at once."""
    assert attempt(python, "python", text) is not None


@pytest.mark.parametrize("text", JAVASCRIPT_WANTS_MORE)
def test_javascript_that_is_not_whole_is_not_run(javascript: Session, text: str) -> None:
    """The same."""
    assert attempt(javascript, "javascript", text) is None


@pytest.mark.parametrize("text", JAVASCRIPT_WHOLE)
def test_javascript_that_is_whole_or_wrong_is_run(javascript: Session, text: str) -> None:
    """The same, where the error is not at the end of the text."""
    assert attempt(javascript, "javascript", text) is not None


def test_ruby_tells_whether_more_lines_must_follow() -> None:
    """What is wrong otherwise is told at once, and so is what a script says is a wrong end of a text of its own."""
    pytest.importorskip("ringfence_language_ruby", reason="the language pack is not installed")
    ruby = Session("ruby")

    assert RUBY_WANTS_MORE == [text for text in RUBY_WANTS_MORE if attempt(ruby, "ruby", text) is None]
    assert [] == [text for text in RUBY_WHOLE if attempt(ruby, "ruby", text) is None]


def test_error_that_a_guest_forged_is_no_reason_to_wait(javascript: Session) -> None:
    """A place that is in no line, or none at all."""
    forged = "const e = new SyntaxError('unexpected end of string'); e.stack = '    at <cell 1>:9999999:1\\n'; throw e"

    assert attempt(javascript, "javascript", f"{{ {forged} }}") is not None


@pytest.mark.parametrize("text", ["for i = 1, 2 do", "f(", "x =", "return {1,", "--[[ a", "function f()\n  x = 1"])
def test_lua_that_is_not_whole_is_not_run(text: str) -> None:
    """More lines must follow, as in Lua's own console; what is wrong elsewhere is told at once."""
    pytest.importorskip("ringfence_language_lua", reason="the language pack is not installed")
    with Session("lua") as lua:
        assert attempt(lua, "lua", text) is None
        assert attempt(lua, "lua", text + " @ 1 ]]") is not None


def test_sql_that_is_not_whole_is_not_run() -> None:
    """A statement may go on in the next line; one without its `;` is whole all the same."""
    pytest.importorskip("ringfence_language_sqlite", reason="the language pack is not installed")
    with Session("sqlite") as sql:
        assert attempt(sql, "sqlite", "select (1") is None
        assert attempt(sql, "sqlite", "create table t(") is None
        assert attempt(sql, "sqlite", "select (1\n)") is not None
        assert attempt(sql, "sqlite", "selec") is not None


@pytest.mark.parametrize("text", ["foreach (1 .. 2) {", "1 +", "print 'a", "f(1,", "my %h = (a => 1,", "<<E\nx"])
def test_perl_that_is_not_whole_is_not_run(text: str) -> None:
    """The same; what is wrong elsewhere is told at once."""
    pytest.importorskip("ringfence_language_perl", reason="the language pack is not installed")
    with Session("perl") as perl:
        assert attempt(perl, "perl", text) is None
        assert attempt(perl, "perl", "1 + )") is not None


def test_other_language_is_read_line_by_line(javascript: Session) -> None:
    """Nothing is known of its grammar."""
    assert attempt(javascript, "other", "foo(") is not None


@pytest.mark.parametrize(
    "text",
    ["foreach ([1] as $x) {", "1 +", "f(1,", "$x = [", "<<<E\nx", "/* a", "class A {\n  function f()", 'echo "a'],
)
def test_php_that_is_not_whole_is_not_run(text: str) -> None:
    """The same; only the last `;` may be left out."""
    pytest.importorskip("ringfence_language_php", reason="the language pack is not installed")
    with Session("php") as php:
        assert attempt(php, "php", text) is None
        assert attempt(php, "php", "1 + )") is not None
        assert attempt(php, "php", "echo 1") is not None
