"""The pack `php`, as a command line and for requests. `ringfence languages install php` builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyboard import interrupted
from ringfence import Dir, Limits, Policy, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command
    from ringfence import Result

pytest.importorskip(
    "ringfence_language_php", reason="NOT TESTED: php is not installed (`ringfence languages install php`)"
)
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled_php")]

LIBRARY = {
    "json": ("echo json_encode(['a' => [1, null, 1.5]])", '{"a":[1,null,1.5]}'),
    "mbstring": ("echo mb_strtoupper('é')", "É"),
    "pcre": ("echo preg_replace('/(b)/u', '<$1>', 'abc')", "a<b>c"),
    "dom": ("$d = new DOMDocument; $d->loadXML('<a><b>1</b></a>'); echo $d->textContent", "1"),
    "date": ("$d = new DateTime('@0'); echo $d->setTimezone(new DateTimeZone('Asia/Tokyo'))->format('Y H')", "1970 09"),
    "hash": ("echo substr(hash('sha256', 'x'), 0, 8)", "2d711642"),
    "sqlite3": ("$d = new SQLite3(':memory:'); $d->exec('create table t(a)'); echo $d->querySingle('select 7')", "7"),
    "pdo_sqlite": ("$d = new PDO('sqlite::memory:'); echo $d->query('select 1 + 1')->fetchColumn()", "2"),
    "gd": ("echo imagesx(imagecreate(3, 4))", "3"),
    "ctype": ("echo ctype_digit('12') ? 'y' : 'n'", "y"),
}  # fmt: skip


def php(*args: str, input: bytes = b"", policy: Policy | None = None) -> Result:
    """Run a command line of PHP."""
    return Sandbox(language="php", policy=policy or Policy()).run(args, input=input)


def test_program_has_its_arguments_variables_and_input() -> None:
    """$argv, getenv, STDIN, and what it writes comes out on the stream it wrote to."""
    code = """echo implode(',', array_slice($argv, 1)), "|$argc|", getenv('NAME'), '|', stream_get_contents(STDIN),
        '|', PHP_SAPI; fwrite(STDERR, 'err'); file_put_contents('php://stdout', '!');"""
    result = php("-r", code, "a", "ü b", input="één\ntwo".encode(), policy=Policy(env={"NAME": "value"}))

    assert "a,ü b|3|value|één\ntwo|cli!" == result.stdout.decode()
    assert (b"err", 0, ()) == (result.stderr, result.exit_code, result.denials)


def test_command_runs_scripts_code_and_standard_input(ringfence: Command, tmp_path: Path) -> None:
    """By the end of a name, by a shebang, by `-c`, with nothing granted."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.php").write_text('<?php echo "script ", implode($argv), basename(__FILE__), "\\n"; exit(3);')
    (tmp_path / "b").write_text('#!/usr/bin/env php\n<?php echo "shebang\\n";', encoding="utf-8")
    ended = ringfence("run", "sub/a.php", 1, 2)

    assert ("script sub/a.php12a.php\n", 3) == (ended.stdout, ended.exit_code)
    assert "shebang\n" == ringfence("run", "b").stdout
    assert "code x\n" == ringfence("run", "--language", "php", "-c", 'echo "code $argv[1]\\n";', "x").stdout
    script = "<?php // " + "long " * 40_000 + '\necho "from input $argv[1]\\n";'
    assert "from input y\n" == ringfence("run", "--language", "php", "-", "y", input=script.encode()).stdout
    assert "0.3333" == ringfence("run", "--language", "php", "--", "-d", "precision=4", "-r", "echo 1 / 3;").stdout


