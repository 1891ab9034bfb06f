"""The pack `ruby`, as a command line: what programs find in it. `ringfence languages install ruby` builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Limits, Policy, Sandbox, Session

if TYPE_CHECKING:
    from pathlib import Path

    from ringfence import Result

pytest.importorskip(
    "ringfence_language_ruby", reason="NOT TESTED: ruby is not installed (`ringfence languages install ruby`: minutes)"
)
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("compiled_ruby")]

LIBRARY = {
    "json": "p JSON.parse('[1, {\"a\": null}]')",
    "csv": 'p CSV.parse("a,b\\n1,2\\n", headers: true).map(&:to_h)',
    "set": "p Set[1, 2] | [3]",
    "date": "p Date.new(2024, 2, 28).next_day(2).to_s",
    "time": "p Time.parse('2024-01-02 03:04:05 UTC').to_i",
    "digest": "p Digest::SHA256.hexdigest('x')[0, 8]",
    "erb": "p ERB.new('<%= 1 + 1 %>').result",
    "yaml": "p YAML.load(YAML.dump({'a' => [1]}))",
    "openssl": "p OpenSSL::Digest::SHA256.hexdigest('x')[0, 8]",
    "zlib": "p Zlib.inflate(Zlib.deflate('x' * 9))",
    "matrix": "p Matrix[[1, 2], [3, 4]].determinant",
    "rexml/document": "p REXML::Document.new('<a>1</a>').root.text",
    "securerandom": "p SecureRandom.hex(4).size",
}
SAID = {
    "json": '[1, {"a" => nil}]',
    "csv": '[{"a" => "1", "b" => "2"}]',
    "set": "#<Set: {1, 2, 3}>",
    "date": '"2024-03-01"',
    "time": "1704164645",
    "digest": '"2d711642"',
    "erb": '"2"',
    "yaml": '{"a" => [1]}',
    "openssl": '"2d711642"',
    "zlib": '"xxxxxxxxx"',
    "matrix": "-2",
    "rexml/document": '"1"',
    "securerandom": "8",
}


def ruby(*args: str, input: bytes = b"", policy: Policy | None = None) -> Result:
    """Run a command line of Ruby."""
    return Sandbox(language="ruby", policy=policy or Policy()).run(args, input=input)


def test_program_has_its_arguments_variables_and_input() -> None:
    """ARGV, ENV and $stdin, and what it writes comes out on the stream it wrote to."""
    code = "p ARGV, ENV.to_h, $stdin.read, $0; warn 'err'; $stdout.print 'no end'"
    result = ruby("-e", code, "a", "ü b", input="één".encode(), policy=Policy(env={"NAME": "value"}))

    assert '["a", "ü b"]\n{"NAME" => "value"}\n"één"\n"-e"\nno end' == result.stdout.decode()
    assert (b"err\n", 0) == (result.stderr, result.exit_code)


def test_text_is_utf_8_wherever_it_comes_from() -> None:
    """Variables, their names, arguments, input, and the source itself."""
    code = "print [*ENV.first, ENV['é'], ARGV[0], $stdin.read, 'ü'].map { |text| [text.encoding, text.size] }.uniq"
    code += "; print ENV['é'] == 'één', Encoding.find('locale')"
    result = ruby("-e", code, "ü", input="é".encode(), policy=Policy(env={"é": "één"}))

    assert "[[#<Encoding:UTF-8>, 1], [#<Encoding:UTF-8>, 3]]trueUTF-8" == result.text, result


def test_script_is_handed_in_and_knows_its_name(tmp_path: Path) -> None:
    """Nothing is granted, and it runs; `__END__` and `$0 == __FILE__` are as natively."""
    script = tmp_path / "hello.rb"
    script.write_text("puts DATA.read if $0 == __FILE__\nexit 3\n__END__\nbehind\n", encoding="utf-8")
    result = Sandbox(script).run([])

    assert (b"behind\n", b"", 3) == (result.stdout, result.stderr, result.exit_code)


@pytest.mark.parametrize(
    ("code", "exit_code", "stdout", "stderr"),
    [
        ("exit 3", 3, "", ""),
        ("exit false", 1, "", ""),
        ("exit! 5", 5, "", ""),
        ("abort 'bye'", 1, "", "bye\n"),
        ("raise 'boom'", 1, "", "-e:1:in '<main>': boom (RuntimeError)\n"),
        ("def f = raise(IOError)\nf", 1, "", "-e:1:in 'Object#f': IOError (IOError)\n\tfrom -e:2:in '<main>'\n"),
        ("at_exit { puts 2 }; END { puts 1 }; exit 4", 4, "1\n2\n", ""),
        ("at_exit { exit 7 }", 7, "", ""),
        ("trap('EXIT') { puts 'last' }; puts 'first'", 0, "first\nlast\n", ""),
        ("Process.kill(:TERM, $$)", 143, "", None),
        ("return; puts 'never'", 0, "", ""),
    ],
)  # fmt: skip
def test_program_ends_as_natively(code: str, exit_code: int, stdout: str, stderr: str | None) -> None:
    """Exit codes, errors that nobody rescues, and what is to run at the end."""
    result = ruby("-e", code)

    assert (exit_code, stdout) == (result.exit_code, result.text)
    assert stderr is None or stderr == result.stderr.decode()


@pytest.mark.parametrize("name", LIBRARY)
def test_library_is_there(name: str) -> None:
    """Inside of the pack: nothing is granted."""
    result = ruby("-e", f"require '{name}'\n{LIBRARY[name]}")

    assert (SAID[name] + "\n", b"") == (result.text, result.stderr)


def test_files_are_read_and_written_under_a_grant(tmp_path: Path) -> None:
    """Also what was not closed, and what was opened by a relative path and from an extension's list."""
    (tmp_path / "in.txt").write_text("one\ntwo\n", encoding="utf-8")
    (tmp_path / "part.rb").write_text("PART = 7", encoding="utf-8")
    code = """
        p File.readlines("/data/in.txt", chomp: true), Dir.children("/data").sort
        File.open("/data/out.txt", "w").write("late")
        Dir.chdir("/data") { File.write("made.txt", "x"); File.rename("made.txt", "moved.txt") }
        require "/data/part"
        p PART, File.exist?("/etc/passwd")
    """
    result = ruby("-e", code, policy=Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")]))

    assert ('["one", "two"]\n["in.txt", "part.rb"]\n7\nfalse\n', b"") == (result.text, result.stderr)
    assert "late" == (tmp_path / "out.txt").read_text(encoding="utf-8")
    assert (tmp_path / "moved.txt").exists()


def test_many_folders_are_granted_at_once(tmp_path: Path) -> None:
    """Each under its own name, though the snapshot was taken without them."""
    for at in range(20):
        (tmp_path / str(at)).mkdir()
        (tmp_path / str(at) / "x").write_text(str(at), encoding="utf-8")
    dirs = [Dir(tmp_path / str(at), at=f"/d{at}") for at in range(20)]
    result = ruby("-e", "20.times { |n| print File.read(\"/d#{n}/x\"), ' ' }", policy=Policy(dirs=dirs))

    assert "".join(f"{at} " for at in range(20)) == result.text


def test_lines_are_worked_on_by_the_switches_of_one_liners(tmp_path: Path) -> None:
    """-n, -p, -l, -a, -F, -i, -s, -x, -c, and BEGIN and END around the loop."""
    assert b"ONE\n" == ruby("-ne", "puts $_.upcase if $_.include?('o')", input=b"one\nabc\n").stdout
    assert b"ONE\nTWO\n" == ruby("-pe", "$_.upcase!", input=b"one\ntwo\n").stdout
    assert b"b\nd\n" == ruby("-lane", "print $F[1]", input=b"a b\nc d\n").stdout
    assert b"b\n" == ruby("-F:", "-lane", "print $F[1]", input=b"a:b:c\n").stdout
    assert b"2\n" == ruby("-ne", "BEGIN { n = 0 }; n += 1; END { puts n }", input=b"one\ntwo\n").stdout
    assert b"Syntax OK\n" == ruby("-c", "-e", "1 + 1").stdout
    assert b"-e:1: syntax error" in ruby("-c", "-e", "1 +").stderr
    assert b"6\n" == ruby("-rset", "-e", "puts Set[1, 2, 3].sum").stdout
    (tmp_path / "f").write_text("one\n", encoding="utf-8")
    policy = Policy(dirs=[Dir(tmp_path, at="/d", mode="rw")])
    assert 0 == ruby("-pi.bak", "-e", "$_.upcase!", "/d/f", policy=policy).exit_code
    assert ("ONE\n", "one\n") == tuple((tmp_path / name).read_text(encoding="utf-8") for name in ("f", "f.bak"))


def test_every_run_is_fresh() -> None:
    """Random numbers of each kind differ, clocks go on, and nothing of the last run is there."""
    code = "$left = ($left || 0) + 1; p $left, rand, SecureRandom.hex(8), Random.rand, [1, 2, 3].shuffle.size\n"
    code += "p Time.now.to_f, Process.clock_gettime(Process::CLOCK_MONOTONIC)"
    sandbox = Sandbox(language="ruby")
    first, second = (sandbox.run(["-e", code]).text.split("\n") for _ in range(2))

    assert "1" == first[0] == second[0]
    assert all(first[at] != second[at] for at in (1, 2, 3))
    assert float(first[5]) < float(second[5])


def test_what_is_absent_is_an_error_and_never_a_silence() -> None:
    """No processes, threads or sockets: each says so."""
    for code in ("`ls`", "system('ls')", "spawn('ls')", "IO.popen('ls')", "fork", "Thread.new {}", "exec 'ls'"):
        result = ruby("-e", f"begin; {code}; rescue NotImplementedError => e; puts 'absent'; end")
        assert "absent\n" == result.text, (code, result)
    assert b"cannot load such file -- socket" in ruby("-e", "require 'socket'").stderr


def test_limits_end_a_run_under_their_names() -> None:
    """Time, memory and output."""
    for code, limits, name in (
        ("loop {}", Limits(wall="300ms"), "wall"),
        ("a = []; loop { a << 'x' * 1_000_000 }", Limits(memory="256MiB"), "memory"),
        ("loop { puts 'x' * 1000 }", Limits(output="64KiB"), "output"),
    ):
        result = ruby("-e", code, policy=Policy(limits=limits))
        assert ("limited", name) == (result.outcome, result.limit), (code, result)


def test_recursion_of_methods_is_rubys_own_error() -> None:
    """It is rescued, and the program goes on."""
    result = ruby("-e", "def f(n) = f(n + 1)\nbegin; f(0); rescue SystemStackError => e; puts e.message; end")

    assert "stack level too deep\n" == result.text


@pytest.mark.parametrize(
    "code",
    [
        "def f(n) = n < 1000 ? [1].each { f(n + 1) } : puts('there')\nf(0)",
        "def f(n) = n < 200 ? { a: 1 }.each { |k, v| f(n + 1) } : puts('there')\nf(0)",
        "a = []; 500.times { a = [a] }; a.inspect; puts JSON.generate(a, max_nesting: 0).size > 1000 ? 'there' : 0",
        "def f(n) = n < 300 ? [1].map { GC.start if n % 50 == 0; f(n + 1) } : raise('x')\nf(0) rescue puts 'there'",
        "def f(n) = n < 300 ? [1].each { f(n + 1) } : throw(:out)\ncatch(:out) { f(0) }; puts 'there'",
        "e = Enumerator.new { |y| 30.times { |n| [1].each { y << n } } }; 20.times { e.next }; puts 'there'",
    ],
)
def test_blocks_are_nested_a_thousand_deep(code: str) -> None:
    """As it was linked, 70 were too many; collections, jumps and fibers go on from there as well."""
    assert "there\n" == ruby("-e", code).text


def test_error_in_a_script_shows_its_line_and_asks_the_host_for_nothing(tmp_path: Path) -> None:
    """As natively: error_highlight and syntax_suggest know what was handed in, and look for nothing that is nowhere."""
    script = tmp_path / "r1.rb"
    script.write_text("def m(a)\n  a.foo\nend\nm(nil)\n", encoding="utf-8")
    stop = Policy(on_denied="stop")
    result = Sandbox(script, policy=stop).run()

    told = f"{script}:2:in 'Object#m': undefined method 'foo' for nil (NoMethodError)\n\n  a.foo\n   ^^^^\n"
    assert (f"{told}\tfrom {script}:4:in '<main>'\n", 1) == (result.stderr.decode(), result.exit_code)
    script.write_text("def m\n  if true\nend\n", encoding="utf-8")
    said = Sandbox(script, policy=stop).run().stderr.decode()
    assert "Unmatched" in said, said
    for code in ("nil.foo", "eval('x = = 1')", "begin; nil.foo; rescue NoMethodError => e; warn e.full_message; end"):
        assert () == ruby("-e", code).denials, code
        with Session("ruby", policy=stop) as session:
            assert session.eval(code).denials == (), code


def test_files_are_locked_by_nobody(tmp_path: Path) -> None:
    """`flock` succeeds, so what asks for a lock works: `Logger` and `PStore`."""
    code = """Logger.new('/w/log').info('said'); require 'pstore'
        PStore.new('/w/kept').transaction { |s| s[:a] = 1 }
        print File.read('/w/log').include?('said'), PStore.new('/w/kept').transaction(true) { |s| s[:a] }
        file = File.open('/w/log'); print file.flock(File::LOCK_EX); file.close
        print begin; file.flock(File::LOCK_UN); rescue IOError then 'closed'; end"""
    result = ruby("-e", code, policy=Policy(dirs=[Dir(tmp_path, at="/w", mode="rw")]))

    assert ("true10closed", b"") == (result.stdout.decode(), result.stderr)
