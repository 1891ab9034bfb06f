"""Sessions of the pack `php`: cells, values, errors, interrupts, functions of the host, copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Limits, Policy
from security import isolated

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip(
    "ringfence_language_php", reason="NOT TESTED: php is not installed (`ringfence languages install php`)"
)
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled_php", "isolation")]


@pytest.mark.parametrize(
    ("turns", "values"),
    [
        (["$x = 1", "$x + 1;"], [1, 2]),
        (["$x = 5; $x + 1", "$y = $x * 2;", "$x + $y"], [6, 10, 15]),
        (["$n = 0; function up() { return ++$GLOBALS['n']; } up()", "up(); $n", "global $n; $n = 10; up()"],
         [1, 2, 11]),
        (["function f($a) { return $a * 2; } f(4)", "f(f(2))"], [8, 8]),
        (["class P { public $a = 1; function b() { return $this->a; } }", "$p = new P; $p->a = 7; $p->b()"], [None, 7]),
        (["enum S: string { case A = 'a'; } S::A->value", "S::from('a')->name"], ["a", "A"]),
        (["$f = function ($x) use (&$seen) { return $seen += $x; }; $f(2)", "$f(3)", "$seen"], [2, 5, 5]),
        (["static $s = 4; const C = 3; define('D', 2);", "C + D", "$s"], [True, 5, 4]),
        (["namespace Shop; function f() { return 3; } f()", "\\Shop\\f()", "use function Shop\\f; f()"], [3, 3, 3]),
        (["unset($x); $x = 1; unset($x); isset($x)", "isset($x)", "$x ?? 'none'"], [False, False, "none"]),
        (["eval('$in = 1;'); $in", "$in"], [1, 1]),
        (["$g = (function () { yield 1; yield 2; })(); $g->current()", "$g->next(); $g->current()"], [1, 2]),
        (["<?php\n$x = 2; $x", "  <?php $x + 1;", "$x ?>", "return 4; 5", "7 // and a comment", "8;;"],
         [2, 3, None, 4, 7, 8]),
        (["if (true) { $x = 1; } -1", "$m = match(true) { default => 2 } + 1;", "foreach ([1, 2] as $v) {} $v",
          "[$a, $b] = [1, 2];"], [-1, 3, 2, [1, 2]]),
        (["$s = 'a;b}c'; $s", "\"{$s}\" . ';'", "<<<E\nx;\n  }\nE"],
         ["a;b}c", "a;b}c;", "x;\n  }"]),
        (["declare(strict_types=1); (fn(int $x) => $x)(3)", "(fn(int $x) => $x)('3')"], [3, 3]),
        (["ob_start(); echo 'held'; 1", "ob_get_clean()"], [1, "held"]),
    ],
)  # fmt: skip
def test_state_lives_from_cell_to_cell(turns: list[str], values: list[object]) -> None:
    """Variables, functions, classes, constants; the last expression is the value, and needs no `;`."""
    assert values == isolated.values("php", turns)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("null", None),
        ("echo 1", None),
        ("[1, 'a', null]", [1, "a", None]),
        ("['a' => null, 'b' => true, 'c' => 1.5, 'd' => [], 5 => -1]",
         {"a": None, "b": True, "c": 1.5, "d": [], 5: -1}),
        ("[2147483647, -2147483648, 2147483648, 1e3, '12', 2 ** 0.5]",
         [2**31 - 1, -(2**31), 2.0**31, 1000.0, "12", 2**0.5]),
        ('"\\xff"', b"\xff"),
        ("['é', \"\\u{263a}\"]", ["é", "☺"]),
        ("[INF, -INF]", [float("inf"), float("-inf")]),
        ("fn() => 1", "Closure Object\n(\n)"),
        ("new DateTimeZone('UTC')", "DateTimeZone Object\n(\n    [timezone_type] => 3\n    [timezone] => UTC\n)"),
        ("$a = [1]; $a[] = &$a; $a", None),
        ('["\\xff" => 1]', "Array\n(\n    [\ufffd] => 1\n)"),
    ],
)  # fmt: skip
def test_value_of_a_turn_is_itself_or_as_php_shows_it(code: str, value: object) -> None:
    """What is not plain is what `print_r` says of it."""
    with isolated.Session("php") as session:
        turn = session.eval(code)
        if code.startswith("$a"):
            assert turn.is_repr
            assert "*RECURSION*" in str(turn.value)
        else:
            assert value == turn.value


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("\nthrow new Exception('boom')", "Exception", "boom"),
        ("namespace N; class Bad extends \\Exception {} throw new Bad('b')", "N\\Bad", "b"),
        ("throw new class('c') extends Exception {}", "Exception@anonymous", "c"),
        ("1 +* 2", "ParseError", 'syntax error, unexpected token "*"'),
        ("nope()", "Error", "Call to undefined function nope()"),
        ("intdiv(1, 0)", "DivisionByZeroError", "Division by zero"),
        ("(fn(int $x) => $x)('a')", "TypeError", "{closure}(): Argument #1 ($x) must be of type int, string given"),
        ("class E2 extends Exception { function __toString(): string { throw new Exception; } } throw new E2('m')",
         "E2", "m"),
        ("function f() {} function f() {}", "FatalError", "Cannot redeclare f() (previously declared in <cell 1>:1)"),
        ("class A { abstract function f(); }", "FatalError", "Class A contains 1 abstract method"),
        ("ini_set('memory_limit', '8M'); str_repeat('x', 1 << 24)",
         "FatalError", "Allowed memory size of 8388608 bytes exhausted"),
        ("trigger_error('mine', E_USER_ERROR)", "FatalError", "mine"),
    ],
)  # fmt: skip
def test_errors_are_typed_and_the_session_lives(code: str, kind: str, message: str) -> None:
    """Type, message, and the lines of the cell; after what PHP calls fatal too."""
    with isolated.Session("php") as session:
        session.eval("$kept = 7")
        error = session.eval(code).error
        assert error is not None
        assert kind == error.type
        assert error.message.startswith(message.replace("<cell 1>", "<cell 2>"))
        assert error.traceback.startswith("PHP Fatal error:  ")
        assert "session.php" not in error.traceback
        assert 7 == session.eval("$kept").value
        assert [1, 2] == session.eval("function later($x) { return [1, $x]; } later(2)").value


def test_trace_names_the_cells_that_were_called() -> None:
    """With their lines, and with nothing of ours."""
    with isolated.Session("php", functions={"ask": lambda: 1 / 0}) as session:
        session.eval("function f() {\n  return ask();\n}")
        error = session.eval("\nf()").error
        assert error is not None
        assert (
            "PHP Fatal error:  Uncaught Ringfence\\HostError: division by zero in <cell 1>:2\nStack trace:\n"
            "#0 <cell 1>(2): ask()\n#1 <cell 2>(2): f()\n#2 {main}\n  thrown in <cell 1> on line 2\n"
        ) == error.traceback


def test_session_asks_the_host_for_nothing_by_itself() -> None:
    """A policy that ends whoever asks for more lets it begin, and what a program asks for is a denial as ever."""
    with isolated.Session("php", policy=Policy(on_denied="stop")) as session:
        assert 1 == session.eval("1").value
        asked = session.eval("is_dir('/etc')")

    assert ("denied", ["/etc"]) == (asked.outcome, [each.what for each in asked.denials])


def test_exit_ends_nothing_but_the_turn() -> None:
    """Through `try` and `finally`, from anywhere."""
    with isolated.Session("php") as session:
        for code in (
            "exit(3);", "try { exit(3); } catch (Throwable) {} finally { echo 'never'; } 5",
            "function leave() { exit(3); } leave()", "(function () { yield exit(3); })()->current()",
            "array_map(function () { exit(3); }, [1])",
        ):  # fmt: skip
            turn = session.eval(f"echo 'told'; {code}")
            assert ("exited", 3, "told") == (turn.outcome, turn.exit_code, turn.text)
        assert ("exited", 0, "bye") == ((turn := session.eval("exit('bye')")).outcome, turn.exit_code, turn.text)
        assert 7 == session.eval("3 + 4").value


def test_turn_at_its_deadline_keeps_the_session() -> None:
    """PHP looks for an interrupt at each jump back and each call; nothing catches it."""
    with isolated.Session("php", turn=Limits(wall=0.3)) as session:
        session.eval("$x = 5; function deep($n) { return deep($n + 1); }")
        for code in (
            "while (true);", "try { while (true); } catch (Throwable) {} finally { while (true); }",
            "for (;;) strlen('x');", "function() { while (true) yield 1; }; while (true) $x++ ;",
        ):  # fmt: skip
            turn = session.eval(code)
            assert ("limited", "wall", b"") == (turn.outcome, turn.limit, turn.stdout)
            assert turn.error is not None
            assert "TimeoutError" == turn.error.type
        assert session.eval("$x").value >= 5


def test_recursion_without_end_is_an_error_and_gives_its_memory_back() -> None:
    """As often as it is tried."""
    with isolated.Session("php", policy=Policy(limits=Limits(memory="64MiB"))) as session:
        session.eval("$x = [1]; function deep($n) { return deep($n + 1); }")
        for _ in range(3):
            error = session.eval("$y = $x; deep(1)").error
            assert error is not None
            assert "FatalError" == error.type
            assert error.message.startswith("Out of memory (allocated ")
            assert [[1], [1], 1000] == session.eval("[$x, $y, strlen(str_repeat('x', 1000))]").value


def test_functions_of_the_host_are_functions() -> None:
    """With plain values both ways, positions and names; what they raise is caught as any other, and knows its type."""

    def search(query: str, limit: int = 2) -> list[str]:
        if not query:
            raise LookupError("nothing was asked for")
        return [query] * limit

    functions = {"search": search, "same": lambda value: value, "strlen": lambda _: -1, "echo": lambda: 5}
    with isolated.Session("php", functions=functions) as session:
        assert ["é", "é"] == session.eval("search('é')").value
        assert ["a"] == session.eval("search(limit: 1, query: 'a')").value
        plain = {"a": [1, -2, 2.5, None, False, "x", b"\xff"], "5": {}}
        written = "['a' => [1, -2, 2.5, null, false, 'x', \"\\xff\"], 5 => []]"
        assert {"a": plain["a"], 5: []} == session.eval(f"same({written})").value
        assert float(2**80) == session.eval("same(2 ** 80)").value
        assert 2.0**31 == session.eval("same(2147483648)").value
        caught = "try { search(''); } catch (Ringfence\\HostError $e) {} [$e->type, $e->getMessage(), $e->getLine()]"
        assert ["LookupError", "nothing was asked for", 1] == session.eval(caught).value
        error = session.eval("search('')").error
        assert error is not None
        assert ("LookupError", "nothing was asked for") == (error.type, error.message)
        wrong = session.eval("same(fn() => 1)").error
        assert wrong is not None
        assert ("TypeError", "only plain values reach the host, in a call of same()") == (wrong.type, wrong.message)
        assert [3, -1, 5] == session.eval("[strlen('abc'), Host\\strlen('abc'), Ringfence\\call('echo', [])]").value


def test_output_and_files_are_those_of_any_program(tmp_path: Path) -> None:
    """What is printed is the turn's; warnings are told on standard output; files are under their grant."""
    (tmp_path / "in").write_text("one\n", encoding="utf-8")
    (tmp_path / "part.php").write_text("<?php $from = 'a part'; return 7;", encoding="utf-8")
    with isolated.Session("php", policy=Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")])) as session:
        turn = session.eval("echo 'out'; fwrite(STDERR, 'err'); echo $nope; 1")
        assert b"out\nWarning: Undefined variable $nope in <cell 1> on line 1\n" == turn.stdout
        assert (b"err", 1) == (turn.stderr, turn.value)
        assert "one\n" == session.eval("$f = fopen('/data/in', 'r'); fgets($f)").value
        assert [7, "a part"] == session.eval("[include '/data/part.php', $from]").value
        session.eval("file_put_contents('/data/out', 'kept')")
        assert [1, [""]] == session.eval("[$argc, $argv]").value
    assert "kept" == (tmp_path / "out").read_text(encoding="utf-8")


def test_forks_go_on_under_their_own_grants(tmp_path: Path) -> None:
    """A fork that may reach fewer folders finds each of them where it was."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name, encoding="utf-8")
    a, b = (Dir(tmp_path / name, at=f"/{name}") for name in ("a", "b"))
    read = "implode(',', array_map(fn($d) => @file_get_contents(\"/$d/file\") ?: 'no', ['a', 'b']))"
    with isolated.Session("php", policy=Policy(dirs=[a, b])) as session:
        assert "a,b" == session.eval(read).value
        for dirs, expected in (([b], "no,b"), ([a], "a,no"), ([], "no,no")):
            with session.fork(policy=Policy(dirs=dirs)) as fork:
                assert expected == fork.eval(read).value
        assert "a,b" == session.eval(read).value
