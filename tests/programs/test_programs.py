"""Programs that strangers wrote and published do useful work, and only what they were granted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Limits, Policy, Program, Sandbox, run

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command
    from programs.conftest import Fetched

TABLE = "region,units\nnorth,12\nsouth,7\nnorth,3\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Give a user's file."""
    file = tmp_path / "sales.csv"
    file.write_text(TABLE)
    return file


# How each language reads a file, writes one, and looks at a variable; each prints what it got.
SCRIPTS = {
    "quickjs": (
        ["--std", "-e"],
        "print((std.loadFile('{path}') ?? 'refused').length)",
        "print(std.open('{path}', 'w') ? 'written' : 'refused')",
        "print(std.getenv('{name}') ?? 'unset')",
    ),
    "quickjs-component": (
        ["--std", "-e"],
        "print((std.loadFile('{path}') ?? 'refused').length)",
        "print(std.open('{path}', 'w') ? 'written' : 'refused')",
        "print(std.getenv('{name}') ?? 'unset')",
    ),
    "python": (
        ["-c"],
        "import os.path\nprint(len(open('{path}').read()) if os.path.exists('{path}') else 7)",
        "try: open('{path}', 'w'); print('written')\nexcept OSError: print('refused')",
        "import os\nprint(os.environ.get('{name}', 'unset'))",
    ),
    "ruby": (
        ["-e"],
        "puts(File.exist?('{path}') ? File.read('{path}').length : 7)",
        "begin; File.open('{path}', 'w'); puts 'written'; rescue SystemCallError; puts 'refused'; end",
        "puts ENV.fetch('{name}', 'unset')",
    ),
}
LANGUAGES = list(SCRIPTS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_reads_what_was_granted(program: Fetched, table: Path, language: str) -> None:
    """A file granted read-only is read whole."""
    flags, read, _, _ = SCRIPTS[language]

    result = run(
        program(language), [*flags, read.format(path="/sales.csv")], policy=Policy(dirs=[Dir(table, at="/sales.csv")])
    )

    assert ("exited", 0, f"{len(TABLE)}\n") == (result.outcome, result.exit_code, result.text)
    assert () == result.denials or "sales" not in repr(result.denials)


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_is_refused_a_file_it_was_not_granted(program: Fetched, table: Path, language: str) -> None:
    """`/etc/passwd` is not there, and the refusal is counted by its name."""
    flags, read, _, _ = SCRIPTS[language]

    result = run(
        program(language), [*flags, read.format(path="/etc/passwd")], policy=Policy(dirs=[Dir(table, at="/sales.csv")])
    )

    assert "7\n" == result.text
    assert ("read", "/etc/passwd") in {(denial.kind, denial.what) for denial in result.denials}


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_is_refused_a_write_to_what_it_may_read(program: Fetched, table: Path, language: str) -> None:
    """The language sees an ordinary error, the file stays as it was, and the refusal is counted."""
    flags, _, write, _ = SCRIPTS[language]

    result = run(
        program(language), [*flags, write.format(path="/sales.csv")], policy=Policy(dirs=[Dir(table, at="/sales.csv")])
    )

    assert "refused\n" == result.text
    assert TABLE == table.read_text()
    assert ("write", "/sales.csv") in {(denial.kind, denial.what) for denial in result.denials}


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_writes_where_that_was_granted(program: Fetched, tmp_path: Path, language: str) -> None:
    """Granted `rw`, the same line makes a file on the host."""
    flags, _, write, _ = SCRIPTS[language]

    result = run(
        program(language),
        [*flags, write.format(path="/out/new.txt")],
        policy=Policy(dirs=[Dir(tmp_path, at="/out", mode="rw")]),
    )

    assert "written\n" == result.text
    assert (tmp_path / "new.txt").exists()


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_sees_the_variables_it_was_given(
    program: Fetched, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours are not there; one that was set, or handed on by its name, is."""
    flags, _, _, variable = SCRIPTS[language]
    monkeypatch.setenv("API_TOKEN", "s3cr3t")
    sandbox = Sandbox(program(language))
    granted = Sandbox(program(language), policy=Policy(inherit_env=["API_TOKEN"], env={"OTHER": "1"}))
    script = [*flags, variable.format(name="API_TOKEN")]

    assert "unset\n" == sandbox.run(script).text
    assert "s3cr3t\n" == granted.run(script).text


HOGS = {
    "quickjs": ("for (;;);", "const hoard = []; for (;;) hoard.push(new Uint8Array(1 << 20))", "for (;;) print('on')"),
    "quickjs-component": (
        "for (;;);",
        "const hoard = []; for (;;) hoard.push(new Uint8Array(1 << 20))",
        "for (;;) print('on')",
    ),
    "python": (
        "while True: pass",
        "hoard = []\nwhile True: hoard.append(bytearray(1 << 20))",
        "while True: print('on')",
    ),
    "ruby": ("loop {}", "hoard = []; loop { hoard << 'x' * (1 << 20) }", "loop { puts 'on' }"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_is_stopped_at_each_limit(program: Fetched, language: str) -> None:
    """A loop, a hoard and a flood end as limited, each by its name; then the sandbox works as before."""
    flags, _, _, variable = SCRIPTS[language]
    limits = Limits(wall="20s", memory="128MiB", output="64KiB")
    sandbox = Sandbox(program(language), policy=Policy(limits=limits))
    loop, hoard, flood = HOGS[language]

    looped = sandbox.run([*flags, loop], limits=Limits(wall="1s"))
    hoarded = sandbox.run([*flags, hoard])
    flooded = sandbox.run([*flags, flood])

    assert [("limited", "wall"), ("limited", "memory"), ("limited", "output")] == [
        (result.outcome, result.limit) for result in (looped, hoarded, flooded)
    ]
    assert 64 * 1024 == flooded.usage.output_bytes
    assert sandbox.run([*flags, variable.format(name="X")]).ok


def test_sqlite_queries_a_file_and_keeps_a_database(program: Fetched, tmp_path: Path, table: Path) -> None:
    """A `wasi_unstable` program: it imports the user's table, and writes a database where it may."""
    (tmp_path / "db").mkdir()
    sandbox = Sandbox(
        program("sqlite"), policy=Policy(dirs=[Dir(table, at="/sales.csv"), Dir(tmp_path / "db", at="/db", mode="rw")])
    )
    words = ["-batch", "-cmd", ".mode csv", "-cmd", ".import /sales.csv sales", "/db/sales.db"]
    query = "select region, sum(units) from sales group by region"

    first = sandbox.run([*words, query])
    second = sandbox.run(["-batch", "/db/sales.db", query])

    assert ["north,15", "south,7"] == first.text.split()
    assert ["north|15", "south|7"] == second.text.split()
    assert (tmp_path / "db" / "sales.db").read_bytes().startswith(b"SQLite format 3")
    assert "wasi_unstable" in {entry.module for entry in Program.from_file(program("sqlite")).imports}


def test_php_runs_a_script(program: Fetched, tmp_path: Path, table: Path) -> None:
    """PHP reads its script and the user's file, and is refused the host's."""
    (tmp_path / "page.php").write_text(
        "<?php echo count(file('/sales.csv')), ' ', var_export(@file_get_contents('/etc/passwd'), true), \"\\n\";"
    )
    policy = Policy(dirs=[Dir(tmp_path / "page.php", at="/page.php"), Dir(table, at="/sales.csv")])

    result = run(program("php"), ["-q", "/page.php"], policy=policy)

    assert "4 false\n" == result.text


def test_python_has_its_standard_library(program: Fetched) -> None:
    """What people use Python for works: JSON, regular expressions, decimals, dates, an exit code, input."""
    script = (
        "import sys, json, re, decimal, datetime, hashlib\n"
        "data = json.load(sys.stdin)\n"
        "print(sum(decimal.Decimal(n) for n in data), re.sub('a+', 'b', 'caat'), hashlib.sha256(b'').hexdigest()[:8])\n"
        "sys.exit(3)"
    )

    result = run(program("python"), ["-c", script], input=json.dumps(["0.1", "0.2"]).encode())

    assert ("exited", 3, "0.3 cbt e3b0c442\n") == (result.outcome, result.exit_code, result.text)


def test_module_and_component_are_told_apart(program: Fetched, ringfence: Command) -> None:
    """The same interpreter as a WASI 0.1 module and as a WASI 0.2 component, detected from the bytes."""
    core, component = (Program.from_file(program(name)) for name in ("quickjs", "quickjs-component"))

    assert ("module", "0.1") == (core.kind, core.wasi)
    assert ("component", "0.2") == (component.kind, component.wasi)
    # WASI 0.2 of this adapter knows two ways to exit, well and not well.
    for name, code in (("quickjs", 5), ("quickjs-component", 1)):
        ended = ringfence("run", program(name), "--std", "-e", "print(6 * 7); std.exit(5)")
        assert (code, "42\n") == (ended.exit_code, ended.stdout)


def test_pipeline_streams_through_the_command(program: Fetched, ringfence: Command) -> None:
    """Input, output and the exit code pass through `ringfence run`, a hundred thousand lines of them."""
    lines = "".join(f"{n}\n" for n in range(100_000)).encode()
    script = "let sum = 0, line; while ((line = std.in.getline()) !== null) sum += Number(line); print(sum)"

    ended = ringfence("run", program("quickjs"), "--std", "-e", script, input=lines)

    assert (0, f"{sum(range(100_000))}\n") == (ended.exit_code, ended.stdout)
