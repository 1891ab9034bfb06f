"""SQLite's shell and its sessions: scripts, databases under grants, values, errors, functions of the host."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Dir, Limits, Policy, Sandbox, Session, run

pytest.importorskip("ringfence_language_sqlite", reason="the language pack is not installed")
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Command

ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select sum(i) from n"
# What SQLite here and the one of this machine's Python must agree on.
JUDGED = [
    "create table sales(id integer primary key, city text, amount real, note blob)",
    "insert into sales values(1, 'Köln', 2.5, x'00ff'), (2, 'Ulm', 4, null), (3, 'Köln', 1e9, 'x'), (4, null, -1, '')",
    "create index by_city on sales(city)",
    "select city, count(*), sum(amount), group_concat(id, '-') from sales group by city order by 1",
    "select *, row_number() over (partition by city order by id desc) from sales order by id",
    "with recursive f(a, b) as (select 0, 1 union all select b, a + b from f limit 60) select max(a) from f",
    'select json_extract(\'{"a": [1, {"b": "ü"}]}\', \'$.a[1].b\'), json_group_array(id) from sales',
    "update sales set amount = round(amount * 1.1, 3) where city = 'Ulm'",
    "select typeof(note), length(note), hex(note), quote(amount), upper(city), city like 'k%' from sales order by id",
    "select date('2024-02-29', '+1 year'), julianday('2000-01-01'), strftime('%W', '2024-12-31')",
    "delete from sales where amount < 0",
    "select changes(), total_changes()",
    "select printf('%08.3f|%-5s|%,d', 3.14159, 'ab', 1234567), abs(-5), nullif(1, 1), 7 / 2, 7 % -3, 1 / 0",
    "explain query plan select * from sales where city = 'Ulm'",
    "create virtual table words using fts5(text)",
    "insert into words values('the quick brown fox'), ('lazy dogs sleep')",
    "select rowid, highlight(words, 0, '[', ']') from words where words match 'quick OR dog*' order by rank",
    "select * from pragma_table_info('sales')",
    "savepoint a",
    "insert into sales(city) values('gone')",
    "rollback to a",
    "select count(*), 9223372036854775807 + 0, -9223372036854775808, 1e999, cast('12abc' as integer) from sales",
]


def price(item: str, count: int = 1) -> Any:
    """Say what it costs."""
    if item == "unknown":
        raise LookupError("no such item")
    return {"tea": 1.5 * count, "box": ["tea", None, {"n": 2}]}.get(item)


@pytest.fixture
def session() -> Iterator[Session]:
    """Open a session with a function."""
    with Session("sqlite", functions={"price": price}) as opened:
        yield opened


@pytest.fixture
def shop(tmp_path: Path) -> Sandbox:
    """Give the shell with a folder to write to."""
    return Sandbox(language="sqlite", policy=Policy(dirs=[Dir(tmp_path, at="/db", mode="rw")]))


def test_statements_come_to_what_they_come_to_natively(session: Session) -> None:
    """Row by row, in the SQLite of this machine's Python."""
    with sqlite3.connect(":memory:", isolation_level=None) as native:
        for statement in JUDGED:
            rows = [list(row) for row in native.execute(statement).fetchall()]
            given = session.eval(statement).value or []
            if statement.startswith("explain"):  # its numbers of nodes move with the version
                rows, given = [row[3:] for row in rows], [dict(list(row.items())[3:]) for row in given]
            assert rows == [list(row.values()) for row in given], statement


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("", None),
        ("-- only words", None),
        ("create table t(a)", None),
        ("select 1 as a where 0", []),
        ("select 1; select 2 as b", [{"b": 2}]),
        ("select 1, 1, 1", [{"1": 1, "1:1": 1, "1:2": 1}]),
        ("select null as n, x'00ff' as b, 'a' || char(0) as t", [{"n": None, "b": b"\0\xff", "t": "a\0"}]),
        ("select cast(x'ff' as text) as t", [{"t": b"\xff"}]),
        ("select price('tea') as p, price('tea', 2) as q, price('?') as n", [{"p": 1.5, "q": 3.0, "n": None}]),
        ("select price('box') ->> '$[2].n' as n", [{"n": 2}]),
    ],
)
def test_value_of_a_turn_is_the_rows_of_its_last_statement(session: Session, cell: str, value: Any) -> None:
    """As a list of maps; names that are there twice get a number."""
    assert value == session.eval(cell).value


