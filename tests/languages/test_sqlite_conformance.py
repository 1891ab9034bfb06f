"""SQLite's own `speedtest1` judges the pack: it writes SQL, and the SQLite of this machine runs it beside ours."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from typing import TYPE_CHECKING

import pytest
from packs.building import cache

from ringfence import Limits, Policy, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("ringfence_language_sqlite", reason="the language pack is not installed")

# A hundredth of the work that its authors measure with.
SIZE = "1"


@pytest.fixture(scope="module")
def speedtest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile it for this machine: the build of the pack keeps its source."""
    kept = sorted(cache.directory().glob("sqlite-library-*/speedtest1.c"), key=lambda file: file.stat().st_mtime)
    if not kept:
        pytest.skip("NOT TESTED: the pack was not built on this machine (`make packs`)")
    program = tmp_path_factory.mktemp("speedtest") / "speedtest1"
    flags = ["-w", "-O1", f"-I{kept[-1].parent}", "-l:libsqlite3.so.0", "-o", str(program)]
    subprocess.run(["cc", str(kept[-1]), *flags], check=True)
    return program


def work(speedtest: Path, name: str, file: Path) -> str:
    """Give the SQL of one of its sets."""
    command = [str(speedtest), "--testset", name, "--size", SIZE, "--script", str(file), ":memory:"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return file.read_text(encoding="utf-8")


def shown(value: object) -> str:
    """Write a value as the shell does."""
    if isinstance(value, float):
        text = f"{value:.15g}"
        return text if set(text) & set(".en") else f"{text}.0"
    return "" if value is None else str(value)


def judged(sql: str) -> list[str]:
    """Give the rows of this machine's SQLite."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    rows, statement = [], ""
    for piece in re.split(r"(?<=;)", sql):
        statement += piece
        if statement.strip() == ";":
            statement = ""
        elif sqlite3.complete_statement(statement):
            rows += ["|".join(map(shown, row)) for row in database.execute(statement)]
            statement = ""
    database.close()
    return rows


# Not `fp`, whose SQL lacks a semicolon, nor `rtree`, which writes none.
@pytest.mark.parametrize("name", ["main", "cte", "orm"])
def test_sqlite_answers_its_own_benchmark_as_this_machines(speedtest: Path, tmp_path: Path, name: str) -> None:
    """Thousands of statements, and every row of what they select."""
    sql = work(speedtest, name, tmp_path / "work.sql")
    sandbox = Sandbox(language="sqlite", policy=Policy(limits=Limits(wall=100, output="64MiB")))
    result = sandbox.run([":memory:"], input=sql.encode())

    assert (0, b"") == (result.exit_code, result.stderr)
    wanted = judged(sql)
    assert wanted
    assert "\n".join(wanted) + "\n" == result.stdout.decode()
