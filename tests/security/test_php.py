"""Attacks in PHP: endless, boundless, deep, and on what stands between it and its host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Limits, Policy, Session, SessionError
from security.hostile import WALL, Hostile
from security.isolated import options

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip(
    "ringfence_language_php", reason="NOT TESTED: php is not installed (`ringfence languages install php`)"
)
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled_php", "isolation")]

PHP = Hostile("php", "echo 1 + 2, isset($GLOBALS['left']) ? 'left' : 'none', count(getenv());", "3none0")
attack, alive = PHP.attack, PHP.alive
ENDLESS = [
    "while (true);",
    "register_shutdown_function(function () { while (true); });",
    "class O { function __destruct() { while (true); } } $o = new O;",
    "set_error_handler(function () { while (true); }); echo $x;",
    "sleep(100);",
    "ob_start(function ($s) { while (true); }); echo 1;",
    "set_time_limit(1); while (true) usleep(1000);",
    "ini_set('pcre.backtrack_limit', PHP_INT_MAX); while (true) preg_match('/^(a+)+$/', str_repeat('a', 40) . 'b');",
    "set_exception_handler(function () { while (true); }); throw new Exception;",
    "(new PDO('sqlite:'))->query('with recursive t(a) as (values(1) union all select 1 from t) select max(a) from t');",
    "function f() { while (true) yield 1; } foreach (f() as $x);",
]
HOGS = [
    "$a = []; while (true) $a[] = str_repeat('x', 1000000);",
    "$s = 'x'; while (true) $s .= $s;",
    "$a = array_fill(0, 1 << 30, 1);",
    "function f() { f(); } f();",
    "$a = []; while (true) $a[] = new stdClass;",
    "$i = imagecreatetruecolor(30000, 30000);",
    "range(0, 1e9);",
]
DEEP = [
    "eval('echo ' . str_repeat('(', 100000) . '1;');",
    "eval('echo ' . str_repeat('-', 100000) . '1;');",
    "$a = []; for ($i = 0; $i < 100000; $i++) $a = [$a]; var_dump($a);",
    "$a = []; for ($i = 0; $i < 100000; $i++) $a = [$a]; echo json_encode($a, 0, PHP_INT_MAX), serialize($a);",
    "json_decode(str_repeat('[', 100000), false, PHP_INT_MAX); unserialize(str_repeat('a:1:{i:0;', 100000));",
    "class O { function __toString() { return '' . new O; } } echo new O;",
    "preg_match('/' . str_repeat('(', 10000) . '/', 'x'); preg_match('/^(a|b)*$/', str_repeat('ab', 1000000));",
    "$f = function ($x) use (&$f) { array_map($f, [1]); }; $f(1);",
    "spl_autoload_register(function ($n) { class_exists($n . 'x'); }); new A;",
    "function f() { array_map('f', [1]); } f();",
    "function f() { usort($GLOBALS['a'], 'f'); return 0; } $a = [1, 2]; f();",
    "class O { function __get($n) { return (new O)->x; } function __destruct() { new O; } } echo (new O)->x;",
    "$a = []; for ($i = 0; $i < 100000; $i++) $a = [$a]; unset($a); echo 'ok';",
]


@pytest.mark.parametrize("code", ENDLESS)
def test_endless_php_ends_at_its_deadline(code: str) -> None:
    """Whatever it is busy with, handlers and ends included."""
    PHP.endless(f"$left = 1; {code}")


@pytest.mark.parametrize("code", HOGS)
def test_hog_of_memory_ends_at_its_limit(code: str) -> None:
    """With PHP's own error; never as the host's, and never as a trap."""
    result = PHP.hog(code)

    assert "memory" == result.limit or 255 == result.exit_code, result
    assert "Fatal error: " in result.text


def test_flood_of_output_ends_at_its_limit() -> None:
    """On both streams, at once and by little."""
    PHP.floods([
        "while (true) echo str_repeat('x', 1000);", "while (true) fwrite(STDERR, 'x');", "while (true) echo $x;",
        "echo str_repeat('x', 1 << 27);",
    ])  # fmt: skip


@pytest.mark.parametrize("code", DEEP)
def test_deep_recursion_ends_only_its_own_run(code: str) -> None:
    """PHP's own error, a limit, or the trap of a stack that is full: it writes over nothing that lies below."""
    PHP.deep(code, wall=10, memory="200MiB", output="1MiB")


