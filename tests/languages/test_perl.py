"""The pack `perl`, as a command line: what programs find in it. `ringfence languages install perl` builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Limits, Policy, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command
    from ringfence import Result

pytest.importorskip(
    "ringfence_language_perl", reason="NOT TESTED: perl is not installed (`ringfence languages install perl`)"
)
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled_perl")]

OVERLOADED = "use overload '.', sub { ${$_[0]} ? n(${$_[0]} - 1) . 1 : 'there' }; sub n { bless \\(my $n = pop) }"
LIBRARY = {
    "List::Util": ("print List::Util::sum(1 .. 4)", "10"),
    "JSON::PP": ("print JSON::PP->new->canonical->encode({ b => [1, undef], a => 'x' })", '{"a":"x","b":[1,null]}'),
    "Data::Dumper": ("local $Data::Dumper::Indent = 0; print Dumper([1])", "$VAR1 = [1];"),
    "Digest::SHA": ("print substr(Digest::SHA::sha256_hex('x'), 0, 8)", "2d711642"),
    "MIME::Base64": ("print encode_base64('abc', '')", "YWJj"),
    "Compress::Zlib": ("print uncompress(compress('x' x 9))", "xxxxxxxxx"),
    "Time::Local": ("print Time::Local::timegm(0, 0, 0, 1, 0, 2024)", "1704067200"),
    "Time::Piece": ("print gmtime(0)->strftime('%Y-%m-%d')", "1970-01-01"),
    "Getopt::Long": ("@ARGV = ('--n=3'); GetOptions('n=i' => \\my $n); print $n", "3"),
    "Text::Wrap": ("$Text::Wrap::columns = 5; print wrap('', '', 'a b c d')", "a b\nc d"),
    "Math::BigInt": ("print Math::BigInt->new(2) ** 100", "1267650600228229401496703205376"),
    "File::Basename": ("print basename('/a/b.c', '.c')", "b"),
    "Unicode::Normalize": ('print length(NFD("\\x{e9}"))', "2"),
}  # fmt: skip


def perl(*args: str, input: bytes = b"", policy: Policy | None = None) -> Result:
    """Run a command line of Perl."""
    return Sandbox(language="perl", policy=policy or Policy()).run(args, input=input)


def test_program_has_its_arguments_variables_and_input() -> None:
    """@ARGV, %ENV and STDIN, and what it writes comes out on the stream it wrote to."""
    code = "print \"@ARGV|$ENV{NAME}|\", join(',', keys %ENV), '|', <STDIN>, \"|$0\"; print STDERR 'err'"
    result = perl("-e", code, "a", "ü b", input="één".encode(), policy=Policy(env={"NAME": "value"}))

    assert "a ü b|value|NAME|één|-e" == result.stdout.decode()
    assert (b"err", 0) == (result.stderr, result.exit_code)


def test_script_is_handed_in_and_knows_its_name(tmp_path: Path) -> None:
    """Nothing is granted, and it runs; `DATA`, `$0`, `__FILE__`, `FindBin` and its own switches are as natively."""
    (tmp_path / "sub").mkdir()
    script = tmp_path / "sub" / "hello.pl"
    text = "#!/usr/bin/perl -l\nprint <DATA>; print __FILE__ eq $0 ? 1 : 0; warn 'w'; exit 3;\n__END__\nbehind"
    script.write_text(text, encoding="utf-8")
    result = Sandbox(script).run(["x"])

    assert ("behind\n1\n", f"w at {script} line 2, <DATA> line 1.\n", 3) == (
        result.text, result.stderr.decode(), result.exit_code,
    )  # fmt: skip


def test_command_runs_scripts_code_and_standard_input(ringfence: Command, tmp_path: Path) -> None:
    """By the end of a name, by a shebang, by `-c`, and from a pipe."""
    (tmp_path / "a.pl").write_text('print "script @ARGV\\n"', encoding="utf-8")
    (tmp_path / "b").write_text('#!/usr/bin/env perl\nprint "shebang\\n"', encoding="utf-8")

    assert "script 1 2\n" == ringfence("run", "a.pl", 1, 2).stdout
    assert "shebang\n" == ringfence("run", "b").stdout
    assert "code x\n" == ringfence("run", "--language", "perl", "-c", 'print "code @ARGV\\n"', "x").stdout
    assert "piped\n" == ringfence("run", "--language", "perl", "-", input=b'print "piped\\n"').stdout
    assert "ONE\n" == ringfence("run", "--language", "perl", "--", "-ne", "print uc if /o/", input=b"one\nabc\n").stdout


@pytest.mark.parametrize(
    ("code", "exit_code", "stdout", "stderr"),
    [
        ("exit 3", 3, "", ""),
        ("exit 300", 44, "", ""),
        ("exit -1", 255, "", ""),
        ("die qq{bye\\n}", 255, "", "bye\n"),
        ("die 'boom'", 255, "", "boom at -e line 1.\n"),
        ("$! = 5; die qq{x\\n}", 5, "", "x\n"),
        ("use strict; $x = 1", 255, "", None),
        ("1 +", 255, "", None),
        ("BEGIN { exit 4 }", 4, "", ""),
        ("BEGIN { END { print 'end' } exit 4 }", 4, "end", ""),
        ("END { print 1 } END { print 2; $? = 9 } exit 4", 9, "21", ""),
        ("package O; sub DESTROY { print 'gone' } our $o = bless []; print 'first '", 0, "first gone", ""),
        ("local $SIG{__DIE__} = sub { print 'seen' }; eval { die }; local $SIG{ALRM} = 1; exit 0", 0, "seen", ""),
        ("$SIG{__WARN__} = sub { print @_ }; warn qq{w\\n}", 0, "w\n", ""),
    ],
)  # fmt: skip
def test_program_ends_as_natively(code: str, exit_code: int, stdout: str, stderr: str | None) -> None:
    """Exit codes, errors that nobody catches, and what is to run at the end."""
    result = perl("-e", code)

    assert (exit_code, stdout) == (result.exit_code, result.text)
    assert stderr is None or stderr == result.stderr.decode()


@pytest.mark.parametrize("name", LIBRARY)
def test_library_is_there(name: str) -> None:
    """Inside of the pack: nothing is granted."""
    code, said = LIBRARY[name]
    result = perl("-e", f"use strict; use warnings; use {name}; {code}")

    assert (said, b"") == (result.text, result.stderr)


def test_lines_are_worked_on_by_the_switches_of_one_liners(tmp_path: Path) -> None:
    """-n, -p, -l, -a, -F, -0, -i, -M, -I, -c, -w, -s, -x, and BEGIN and END around the loop."""
    assert b"ONE\n" == perl("-ne", "print uc if /o/", input=b"one\nabc\n").stdout
    assert b"ONE\nTWO\n" == perl("-pe", "$_ = uc", input=b"one\ntwo\n").stdout
    assert b"b\nd\n" == perl("-lane", "print $F[1]", input=b"a b\nc d\n").stdout
    assert b"b\n" == perl("-F:", "-lane", "print $F[1]", input=b"a:b:c\n").stdout
    assert b"a\nb\n" == perl("-0", "-lne", "BEGIN { $\\ = qq{\\n} } chomp; print", input=b"a\0b\0").stdout
    assert b"2" == perl("-ne", "BEGIN { $n = 0 } $n++; END { print $n }", input=b"one\ntwo\n").stdout
    assert b"-e syntax OK\n" == perl("-c", "-e", "1 + 1").stderr
    assert b"uninitialized value" in perl("-we", "my $x; print $x + 1").stderr
    assert b"6" == perl("-MList::Util=sum", "-e", "print sum 1 .. 3").stdout
    (tmp_path / "f").write_text("one\n", encoding="utf-8")
    (tmp_path / "M.pm").write_text("package M; sub f { 42 } 1;", encoding="utf-8")
    (tmp_path / "s").write_text("junk\n#!perl -s\nprint $name;\n__END__\n", encoding="utf-8")
    policy = Policy(dirs=[Dir(tmp_path, at="/d", mode="rw")])
    assert 0 == perl("-i.bak", "-pe", "$_ = uc", "/d/f", policy=policy).exit_code
    assert ("ONE\n", "one\n") == tuple((tmp_path / name).read_text(encoding="utf-8") for name in ("f", "f.bak"))
    assert b"42" == perl("-I/d", "-MM", "-e", "print M::f()", policy=policy).stdout
    assert b"x" == perl("-x", "-s", "/d/s", "-name=x", policy=policy).stdout


def test_files_are_read_and_written_under_a_grant(tmp_path: Path) -> None:
    """Also what was not closed, by a relative path, and a folder that is listed, matched and changed."""
    (tmp_path / "in.txt").write_text("one\ntwo\n", encoding="utf-8")
    code = """
        open my $in, '<', '/data/in.txt' or die; chomp(my @lines = <$in>);
        opendir my $d, '/data' or die; my @names = sort grep !/^\\./, readdir $d;
        open OUT, '>', '/data/out.txt' or die; print OUT 'late';
        chdir '/data' or die; mkdir 'sub' or die; rename 'in.txt', 'sub/moved.txt' or die;
        print "@lines|@names|@{[glob 'sub/*']}|", -s 'sub/moved.txt', '|';
        print open(my $no, '<', '/etc/passwd') ? 'y' : "$!";
    """
    result = perl("-e", code, policy=Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")]))

    assert ("one two|in.txt|sub/moved.txt|8|No such file or directory", b"") == (result.text, result.stderr)
    assert "late" == (tmp_path / "out.txt").read_text(encoding="utf-8")
    assert (tmp_path / "sub" / "moved.txt").exists()


def test_every_run_is_fresh() -> None:
    """Random numbers, as a program reads them too, the order of hashes, clocks; nothing is left of the last run."""
    code = """
        use Time::HiRes; our $left; print defined $left ? 'left' : 'none'; $left = 1;
        print "\n", rand, "\n"; my %h = map { $_ => 1 } 1 .. 50;
        print join(',', keys %h), "\n"; open my $r, '<:raw', '/dev/urandom' or die;
        read $r, my $b, 8; print unpack('H*', $b), "\n";
        print Time::HiRes::time(), "\n";
    """
    sandbox = Sandbox(language="perl")
    first, second = (sandbox.run(["-e", code]).text.split("\n") for _ in range(2))

    assert "none" == first[0] == second[0]
    assert all(first[at] != second[at] for at in (1, 2, 3)), (first, second)
    assert float(first[4]) < float(second[4])


def test_what_is_absent_is_an_error_and_never_a_silence() -> None:
    """No processes, pipes, sockets or threads: each says so by what it gives."""
    for code in ("fork", "pipe(A, B)", "socket(S, 2, 1, 0)", "exec('ls') or die", "system('ls') and die"):
        assert "absent" == perl("-e", f"eval {{ {code}; 1 }} or print 'absent'").text, code
    assert "-1" == perl("-e", "my $said = `ls`; print $?").text
    assert "absent" == perl("-e", "open my $p, '-|', 'ls' or print 'absent'").text
    assert b"Can't locate Socket.pm" in perl("-e", "use Socket").stderr


def test_limits_end_a_run_under_their_names() -> None:
    """Time, memory, output and fuel."""
    for code, limits, name in (
        ("1 while 1", Limits(wall="300ms"), "wall"),
        ("my @a; push @a, 'x' x 1e6 while 1", Limits(memory="200MiB"), "memory"),
        ("print 'x' x 1000 while 1", Limits(output="64KiB"), "output"),
        ("1 while 1", Limits(fuel=50_000_000, compile=280), "fuel"),
    ):
        result = perl("-e", code, policy=Policy(limits=limits))
        assert ("limited", name) == (result.outcome, result.limit), (code, result)


@pytest.mark.parametrize(
    "code",
    [
        "sub f { my $n = shift; $n ? f($n - 1) : 'there' } print f(50_000)",
        "sub f { my $n = shift; $n ? eval { f($n - 1) } : 'there' } print f(5_000)",
        "sub f { my $n = shift; $n ? eval 'f($n - 1)' : 'there' } print f(1_000)",
        "my $r = 1; $r = [$r] for 1 .. 100_000; undef $r; print 'there'",
        "print 'there' if ('(' x 10_000) . (')' x 10_000) =~ /^(\\((?1)*\\))$/",
        f"{OVERLOADED}; print n(300) . 1",
    ],
)
def test_depth_is_perls_own(code: str) -> None:
    """Calls, blocks, evaluations, data, patterns and overloads are nested as natively."""
    assert ("there", b"") == ((result := perl("-e", f"no warnings; {code}")).text, result.stderr)
