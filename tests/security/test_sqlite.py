# ruff: noqa: S608 - the statements are the attacks
"""Attacks in SQL and by the shell: endless, boundless and forged."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Dir, Limits, Policy, Result
from security import isolated
from security.isolated import run_code
from waiting import late

pytest.importorskip("ringfence_language_sqlite", reason="the language pack is not installed")
if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("isolation")

WALL = 0.3
COUNT = "with recursive n(i) as (select 1 union all select i + 1 from n)"


def attack(text: str, args: tuple[str, ...] = (), **keywords: Any) -> Result:
    """Run the attack, where the fixture says."""
    return run_code(text, "sqlite", args=args, **keywords)


def alive() -> None:
    """Look whether the next run is as if nothing had been."""
    assert "2|0\n" == attack("select 1 + 1, (select count(*) from sqlite_schema);").check().text


@pytest.mark.parametrize(
    "text",
    [
        f"{COUNT} select sum(i) from n;",
        f"{COUNT} select count(*) from n a, n b;",
        "create table t(a); create trigger r after insert on t begin insert into t values(1); end;"
        "pragma recursive_triggers = on; insert into t values(1);" + f"{COUNT} select max(i) from n;",
        f"create table t(a); insert into t {COUNT} select i from n;",
        "select 'a' like '%" + "a%" * 40 + "b' " + f"; {COUNT} select max(i) from n;",
        "select regexp('(a+)+$', '" + "a" * 60 + "b');" + f"{COUNT} select max(i) from n;",
        "select usleep(2000000000);",
        "select count(*) from generate_series(1, 9000000000000);",
        f"select group_concat(x) from ({COUNT} select hex(randomblob(1000)) x from n);",
    ],
)
def test_endless_statement_ends_at_the_deadline(text: str) -> None:
    """Or at its memory, or in an error of its own."""
    attack("")  # compiled before the clock starts
    begun = time.monotonic()

    result = attack(text, policy=Policy(limits=Limits(wall=WALL, memory="64MiB")))

    assert result.outcome in {"limited", "exited"}
    assert time.monotonic() - begun < WALL + late(2)
    alive()


@pytest.mark.parametrize(
    "text",
    [
        "select hex(zeroblob(400000000));",
        "create table t(a); insert into t select randomblob(1000000) from generate_series(1, 1000);",
        "select length(group_concat(printf('%.*c', 1000000, 'x'), '')) from generate_series(1, 1000);",
        "select printf('%.*c', 900000000, 'x');",
        "select replace(hex(zeroblob(10000000)), '0', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');",
        "pragma cache_size = 1000000; create temp table t(a); insert into t select value from generate_series(1, 1e9);",
    ],
)
def test_hog_of_memory_gets_an_error_or_is_limited(text: str) -> None:
    """What it takes is its own limit, and the next run has all of it again."""
    result = attack(text, policy=Policy(limits=Limits(wall=20, memory="32MiB")))

    assert (result.outcome, result.limit) in {("exited", None), ("limited", "memory")}
    assert 1 == result.exit_code
    alive()


def test_flood_of_rows_ends_at_its_limit() -> None:
    """As any output does."""
    result = attack(f"{COUNT} select hex(zeroblob(100)) from n;", policy=Policy(limits=Limits(wall=20, output="1MiB")))

    assert ("limited", "output") == (result.outcome, result.limit)
    alive()


@pytest.mark.parametrize(
    "text",
    [
        "select " + "abs(" * 5000 + "1" + ")" * 5000 + ";",
        "select " + "-" * 1 + " -" * 5000 + "1;",
        "select " + "not " * 5000 + "1;",
        "select " + "1+" * 20000 + "1;",
        "select json('" + "[" * 100000 + "');",
        "select " + "(select " * 3000 + "1" + ")" * 3000 + ";",
        "select 1 " + "union select 1 " * 5000 + ";",
        "select '{}' " + "-> 'a' " * 5000 + ";",
        "create view v as select * from v; select * from v;",
        "select " + "case when 1 then " * 5000 + "1" + " end" * 5000 + ";",
        "create virtual table f using fts5(a); select * from f where f match '" + "(" * 20000 + "';",
    ],
)
def test_depth_is_an_error_of_sql_and_never_a_trap(text: str) -> None:
    """SQLite's own limits end before the stack does."""
    result = attack(text, policy=Policy(limits=Limits(wall=20, memory="256MiB")))

    assert ("exited", 1) == (result.outcome, result.exit_code), result
    alive()


def test_nothing_of_the_host_is_reached() -> None:
    """No file, no process, no extension: what there is of such commands is refused, or is not there."""
    text = """
select readfile('/etc/passwd') is null, writefile('/tmp/x', 'y') is null, readfile('../../etc/passwd') is null;
select count(*) from fsdir('/etc');
attach '/etc/x.db' as x;
attach 'file:/etc/passwd?mode=ro&immutable=1' as y;
vacuum into '/tmp/copy.db';
select load_extension('x');
select edit('x');
.shell id
.system id
.load x
.read /etc/passwd
.read |id
.import |id t
.output |id
.once /tmp/x
.backup /tmp/x
.open /etc/passwd
.log /tmp/x
.cd /etc
select 'end';
"""

    result = attack(text)

    assert ("exited", 1) == (result.outcome, result.exit_code)
    assert result.stdout.startswith(b"1|1|1\n")
    assert b"root:" not in result.stdout + result.stderr
    assert b"uid=" not in result.stdout + result.stderr
    assert {"/etc/passwd", "/etc/x.db"} & {denial.what for denial in result.denials}
    alive()


@pytest.mark.parametrize("seed", range(6))
def test_forged_database_reaches_nothing_but_its_own_memory(seed: int, tmp_path: Path) -> None:
    """Whatever its bytes say: it is an error, or rows, and the next run is clean."""
    policy = Policy(dirs=[Dir(tmp_path, at="/db", mode="rw")], limits=Limits(wall=10, memory="128MiB"))
    made = "create table t(a primary key, b); create index i on t(b); create virtual table f using fts5(x);"
    made += "insert into t select value, hex(value) from generate_series(1, 300); insert into f select b from t;"
    attack(made, ("/db/a.db",), policy=policy).check()
    draw, whole = random.Random(seed), (tmp_path / "a.db").read_bytes()  # noqa: S311
    read = "pragma writable_schema = on; select * from t order by b; select * from f where f match 'a*'; "
    read += "pragma integrity_check; delete from t where a > 5; insert into f values('x'); vacuum;"
    for _ in range(12):
        bytes_ = bytearray(whole)
        for _ in range(draw.randrange(1, 40)):
            bytes_[draw.randrange(len(bytes_))] = draw.randrange(256)
        bytes_[:16] = whole[:16]
        (tmp_path / "a.db").write_bytes(bytes_)

        result = attack(read, ("/db/a.db",), policy=policy)

        assert result.outcome in {"exited", "limited", "trapped"}
    alive()


def test_forged_schema_calls_no_function_of_the_host() -> None:
    """A view of a database that came from elsewhere must not do what its reader may."""
    called: list[int] = []
    with isolated.Session("sqlite", functions={"pay": called.append}) as session:
        session.eval("create view v as select pay(100) as p; create table t(a)")
        session.eval("create trigger r after insert on t begin select pay(200); end")
        assert session.eval("select * from v").error is not None
        assert session.eval("insert into t values(1)").error is not None
        assert not called
        session.eval("select pay(1)")
        assert [1] == called