@pytest.mark.parametrize(
    ("code", "exit_code", "stdout", "told"),
    [
        ("exit(3);", 3, "", ""),
        ("exit('bye');", 0, "bye", ""),
        ("exit(256 + 7);", 7, "", ""),
        ("throw new Exception('boom');", 255, "", "Uncaught Exception: boom in"),
        ("nope();", 255, "", "Call to undefined function nope()"),
        ("echo 1 +;", 255, "", "Parse error"),
        ("echo $x, 'on';", 0, "on", "Warning: Undefined variable $x"),
        ("register_shutdown_function(function () { echo 'end'; }); echo 'first '; exit(4);", 4, "first end", ""),
        ("class O { function __destruct() { echo 'gone'; } } $o = new O; echo 'first ';", 0, "first gone", ""),
        ("try { intdiv(1, 0); } catch (DivisionByZeroError $e) { echo $e->getMessage(); }", 0, "Division by zero", ""),
    ],
)  # fmt: skip
def test_program_ends_as_natively(code: str, exit_code: int, stdout: str, told: str) -> None:
    """Exit codes, errors that nobody catches, and what is to run at the end."""
    result = php("-r", code)

    assert exit_code == result.exit_code
    assert told in result.text if told else stdout == result.text


@pytest.mark.parametrize("name", LIBRARY)
def test_library_is_there(name: str) -> None:
    """Inside of the pack: nothing is granted."""
    code, said = LIBRARY[name]
    result = php("-r", f"{code};")

    assert (said, b"") == (result.text, result.stderr)