def test_nothing_of_the_host_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables, files, processes, sockets or users; the settings of the build lead nowhere."""
    monkeypatch.setenv("SECRET", "s3cr3t")
    (tmp_path / "secret").write_text("s3cr3t", encoding="utf-8")
    code = f"""
        echo count(getenv()), count($argv), "\\n";
        foreach (['{tmp_path}/secret', '/etc/passwd', '../../etc/passwd', '/proc/self/environ',
                  'file:///etc/passwd'] as $path)
            echo @file_get_contents($path) === false ? 'no' : 'yes', "\\n";
        foreach (['file_put_contents' => ['/x', 'x'], 'mkdir' => ['/x'], 'symlink' => ['/etc/passwd', '/x'],
                  'scandir' => ['/etc'], 'chdir' => ['/etc'], 'unlink' => ['/.prelude.php']] as $f => $given)
            echo @$f(...$given) ? 'yes' : 'no', "\\n";
    """
    result = attack(code)

    assert "01\n" + "no\n" * 11 == result.text, result
    alive()


def test_files_that_are_nowhere_harm_only_the_guest() -> None:
    """The prelude and the script are files of the driver: used beyond all ends."""
    codes = (
        "for ($i = 0; $i < 100; $i++) $f[] = @fopen('/.prelude.php', 'r'); foreach ($f as $h) $h && fseek($h, 1e9);",
        "$f = fopen('/.prelude.php', 'r+'); fseek($f, 1e9); fread($f, 1 << 20); fwrite($f, 'x'); ftruncate($f, 0);",
        "include '/.prelude.php'; include __FILE__;",
        "fclose(STDIN); fclose(STDOUT); fclose(STDERR); echo 1;",
        "rename('/.prelude.php', '/y'); touch('/.prelude.php'); opendir('/.prelude.php');",
    )
    PHP.strange(codes, memory="200MiB", wall=5)


def test_fatal_errors_and_exits_anywhere_end_as_natively() -> None:
    """Where PHP jumps to who called it: in a script, in what follows it, and in that again; never as a trap."""
    ends = (
        "register_shutdown_function(function () { echo 'shut'; %s });"
        "class D { function __destruct() { echo 'gone'; %s } }"
    )
    fatal = "eval('function f() {} function f() {}');"
    for shut, gone, code, told, exit_code in (
        ("", "", "exit(3);", "shutgone", 3),
        ("exit(4);", "", "exit(3);", "shutgone", 4),
        ("exit(4);", "exit(5);", "exit(3);", "shutgone", 5),
        ("", "exit(5);", "", "shutgone", 5),
        (fatal, "", "", "shut\nFatal error: Cannot redeclare f()", 255),
        ("", fatal, "", "shutgone\nFatal error: Cannot redeclare f()", 255),
        ("", "", fatal, "\nFatal error: Cannot redeclare f()", 255),
        (fatal, fatal, fatal, "\nFatal error: Cannot redeclare f()", 255),
    ):
        result = attack(f"{ends % (shut, gone)} $d = new D; $e = new D; {code}")
        assert ("exited", exit_code) == (result.outcome, result.exit_code), result
        assert result.text.startswith(told.replace("gone", "gonegone" if not gone else "gone")), result
        alive()


def test_door_of_a_session_leads_only_to_the_host_that_any_guest_has() -> None:
    """Messages that are forged, answers nobody asked for, results of no turn; a run that is no session has none."""
    assert "no" == attack("echo @fopen('/dev/ringfence', 'r+') ? 'yes' : 'no';").text
    codes = (
        'fread($d, 1 << 20); fwrite($d, "\\0"); fread($d, 1 << 24);',
        "foreach (['S', 'F', 'Fxxxx', \"\\0\", \"\\0r\", \"\\0rxxxx\", str_repeat('x', 9999)] as $m) fwrite($d, $m);",
        "fwrite($d, \"\\0r\" . pack('V4', 1, 0, -1, -1));",
        'fwrite($d, "\\0r" . pack(\'V4\', 1, 0, 3, 0) . "\\xff\\xff\\xff"); exit(1);',
        "foreach ([2, 3, 9, -1] as $s) fwrite($d, \"\\0r\" . pack('V4', $s, -1, 1, 1) . 'xx'); exit(2);",
        'fwrite($d, "\\0l");',
        "Ringfence\\begin();",
        "foreach (get_resources() as $r) @fclose($r);",
        "Ringfence\\told(1, null, 9, -1); Ringfence\\prepared();",
        "ini_set('memory_limit', '2M'); $s = ''; while (true) $s .= 'x';",
        "ob_start(function () { exit(1); });",
        "set_error_handler(function () { exit(1); }); echo $nope;",
        "class D { function __destruct() { exit(1); } } $d = new D; $d = new D; return new D;",
        "class D { function __destruct() { while (true); } } return new D;",
        "class D { function __destruct() { throw new Exception; } } return new D;",
        "class E extends Exception { function __toString(): string { exit(1); } } throw new E;",
        "spl_autoload_register(function () { exit(1); }); new Nope;",
        "foreach ($GLOBALS as $k => $v) unset($GLOBALS[$k]);",
    )
    PHP.turns((f"$d = fopen('/dev/ringfence', 'r+b'); {code}" for code in codes), "$kept = 1", "$kept ?? 0")


def test_fork_does_not_know_the_random_numbers_of_another() -> None:
    """Not of PHP, and not of its SQLite, whose generator the session has begun."""
    draws = [
        "mt_rand()", "lcg_value()", "bin2hex(random_bytes(8))", "$p->query('select hex(randomblob(8))')->fetchColumn()",
        "$s->querySingle('select random()')",
    ]  # fmt: skip
    with Session(language="php") as session:
        session.eval("$p = new PDO('sqlite:'); $s = new SQLite3(':memory:');")
        draw = f"[{', '.join(draws)}]"
        drawn = [session.eval(draw).value, *(fork.eval(draw).value for fork in session.fork_many(3))]

    for kind, values in zip(draws, zip(*drawn, strict=True), strict=True):
        assert len(values) == len(set(values)), kind


@pytest.mark.parametrize("code", [*ENDLESS, *HOGS, *DEEP])
def test_session_outlives_what_its_turns_do(code: str) -> None:
    """Or it is over, and begins anew; its next turn is never another's."""
    policy = Policy(limits=Limits(memory="200MiB"))
    with Session("php", policy=policy, turn=Limits(wall=20, output="1MiB"), **options()) as session:
        session.eval("$kept = 'kept';")
        turn = session.eval(code, turn=Limits(wall=WALL if code in ENDLESS else 20, output="1MiB"))
        assert turn.outcome in {"limited", "raised", "trapped", "returned", "exited"}, turn
        try:
            assert session.eval("$kept").value in {"kept", None}
        except SessionError:
            session.restart()
            assert session.eval("$kept ?? 'none'").value == "none"
    alive()
