"""Attacks in Perl: endless, boundless, deep, and on what stands between it and its host."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from ringfence import Limits, Policy, Session, SessionError
from security.hostile import WALL, Hostile
from security.isolated import options

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip(
    "ringfence_language_perl", reason="NOT TESTED: perl is not installed (`ringfence languages install perl`)"
)
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled_perl", "isolation")]

PERL = Hostile("perl", "print 1 + 2, defined $main::left ? 'left' : 'none', scalar(keys %ENV)", "3none0")
attack, alive = PERL.attack, PERL.alive
ENDLESS = [
    "1 while 1",
    "BEGIN { 1 while 1 }",
    "END { 1 while 1 }",
    "sub DESTROY { 1 while 1 } our $o = bless []",
    "$SIG{ALRM} = sub { 1 while 1 }; $SIG{__DIE__} = sub { 1 while 1 }; die",
    "('a' x 40) =~ /^(a|aa|aaa)*b\\1(?{ 1 while 1 })/; sleep 100",
    "('a' x 60 . 'b') =~ /^((a+)+)+$(?!x)/ while 1",
    "select undef, undef, undef, 100",
    "sleep 100 while 1",
    "use overload '\"\"' => sub { 1 while 1 }; die bless []",
    "tie my $x, 'main'; sub TIESCALAR { bless [] } sub FETCH { 1 while 1 } print $x",
    "eval q{1 while 1; BEGIN { 1 while 1 }} while 1",
    "my @a = (1) x 1e6; @a = sort { 1 while 1 } @a",
]
HOGS = [
    "my @a; push @a, 'x' x 1e6 while 1",
    "my $s = 'x'; $s .= $s while 1",
    "my %h; $h{$_} = {$_ => [$_]} for 1 .. 1e9",
    "my @a = (0) x 1e9",
    "my $s = 'x' x 4e9",
    "vec(my $v, 1e9, 32) = 1",
    "sub f { f() } f()",
    "my $n = 0; my $c = sub { 1 }; while (1) { my $d = $c; $c = sub { $d; 1 } }",
    "open my $m, '>', \\my $b; print $m 'x' x 1e6 while 1",
]
DEEP = [
    "use overload '\"\"' => sub { '' . $_[0] }; print bless []",
    "package O; use overload '\"\"' => sub { eval { die }; '' . n() }; sub n { bless [] } print n()",
    "sub f { sort { f() } 1, 2 } f()",
    "sub DESTROY { eval { die }; bless [] } bless []",
    "sub DESTROY { bless [] } bless []",
    "while (1) { eval { die [] } }",
    "eval '[' x 1e5; eval '-' x 1e5 . '1'; eval '(' x 1e5 . ')' x 1e5; eval q{eval } x 1e4",
    "my $r = []; $r = [$r] for 1 .. 1e5; require Data::Dumper; print length Data::Dumper::Dumper($r)",
    "require JSON::PP; eval { JSON::PP->new->max_depth(1e9)->decode('[' x 6e3) }",
    "sub f { local $SIG{__DIE__} = sub { f(); die }; die } f()",
    "sub AUTOLOAD { $AUTOLOAD->() } nope()",
    "tie my $t, 'main'; sub TIESCALAR { bless [] } sub FETCH { \"$t\" } print $t",
]


@pytest.mark.parametrize("code", ENDLESS)
def test_endless_perl_ends_at_its_deadline(code: str) -> None:
    """Whatever it is busy with, handlers and ends included."""
    PERL.endless(f"$main::left = 1; {code}")


@pytest.mark.parametrize("code", HOGS)
def test_hog_of_memory_ends_at_its_limit(code: str) -> None:
    """As a limit, as Perl's own error, or as a trap where Perl trusts that there is memory; never as the host's."""
    result = PERL.hog(f"no warnings; {code}")

    assert "memory" == result.limit or b"Out of memory" in result.stderr or "trapped" == result.outcome, result


def test_flood_of_output_ends_at_its_limit() -> None:
    """On both streams, at once and by little."""
    PERL.floods([
        "print 'x' x 1000 while 1", "print STDERR 'x' while 1", "syswrite STDOUT, 'x' while 1", "print 'x' x (1 << 27)",
        "warn 'x' while 1",
    ])  # fmt: skip


@pytest.mark.parametrize("code", DEEP)
def test_deep_recursion_ends_only_its_own_run(code: str) -> None:
    """Perl's own error, a limit, or a trap."""
    PERL.deep(code, "unreachable", "out of bounds memory access", wall=10, memory="200MiB", output="1MiB")