def test_files_are_read_and_written_under_a_grant(tmp_path: Path) -> None:
    """Scripts that are included, databases, folders that are listed and changed; nothing beside."""
    (tmp_path / "in.txt").write_text("one\ntwo\n", encoding="utf-8")
    (tmp_path / "part.php").write_text("<?php return 7;", encoding="utf-8")
    code = """
        echo implode(',', file('/data/in.txt', FILE_IGNORE_NEW_LINES)), '|', include('/data/part.php'), '|';
        $d = new SQLite3('/data/x.db'); $d->exec('create table t(a); insert into t values(5)');
        file_put_contents('/data/out.txt', 'x'); mkdir('/data/sub'); rename('/data/in.txt', '/data/sub/moved.txt');
        echo implode(',', array_diff(scandir('/data'), ['.', '..'])), '|', @file_get_contents('/etc/passwd') === false;
    """
    result = php("-r", code, policy=Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")]))

    assert ("one,two|7|out.txt,part.php,sub,x.db|1", b"") == (result.text, result.stderr)
    assert (tmp_path / "sub" / "moved.txt").exists()


def test_request_is_answered_as_by_a_server(tmp_path: Path) -> None:
    """By the variables of CGI: query, form, cookies, headers and status."""
    (tmp_path / "app.php").write_text(
        "<?php header('X-Seen: ' . $_COOKIE['c']); http_response_code(201); setcookie('n', 'v');"
        "echo $_SERVER['REQUEST_METHOD'], $_GET['a'], $_POST['b'], defined('STDIN') ? 'cli' : 'cgi';",
        encoding="utf-8",
    )
    variables = {
        "GATEWAY_INTERFACE": "CGI/1.1", "SCRIPT_FILENAME": "/app/app.php", "REQUEST_METHOD": "POST",
        "HTTP_COOKIE": "c=1", "QUERY_STRING": "a=2",
        "CONTENT_TYPE": "application/x-www-form-urlencoded", "CONTENT_LENGTH": "3",
    }  # fmt: skip
    result = php(input=b"b=3", policy=Policy(dirs=[Dir(tmp_path, at="/app")], env=variables))
    head, _, body = result.text.partition("\r\n\r\n")

    assert "POST23cgi" == body
    assert {"Status: 201 Created", "X-Seen: 1", "Set-Cookie: n=v"} <= set(head.split("\r\n")), result


def test_session_of_a_visitor_is_kept_in_a_granted_folder(tmp_path: Path) -> None:
    """$_SESSION lasts from one request to the next, by its cookie."""
    (tmp_path / "app.php").write_text(
        "<?php ini_set('session.save_path', '/app'); session_start(); echo $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;",
        encoding="utf-8",
    )
    seen = []
    for _ in range(2):
        variables = {"GATEWAY_INTERFACE": "CGI/1.1", "SCRIPT_FILENAME": "/app/app.php", "REQUEST_METHOD": "GET"}
        variables["HTTP_COOKIE"] = "PHPSESSID=abcdefghijklmnopqrstuvwxyz"
        policy = Policy(dirs=[Dir(tmp_path, at="/app", mode="rw")], env=variables)
        seen.append(php(policy=policy).text.partition("\r\n\r\n")[2])

    assert ["1", "2"] == seen


def test_every_run_is_fresh() -> None:
    """Random numbers of each kind differ, clocks go on, and nothing of the last run is there."""
    code = "echo getmypid() >= 0, ' ', mt_rand(), ' ', random_int(0, PHP_INT_MAX), ' ', bin2hex(random_bytes(8)), ' ',"
    code += "rand(), ' ', lcg_value(), ' ', uniqid('', true), ' ', microtime(true), ' ',"
    code += "(new PDO('sqlite:'))->query('select random()')->fetchColumn(), ' ',"
    code += "(new SQLite3(':memory:'))->querySingle('select hex(randomblob(8))');"
    sandbox = Sandbox(language="php")
    first, second = (sandbox.run(["-r", code]).text.split(" ") for _ in range(2))

    assert all(first[at] != second[at] for at in range(1, 10)), (first, second)
    assert float(first[7]) < float(second[7])
    assert float(first[7]) > 1.7e9


def test_what_php_and_its_driver_look_for_is_no_denial(tmp_path: Path) -> None:
    """A script, a device of random numbers: a host that ends whoever asks for more is not asked for them."""
    (tmp_path / "a.php").write_text("<?php echo basename(__FILE__), is_file(__FILE__);", encoding="utf-8")
    stop = Policy(on_denied="stop")
    assert "a.php1" == Sandbox(tmp_path / "a.php", policy=stop).run().text
    code = """echo filetype('/dev/urandom'), strlen(file_get_contents('/dev/random', length: 20));
        (new PDO('sqlite::memory:'))->query('select random()'); echo is_dir('/dev'), is_dir('/etc');"""
    result = php("-r", code, policy=stop)

    assert ("char20", "/etc") == (result.stdout.decode()[:6], result.denials[-1].what), result


def test_limits_end_a_run_under_their_names() -> None:
    """Time, memory and output."""
    for code, limits, name in (
        ("while (true);", Limits(wall="300ms"), "wall"),
        ("$a = []; while (true) $a[] = str_repeat('x', 1000000);", Limits(memory="200MiB"), "memory"),
        ("while (true) echo str_repeat('x', 1000);", Limits(output="64KiB"), "output"),
    ):
        result = php("-r", code, policy=Policy(limits=limits))
        assert ("limited", name) == (result.outcome, result.limit), (code, result)


@pytest.mark.parametrize("code", ["while (1);", "register_shutdown_function(function () { exit(0); }); while (1);"])
def test_ctrl_c_ends_a_program_and_nothing_is_applied(code: str, tmp_path: Path) -> None:
    """It is the 130 of every language, and what it had written stays in the overlay."""
    (tmp_path / "f").write_text("before", encoding="utf-8")
    code = f"file_put_contents('/w/f', 'half'); echo \"ready\\n\"; {code}"
    exit_code, said, told = interrupted(
        "run", "--dir", f"{tmp_path}:/w:overlay", "--apply", "--language", "php", "-c", code
    )

    assert (130, "") == (exit_code, said), told
    assert "before" == (tmp_path / "f").read_text(encoding="utf-8")


def test_settings_of_the_command_line_hold_before_the_script_is_read() -> None:
    """As from php.ini: words, numbers and what has to be worked out; those that PHP has not are let be."""
    shown = "echo ini_get('memory_limit'), '|', 1 / 3, '|', error_reporting(), '|', ini_get('display_errors'), '|';"
    code = f"{shown} ?> <? echo implode(',', $argv);"
    given = ["-n", "-d", "memory_limit=64M", "-dprecision=3", "--define", "error_reporting=E_ALL & ~E_WARNING"]
    given += ["-d", "short_open_tag", "-d", "display_errors=Off", "-d", "xdebug.mode=off"]
    result = php(*given, "-r", code, "--", "-x", "y")
    assert ("64M|0.333|32765|| Command line code,-x,y", b"", 0) == (result.text, result.stderr, result.exit_code)

    late = php("-d", "memory_limit=8M", "-r", "str_repeat('x', 1 << 24);")
    assert (255, True) == (late.exit_code, "Allowed memory size of 8388608 bytes exhausted" in late.text)
    assert "-1" == php("-r", "echo ini_get('memory_limit');").text


def test_option_that_cannot_be_is_refused_with_what_to_do() -> None:
    """What PHP reads where it starts comes too late, and there is no terminal."""
    for given, word, fix in (
        (["-d", "disable_functions=exec", "-r", "1;"], b"disable_functions", b"hint: leave it out"),
        (["-d", "extension=x.so", "-r", "1;"], b"extension", b"hint: leave it out"),
        (["-a"], b"-a", b"hint: ringfence repl php"),
        (["--interactive"], b"-a", b"hint: ringfence repl php"),
    ):
        result = php(*given)
        assert 1 == result.exit_code
        assert result.stderr.startswith(b"php: `" + word + b"` cannot be used here: ")
        assert fix in result.stderr


def test_script_that_is_not_there_is_told_as_natively(tmp_path: Path) -> None:
    """And not in the words that php-cgi has for a browser; what is there runs, by whatever name."""
    (tmp_path / "a.php").write_text("<?php echo __FILE__, ' ', implode(' ', $argv);", encoding="utf-8")
    (tmp_path / "folder.php").mkdir()
    policy = Policy(dirs=[Dir(tmp_path, at="/data/in")])
    for words in (
        ["/data/in/b.php"],
        ["-f", "/data/in/b.php"],
        ["/data/in/folder.php"],
        ["data.php"],
        ["/data/inn/a.php"],
    ):
        result = php(*words, policy=policy)
        told = f"Could not open input file: {words[-1]}\n".encode()
        assert (1, b"", told) == (result.exit_code, result.stdout, result.stderr)
    for words in (
        ["/data/in/a.php", "b"],
        ["-f", "/data/in/a.php", "b"],
        ["data/in/a.php", "b"],
        ["./data/in/a.php", "b"],
    ):
        result = php(*words, policy=policy)
        assert (0, b"") == (result.exit_code, result.stderr), words
        assert result.text.startswith("/data/in/a.php ")
        assert result.text.endswith("a.php b")
    assert 0 == php("-v", "nowhere.php").exit_code


def test_options_that_tell_of_php_and_of_scripts_are_phps_own(tmp_path: Path) -> None:
    """Versions, modules, what `phpinfo` says as text; a script that is only read, stripped, or named by `-f`."""
    (tmp_path / "good.php").write_text("<?php /* a */ echo getcwd(), implode(',', $argv);", encoding="utf-8")
    (tmp_path / "bad.php").write_text("<?php echo 1 +;", encoding="utf-8")
    policy = Policy(dirs=[Dir(tmp_path, at="/w")])

    assert php("-v").text.startswith("PHP 8.2.0 (cli)")
    assert php("--version").text == php("-v").text
    assert "\nsqlite3\n" in php("-m").text
    assert php("-i").text.startswith("phpinfo()\nPHP Version => 8.2.0\n")
    assert (0, "No syntax errors detected in /w/good.php\n") == (
        (read := php("-l", "/w/good.php", policy=policy)).exit_code, read.text
    )  # fmt: skip
    assert 255 == php("-l", "/w/bad.php", policy=policy).exit_code
    assert "a */" not in php("-w", "/w/good.php", policy=policy).text
    assert "//w/good.php,-a,b" == php("-f", "/w/good.php", "--", "-a", "b", policy=policy).text
    assert "//w/good.php,-d,b" == php("/w/good.php", "-d", "b", policy=policy).text


def test_what_is_absent_is_an_error_and_never_a_run() -> None:
    """No processes, no sockets and no fibers."""
    assert "no" == php("-r", "echo @fsockopen('localhost', 80) ? 'yes' : 'no';").text
    assert "" == php("-r", "echo @shell_exec('ls'), @exec('ls');").text
    fiber = php("-r", "(@new Fiber(fn() => 1))->start();")
    assert (255, True) == (fiber.exit_code, "Call to undefined method Fiber::start()" in fiber.text)