@pytest.mark.parametrize(
    ("cell", "kind", "message"),
    [
        ("selec", "SQLITE_ERROR", 'near "selec": syntax error'),
        ("select (", "SQLITE_ERROR", "incomplete input"),
        (
            "create table u(a unique); insert into u values(1), (1)",
            "SQLITE_CONSTRAINT",
            "UNIQUE constraint failed: u.a",
        ),
        ("select price('unknown')", "SQLITE_ERROR", "LookupError: no such item"),
        ("select zeroblob(3000000000)", "SQLITE_TOOBIG", "string or blob too big"),
        ("attach '/db/x.db' as x", "SQLITE_CANTOPEN", "unable to open database: /db/x.db"),
        (".nope", "Error", 'unknown command or invalid arguments:  "nope"'),
    ],
)
def test_error_has_its_code_and_its_words(session: Session, cell: str, kind: str, message: str) -> None:
    """The names of SQLite's own codes."""
    error = session.eval(cell).error

    assert error is not None
    assert kind == error.type
    assert error.message.startswith(message)
    assert error.traceback.startswith(f"Error: {message}")


def test_dot_commands_print_and_exit(session: Session) -> None:
    """`.exit` ends the turn and not the session."""
    session.eval("create table t(a)")

    assert "t\n" == session.eval(".tables").text
    assert "CREATE TABLE t(a);\n" == session.eval(".schema").text
    turn = session.eval(".exit 4")
    assert ("exited", 4) == (turn.outcome, turn.exit_code)
    assert [{"n": 0}] == session.eval("select count(*) as n from t").value


def test_turn_at_its_deadline_is_stopped_and_the_session_lives(session: Session) -> None:
    """What it had written is rolled back with its statement."""
    session.eval("create table t(a); insert into t values(1)")
    for cell in (ENDLESS, "insert into t " + ENDLESS.replace("select sum(i)", "select i"), f"select 1; {ENDLESS}"):
        turn = session.eval(cell, turn=Limits(wall="300ms"))
        assert ("limited", "wall") == (turn.outcome, turn.limit)
        if session.poisoned is not None:
            pytest.skip("the machine was too busy to let it answer in its moment of grace")
        assert turn.error is not None
        assert "TimeoutError" == turn.error.type
        assert [{"n": 1}] == session.eval("select count(*) as n from t").value


def test_fork_has_the_database_and_random_numbers_of_its_own(session: Session) -> None:
    """Neither sees what the other writes."""
    session.eval("create table t(a); insert into t values(1)")
    with session.fork() as fork, session.fork() as other:
        fork.eval("delete from t")
        assert [{"n": 0}] == fork.eval("select count(*) as n from t").value
        assert [{"n": 1}] == session.eval("select count(*) as n from t").value
        drawn = [each.eval("select random() as r").value[0]["r"] for each in (fork, other, session)]
        assert 3 == len(set(drawn))


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("select 1, 'a';", 0, "1|a\n"),
        (".mode json\nselect 1 as a, null as b;", 0, '[{"a":1,"b":null}]\n'),
        (".mode csv\n.headers on\nselect 'x,y' as a, 2 as b;", 0, 'a,b\r\n"x,y",2\r\n'),
        ("create table t(x);\n.tables\n.schema", 0, "t\nCREATE TABLE t(x);\n"),
        ("select 1;\n.exit 3\nselect 2;", 3, "1\n"),
        ("select 1;\nselect * from nope;\nselect 2;", 1, "1\n2\n"),
        ("select 1;\n.bail on\nselect * from nope;\nselect 2;", 1, "1\n"),
    ],
)
def test_script_is_run_as_the_shell_runs_it(text: str, code: int, told: str, tmp_path: Path) -> None:
    """By code, as a file and by standard input alike; in memory, where no database is named."""
    (tmp_path / "program.sql").write_text(text, encoding="utf-8")
    sqlite = Sandbox(language="sqlite")

    for result in (sqlite.run(code=text), run(tmp_path / "program.sql"), sqlite.run(input=text.encode())):
        assert (code, told) == (result.exit_code, result.stdout.decode())
        assert (b"no such table: nope" in result.stderr) == ("nope" in text)