def test_nothing_of_the_host_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables, files, processes, sockets or users."""
    monkeypatch.setenv("SECRET", "s3cr3t")
    (tmp_path / "secret").write_text("s3cr3t", encoding="utf-8")
    code = f"""
        print join(',', %ENV), "@ARGV\\n";
        for my $path ('{tmp_path}/secret', '/etc/passwd', '../../etc/passwd', '/proc/self/environ', '/dev/mem',
                       '/dev/fd/0/x') {{
            print open(my $f, '<', $path) ? <$f> : 'no', "\\n";
        }}
        for my $try (sub {{ open my $f, '>', '/x' }}, sub {{ mkdir '/x' }}, sub {{ symlink '/etc/passwd', '/x' }},
                     sub {{ opendir my $d, '/etc' }}, sub {{ link '/etc/passwd', '/x' }}) {{
            print eval {{ $try->() }} ? 'yes' : 'no', "\\n";
        }}
        for my $fd (3, 4, 10, 62, 1000) {{
            print open(my $f, '<&=', $fd) && defined(readline $f) ? 'yes' : 'no', "\\n"
        }}
        print eval {{ getpwnam('root') }} ? 'yes' : 'no', "\\n", eval {{ gethostbyname('localhost') }} ? 'yes' : 'no';
    """
    result = attack(code)

    assert "\n" + "no\n" * 17 + "no" == result.text, result
    alive()


def test_files_that_are_nowhere_harm_only_the_guest() -> None:
    """The script and the random numbers are files of the driver: used beyond all ends."""
    codes = (
        "for (1100, 1101) { open F, '+<&=', $_; sysseek F, 1 << 40, 0; sysseek F, -5, 2; read F, $b, 1e6; close F }",
        "open F, '<&=', 1100; sysseek F, (1 << 31) - 1, 0; sysread F, $b, 1 << 20; sysread F, $b, 1 << 20, 1 << 20",
        "open my $f, '<', '/dev/urandom'; sysread $f, my $b, 1 << 30",
        "open my $f, '>', '/dev/urandom'; print $f 'x' x 1e6; close $f; truncate '/dev/urandom', 1 << 40",
        "my @f; for (1 .. 3000) { open $f[$_], '<', '/dev/urandom' } read $f[-1], my $b, 1",
        "my @f; for (1 .. 3000) { open $f[$_], '<', '/zeroperl/lib/5.42.0/strict.pm' or last } print scalar @f",
    )
    PERL.strange(codes, memory="200MiB", wall=20)


def test_seeds_of_runs_foretell_nothing() -> None:
    """They are not made of the time, as this Perl would have it: of two runs neither equal nor near to each other."""
    seeds = [int(attack("print srand").text) for _ in range(60)]
    drawn = {attack("print rand, join ',', keys %{{map { $_, 1 } 'a' .. 'j'}}").text for _ in range(60)}

    assert 60 == len(set(seeds)) == len(drawn)
    assert not [1 for one, two in itertools.pairwise(seeds) if abs(one - two) < 100_000]


def test_door_of_a_session_leads_only_to_the_host_that_any_guest_has() -> None:
    """Messages that are forged, answers nobody asked for, results of no turn; a run that is no session has none."""
    assert "no" == attack("print open(my $d, '+<', '/dev/ringfence') ? 'yes' : 'no'").text
    codes = (
        "syswrite $d, ''; sysread $d, my $b, 1 << 20; syswrite $d, \"\\0\"; sysread $d, $b, 1 << 30, 1 << 20",
        "syswrite $d, $_ for 'S', 'F', 'Fxxxx', \"\\0\", \"\\0r\", \"\\0rxxxx\", 'x' x 1e7",
        "syswrite $d, \"\\0r\" . pack 'V4', 1, 0, 4294967295, 4294967295",
        'syswrite $d, "\\0r" . pack(\'V4\', 1, 0, 3, 0) . "\\xff\\xff\\xff"; last RINGFENCE',
        "syswrite $d, \"\\0r\" . pack('V4', $_, -1, 1, 1) . 'xx' for 2, 3, 9, 4294967295; last RINGFENCE",
        "close $d; open $d, '<&=', 1102 and close $d",
        "%Ringfence:: = ()",
        "*Ringfence::written = sub { 'x' x 1e6 }; *Ringfence::keep = sub { die }",
        "$_ = 'no glob' for values %Ringfence::",
        "Ringfence::turn()",
        "%Ringfence::kept = ('$x' => 'a b; die', '; exit' => 1); $Ringfence::package = '{'",
    )
    PERL.turns((f"open my $d, '+<', '/dev/ringfence' or die; {code}; 1" for code in codes), "my $kept = 1", "$kept")


def test_session_at_a_limit_is_over() -> None:
    """Nothing in it is interrupted: the next turn is refused, and a new session is clean."""
    for code, limit, wall in (("1 while 1", "wall", WALL), ("my @a; push @a, 'x' x 1e6 while 1", "memory", 30)):
        policy = Policy(limits=Limits(memory="200MiB"))
        with Session("perl", policy=policy, turn=Limits(wall=wall), **options()) as session:
            assert limit == session.eval(code).limit
            with pytest.raises(SessionError, match="restart"):
                session.eval("1")
            session.restart()
            assert 1 == session.eval("defined $a[0] ? 0 : 1", turn=Limits(wall=30)).value


def test_closed_and_stolen_descriptors_harm_only_the_guest() -> None:
    """Streams that are closed, and numbers that are opened again."""
    codes = (
        "close STDOUT; close STDERR; close STDIN; print 1; die",
        "for my $fd (0 .. 1200) { open my $f, '<&=', $fd and close $f } print 1",
        "open STDIN, '<&=', 1 and <STDIN>; open STDOUT, '>&=', 0 and print 1; open STDERR, '>&=', 3 and warn 1",
    )
    PERL.strange(codes)


def test_broken_language_still_ends() -> None:
    """What the interpreter itself uses is taken away or made to lie."""
    codes = (
        "undef %main::; exit 3",
        "delete $main::{$_} for keys %main::; die 1",
        "*CORE::GLOBAL::exit = sub { 1 }; undef *STDOUT; undef *STDERR; exit 3",
        "$? = 1 << 40; END { $? = -1e30 } $! = 1e9; die",
        "for (1 .. 100) { eval { exit }; eval q{exit} } print 'never'",
        "pack('p', 'x') && unpack('p', pack('L', $_)) for 0, 1, 4096, 30_000_000, 4_294_967_295",
        "unpack('P100000000', pack('L', 4096)) for 1 .. 3",
        "syscall(1) if 0; dump() if 0; local $^W = 1e9; $^P = 0xffff; $^H = -1; %^H = (a => \\1); eval q{1}",
    )
    PERL.strange(codes, wall=10, memory="200MiB")
