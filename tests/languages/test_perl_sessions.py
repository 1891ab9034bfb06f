"""Sessions of the pack `perl`: cells, variables of `my`, values, errors, functions of the host, copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Policy, SessionError
from security import isolated

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip(
    "ringfence_language_perl", reason="NOT TESTED: perl is not installed (`ringfence languages install perl`)"
)
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled_perl", "isolation")]


@pytest.mark.parametrize(
    ("turns", "values"),
    [
        (["$x = 1", "$x + 1"], [1, 2]),
        (["my $x = 5; $x + 1", "$x * 2", "my ($y, @z) = ($x, 1, 2); scalar @z", "push @z, $y; [@z]"],
         [6, 10, 2, [1, 2, 5]]),
        (["my $n = 0; sub up { ++$n } up()", "up(); $n", "my $n = 10; up()", "$n"], [1, 2, 3, 10]),
        (["my %h = (a => 1); \\%h", "$h{b} = 2; \\%h"], [{"a": 1}, {"a": 1, "b": 2}]),
        (["my $c = do { my $own = 0; sub { ++$own } }; $c->()", "$c->()", "defined $own"], [1, 2, False]),
        (["for my $i (1 .. 3) { my $seen = $i } 5", "defined $seen ? 1 : 0"], [5, 0]),
        (["if (1) { my $in = 4; $in }", "my $s = 'a;b}c'; $s", "my $h = do { 1 }\n + 2; $h"], [4, "a;b}c", 3]),
        (["our $total = 3; $total", "use strict; $total + 1", "my $u = 1; $total + $u"], [3, 4, 4]),
        (["use List::Util 'sum'; sum 1 .. 4", "sum 1 .. 5"], [10, 15]),
        (["package Shop; sub price { 3 } price()", "price()", "package main; Shop::price()"], [3, 3, 3]),
        (["use strict; my $x = 1; sub f { $x } f()", "f() + $x", "no strict; $free = 2", "$free"], [1, 2, 2, 2]),
        (["return 4; 5", "7 # and a comment", "1;\n__END__\nnot Perl", "<<E . 'y'\nx\nE"], [4, 7, 1, "x\ny"]),
    ],
)  # fmt: skip
def test_state_lives_from_cell_to_cell(turns: list[str], values: list[object]) -> None:
    """Variables, those of `my` too, functions, pragmas and the package; the last statement is the value."""
    assert values == isolated.values("perl", turns)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("undef", None),
        ("()", None),
        ("", None),
        (" # nothing\n", None),
        ("1, 'a', undef", [1, "a", None]),
        ("[1, {a => undef, b => !!1, c => 1.5, d => []}]", [1, {"a": None, "b": True, "c": 1.5, "d": []}]),
        ("18446744073709551615, -9223372036854775808, 1e3, '12', 2 ** 0.5",
         [2**64 - 1, -(2**63), 1000, "12", 2**0.5]),
        ('"\\xff"', b"\xff"),
        ('"é", "\\x{263a}"', ["é", "☺"]),
        ("9 ** 9 ** 9, -9 ** 9 ** 9", [float("inf"), float("-inf")]),
        ("sub { 1 }", 'sub { "DUMMY" }'),
        ("bless {}, 'Thing'", "bless( {}, 'Thing' )"),
        ("my $r = []; push @$r, $r; $r", "[\n  $VAR1\n]"),
        ("sort { $b <=> $a } 1, 3, 2", [3, 2, 1]),
    ],
)  # fmt: skip
def test_value_of_a_turn_is_itself_or_as_perl_shows_it(code: str, value: object) -> None:
    """In list context: several values are a list. What is not plain is what Data::Dumper says of it."""
    with isolated.Session("perl") as session:
        assert value == session.eval(code).value


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("\ndie 'boom'", "Error", "boom at <cell 1> line 2."),
        ("die {code => 4}", "Error", '{\n  "code" => 4\n}'),
        ("package Bad; use overload '\"\"' => sub { 'shown' }; die bless []", "Bad", "shown"),
        ("1 +", "SyntaxError", "syntax error at <cell 1> line 1"),
        ("use strict; $nope = 1", "SyntaxError", 'Global symbol "$nope" requires explicit package name'),
        ("nope()", "Error", "Undefined subroutine &main::nope called at <cell 1> line 1."),
        ("use Nowhere", "SyntaxError", "Can't locate Nowhere.pm"),
    ],
)
def test_errors_are_typed_and_the_session_lives(code: str, kind: str, message: str) -> None:
    """Type, message, and the lines of the cell."""
    with isolated.Session("perl") as session:
        error = session.eval(code).error
        assert error is not None
        assert kind == error.type
        assert error.message.startswith(message)
        assert message in error.traceback
        assert 7 == session.eval("3 + 4").value


def test_exit_ends_nothing_but_the_turn() -> None:
    """Through an `eval` too; `CORE::exit` ends the interpreter, as natively."""
    with isolated.Session("perl") as session:
        for code in ("exit 3", "eval { exit 3 }; 5", "sub leave { exit 3 } leave()"):
            turn = session.eval(f"print 'told'; {code}")
            assert ("exited", 3, "told") == (turn.outcome, turn.exit_code, turn.text)
        assert 7 == session.eval("3 + 4").value
        assert ("exited", 4) == ((turn := session.eval("CORE::exit(4)")).outcome, turn.exit_code)
        with pytest.raises(SessionError, match="restart"):
            session.eval("1")


def test_functions_of_the_host_are_functions_of_main() -> None:
    """With plain values both ways; their errors are caught as any other, and know their type."""

    def search(query: str, limit: int = 2) -> list[str]:
        if not query:
            raise LookupError("nothing was asked for")
        return [query] * limit

    with isolated.Session("perl", functions={"search": search, "same": lambda value: value}) as session:
        assert ["é", "é"] == session.eval("@{search('é')}").value
        plain = "{a => [1, -2, 2.5, undef, !!0, 'x', \"\\xff\"]}"
        assert {"a": [1, -2, 2.5, None, False, "x", b"\xff"]} == session.eval(f"same({plain})").value
        assert float(2**80) == session.eval("same(2 ** 80)").value
        caught = "eval { search('') }; ref $@, $@->type, $@->message, \"$@\""
        assert [
            "Ringfence::HostError", "LookupError", "nothing was asked for",
            "LookupError: nothing was asked for at <cell 4> line 1.\n",
        ] == session.eval(caught).value  # fmt: skip
        error = session.eval("search('')").error
        assert error is not None
        assert ("LookupError", "nothing was asked for") == (error.type, error.message)
        wrong = session.eval("same(sub { 1 })").error
        assert wrong is not None
        assert "only plain values reach the host" in wrong.message


def test_output_and_files_are_those_of_any_program(tmp_path: Path) -> None:
    """What is printed is the turn's, without a line end too; files are under their grant."""
    (tmp_path / "in").write_text("one\n", encoding="utf-8")
    with isolated.Session("perl", policy=Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")])) as session:
        turn = session.eval("print 'out'; print STDERR 'err'; 1")
        assert (b"out", b"err") == (turn.stdout, turn.stderr)
        assert "one\n" == session.eval("open my $f, '<', '/data/in' or die; scalar <$f>").value
        session.eval("open my $o, '>', '/data/out' or die; print $o 'kept'")
        session.eval("close $o")
    assert "kept" == (tmp_path / "out").read_text(encoding="utf-8")


def test_forks_go_on_under_their_own_grants(tmp_path: Path) -> None:
    """A fork that may reach fewer folders finds each of them where it was."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name, encoding="utf-8")
    a, b = (Dir(tmp_path / name, at=f"/{name}") for name in ("a", "b"))
    read = "join ',', map { my $f; open($f, '<', \"/$_/file\") ? <$f> : 'no' } 'a', 'b'"
    with isolated.Session("perl", policy=Policy(dirs=[a, b])) as session:
        assert "a,b" == session.eval(read).value
        for dirs, expected in (([b], "no,b"), ([a], "a,no"), ([], "no,no")):
            with session.fork(policy=Policy(dirs=dirs)) as fork:
                assert expected == fork.eval(read).value
        assert "a,b" == session.eval(read).value