def test_database_in_a_grant_is_written_and_read(shop: Sandbox, tmp_path: Path) -> None:
    """It is a file that any SQLite reads; the arguments of a script are the shell's."""
    text = "create table t(a, b); insert into t values(1, 'x'), (2, 'y');"

    assert 0 == shop.run(["/db/a.db"], code=text).exit_code
    assert "a,b\n1,x\n2,y\n" == shop.run(["-csv", "-header", "/db/a.db", "select * from t"]).text.replace("\r", "")
    assert "2\n" == shop.run(["-", "/db/a.db"], input=b"select count(*) from t;").text
    with sqlite3.connect(tmp_path / "a.db") as native:
        assert [(1, "x"), (2, "y")] == native.execute("select * from t").fetchall()


@pytest.mark.parametrize(
    ("name", "words"),
    [("shop.db", "--dir .:/:rw - shop.db"), ("in/my shop.sqlite", "--dir in:/data:rw - '/data/my shop.sqlite'")],
)
def test_database_in_the_place_of_a_script_is_told_with_the_command_that_has_it(
    ringfence: Command, tmp_path: Path, name: str, words: str
) -> None:
    """As `sqlite3 FILE < SCRIPT` would be typed, there or to be made: it can be pasted."""
    (tmp_path / "in").mkdir()
    flags = words.replace("'", "").split(" ", 3)
    for what in ("no such script", "is a database"):
        ended = ringfence("run", "--language", "sqlite", name, input=b"select 1")
        assert what in ended.stderr
        assert f"`ringfence run --language sqlite {words} < script.sql`\n" in ended.stderr
        code = b"create table if not exists t(a); insert into t values(1); select count(*) from t;"
        assert "\n" == ringfence("run", "--language", "sqlite", *flags, input=code).stdout[1:]
    assert "is a database" in ringfence("run", name).stderr


def test_files_are_read_and_attached_under_a_grant(shop: Sandbox, tmp_path: Path) -> None:
    """`.read`, `.import`, `.output`, `ATTACH`, `readfile`."""
    (tmp_path / "more.sql").write_text("select 'from a file';", encoding="utf-8")
    (tmp_path / "in.csv").write_text("a,b\n1,x\n", encoding="utf-8")
    text = """
.read /db/more.sql
.import --csv /db/in.csv sheet
attach '/db/other.db' as other; create table other.copy as select * from sheet;
select readfile('/db/in.csv') is not null;
.output /db/out.txt
select * from other.copy;
"""

    assert "from a file\n1\n" == shop.run(code=text).check().text
    assert "1|x\n" == (tmp_path / "out.txt").read_text(encoding="utf-8")
    assert (tmp_path / "other.db").exists()


def test_connections_of_one_run_lock_each_other_out(shop: Sandbox) -> None:
    """A file that is attached twice is locked as between processes elsewhere."""
    text = "create table t(a); attach '/db/a.db' as again; begin exclusive; select count(*) from again.t;"

    assert b"database is locked" in shop.run(["/db/a.db"], code=text).stderr


def test_database_that_may_only_be_read_is_not_written(shop: Sandbox, tmp_path: Path) -> None:
    """In the words of SQLite."""
    shop.run(["/db/a.db"], code="create table t(a);").check()
    reader = Sandbox(language="sqlite", policy=Policy(dirs=[Dir(tmp_path, at="/db")]))

    result = reader.run(["/db/a.db"], code="select count(*) from t; insert into t values(1);")

    assert (1, "0\n") == (result.exit_code, result.text)
    assert b"attempt to write a readonly database" in result.stderr


def test_exception_with_more_than_a_line_is_the_cause_of_a_turns_error() -> None:
    """SQLite tells its first line alone."""
    raised = ValueError("one\ntwo")

    def fails() -> None:
        raise raised

    with Session("sqlite", functions={"fails": fails}) as session:
        assert raised is session.eval("select fails()").cause
