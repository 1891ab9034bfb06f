"""Lua programs behave as under Lua's own command line: scripts, options, streams, files, modules, exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Policy, Sandbox, run

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("ringfence_language_lua", reason="the language pack is not installed")


@pytest.fixture(scope="module")
def lua() -> Sandbox:
    """Give the interpreter under the policy that grants nothing."""
    return Sandbox(language="lua")


def test_script_finds_its_arguments_variables_and_input(tmp_path: Path) -> None:
    """Where Lua has them; its first line may name an interpreter."""
    path = tmp_path / "program.lua"
    path.write_text(
        "#!/usr/bin/env lua\nprint(arg[0]:match('[^/]*$'), arg[1], #arg, ...)\n"
        "print(os.getenv('WORD'), os.getenv('HOME'))\nfor line in io.lines() do print(line:upper()) end",
        encoding="utf-8",
    )

    result = run(path, ["a", "b c"], policy=Policy(env={"WORD": "grün"}), input=b"one\ntwo")

    assert "program.lua\ta\t2\ta\tb c\ngrün\tnil\nONE\nTWO\n" == result.check().text


def test_code_has_arguments(lua: Sandbox) -> None:
    """As `arg` and `...`."""
    assert "a\tb\ta\tb\n" == lua.run(["a", "b"], code="print(arg[1], arg[2], ...)").check().text


@pytest.mark.parametrize(
    ("line", "input", "told"),
    [
        (["-"], b"print('from', ...)", "from\n"),
        (["-", "a"], b"print('from', ...)", "from\ta\n"),
        ([], b"print('alone')", "alone\n"),
        (["-e", "x = 1", "-e", "print(x)"], b"", "1\n"),
        (["-l", "string", "-e", "print(string.rep('a', 2))"], b"", "aa\n"),
        (["-v"], b"", "Lua 5.4.7  Copyright (C) 1994-2024 Lua.org, PUC-Rio\n"),
    ],
)
def test_command_line_is_that_of_lua(lua: Sandbox, line: list[str], input: bytes, told: str) -> None:
    """It is the code of `lua.c`."""
    assert told == lua.run(line, input=input).check().text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 0),
        ("os.exit()", 0),
        ("os.exit(7); print('no')", 7),
        ("os.exit(false)", 1),
        ("os.exit(-1)", 255),
        ("pcall(os.exit, 3); print('no')", 3),
        ("coroutine.wrap(function() os.exit(4) end)(); print('no')", 4),
        ("table.sort({3, 1, 2}, function() os.exit(5) end); print('no')", 5),
        ("local held <close> = setmetatable({}, {__close = function() print('no') end}); os.exit(6)", 6),
        ("setmetatable({}, {__gc = function() os.exit(8) end})", 8),
        ("error('one is for errors')", 1),
        ("for", 1),
    ],
)
def test_program_exits_with_its_code(lua: Sandbox, text: str, code: int) -> None:
    """An exit ends the program where it stands, and nothing catches it."""
    result = lua.run(code=text)

    assert ("exited", code, b"") == (result.outcome, result.exit_code, result.stdout)


def test_exit_that_closes_the_state_runs_what_closes(lua: Sandbox) -> None:
    """Variables that are to be closed, and finalizers; those run at the end of a program, too."""
    text = """
        kept = setmetatable({}, {__gc = function() print('finalized') end})
        local held <close> = setmetatable({}, {__close = function() print('closed') end})
    """

    assert "closed\nfinalized\n" == lua.run(code=text + "os.exit(0, true)").check().text
    assert "closed\nfinalized\n" == lua.run(code=text).check().text


def test_uncaught_error_is_told_as_lua_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its traceback, on stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.lua").write_text("local function f() nothing.field = 1 end\nf()", encoding="utf-8")

    assert run("broken.lua").stderr.decode() == (
        "lua: broken.lua:1: attempt to index a nil value (global 'nothing')\nstack traceback:\n"
        "\tbroken.lua:1: in local 'f'\n\tbroken.lua:2: in main chunk\n\t[C]: in ?\n"
    )


def test_files_are_reached_under_a_grant(tmp_path: Path) -> None:
    """Read, written, appended, listed by lines, removed, renamed, and made in `/tmp`."""
    (tmp_path / "in.txt").write_text("one\ntwo\n", encoding="utf-8")
    text = """
        local out = assert(io.open('/data/out.txt', 'w'))
        for line in io.lines('/data/in.txt') do out:write(line:upper(), ';') end
        assert(os.rename('/data/in.txt', '/data/was.txt') and os.remove('/data/was.txt'))
        local name = os.tmpname(); assert(io.open(name, 'a')):write('kept'):close()
        local held = io.tmpfile(); held:write('held'); held:seek('set')
        print(io.open(name):read('a'), held:read('a'))
    """

    result = Sandbox(language="lua", policy=Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")], tmp=True)).run(
        code=text
    )

    assert "kept\theld\n" == result.check().text
    assert {"out.txt": "ONE;TWO;"} == {file.name: file.read_text() for file in tmp_path.iterdir()}


def test_modules_are_required_from_what_is_granted(tmp_path: Path) -> None:
    """Beside where the script runs, and by `LUA_PATH`."""
    (tmp_path / "shop.lua").write_text("return {price = 42, name = ...}", encoding="utf-8")
    text = "local shop = require 'shop'; print(shop.price, shop.name)"

    beside = Policy(dirs=[Dir(tmp_path, at="/")])
    named = Policy(dirs=[Dir(tmp_path, at="/lib")], env={"LUA_PATH": "/lib/?.lua;;"})

    assert "42\tshop\n" == Sandbox(language="lua", policy=beside).run(code=text).check().text
    assert "42\tshop\n" == Sandbox(language="lua", policy=named).run(code=text).check().text
    assert b"module 'shop' not found" in Sandbox(language="lua").run(code=text).stderr


def test_every_run_is_fresh(lua: Sandbox) -> None:
    """Random numbers of its own, clocks that move on, and nothing of the run before."""
    text = "print(math.random(1 << 53), left); left = 1; local a = os.clock(); while os.clock() == a do end"

    runs = [lua.run(code=text).check().text for _ in range(5)]

    assert 5 == len(set(runs))
    assert all(run.endswith("\tnil\n") for run in runs)
    assert lua.run(code="print(os.time() > 1760000000 and os.clock() < 5)").check().text == "true\n"


def test_question_is_seen_before_its_answer_is_read(lua: Sandbox) -> None:
    """Output that waits is given out before input is waited for."""
    seen: list[bytes] = []

    lua.run(code="io.write('name? '); io.read(); os.exit(0)", input=b"x\n", stdout=seen.append)

    assert b"name? " == b"".join(seen)
