"""Compilers that are guests: what they are told, and what is made of what they make. The one here is written in Lua."""

from __future__ import annotations

import os
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

import ringfence
from ringfence import Dir, Limits, LoadError, Policy, PolicyError
from ringfence._compiled import _Compiling, _Place, _section
from ringfence._source import runnable_of

if TYPE_CHECKING:
    from pathlib import Path

    from ringfence._source import Runnable

pytest.importorskip("ringfence_language_lua", reason="the language pack is not installed")

COMPILE = """
local words, folder = {...}
for at, word in ipairs(words) do if word == '-working-directory' then folder = words[at + 1] end end
local text = assert(io.open(folder .. '/' .. words[#words])):read('a')
if text:find('^refuse') then io.stderr:write(words[#words], ': ', text) os.exit(1) end
while text:find('^loop') do end
if text:find('^eat') then local all = {} while true do all[#all + 1] = ('x'):rep(1 << 20) .. #all end end
if text:find('^warn') then io.stderr:write('careful') text = text:sub(5) end
if not text:find('^nothing') then io.open('/made/object', 'w'):write(words[1] == '-O0' and 'forged' or text) end
""".replace("\n", " ")
LINK = """
local text = io.open('/made/object'):read('a')
text = text:gsub('//.-\\\\n', ''):gsub('%s', '')
text = text:gsub('..', function(pair) return string.char(tonumber(pair, 16) or 0) end)
io.open('/made/program', 'w'):write(text)
""".replace("\n", " ").replace("\\\\", "\\")
INCLUDE = "io.write('7f')"

# It exits with 7.
PROGRAM = (
    b"\0asm\1\0\0\0\1\x08\2\x60\1\x7f\0\x60\0\0\2\x24\1\x16wasi_snapshot_preview1\x09proc_exit\0\0"
    b"\3\2\1\1\5\3\1\0\1\7\x13\2\6memory\2\0\6_start\0\1\x0a\x08\1\6\0\x41\7\x10\0\x0b"
)  # fmt: skip


@pytest.fixture(autouse=True)
def hexadecimal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a language whose texts are programs in hexadecimal digits; give the folder of its pack."""
    import tomllib

    lua = files("ringfence_language_lua")
    told = tomllib.loads((lua / "pack.toml").read_text(encoding="utf-8"))
    package = tmp_path / "site" / "ringfence_language_hexadecimal"
    package.mkdir(parents=True)
    (package / "compiler.wasm").write_bytes((lua / told["wasm"]).read_bytes())
    flag = told["options"]["code"][0]
    commands = {
        "include": [flag, INCLUDE],
        "compile": [flag, COMPILE],
        "common": [],
        "link": [flag, LINK],
        "flags": ["-O"],
        "libraries": ["-l"],
    }
    lines = [f"{name} = {[*map(str, command)]!r}" for name, command in commands.items()]
    text = f"""
        name = "hexadecimal"
        title = "Hexadecimal"
        version = "1.0.0"
        language = "hexadecimal"
        language-version = "1"
        abi = 1
        kind = "compiler"
        wasm = "compiler.wasm"
        sha256 = "{told["sha256"]}"
        suffixes = [".hex"]
        licence = "MIT"
        argv0 = "cc"
        [compiler]
    """
    (package / "pack.toml").write_text(text + "\n".join(toml(line) for line in lines), encoding="utf-8")
    metadata = tmp_path / "site" / "ringfence_language_hexadecimal-1.0.0.dist-info"
    metadata.mkdir()
    entry = "[ringfence.languages]\nhexadecimal = ringfence_language_hexadecimal\n"
    (metadata / "entry_points.txt").write_text(entry, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    return package


def toml(line: str) -> str:
    """Write a list of Python's as TOML has it."""
    import json

    name, _, value = line.partition(" = ")
    return f"{name} = {json.dumps(eval(value))}"  # noqa: S307 - a list that we wrote


def compiled(text: str, policy: Policy | None = None, *flags: str) -> Runnable:
    """Compile a text."""
    return _Compiling(runnable_of(None, text, "hexadecimal"), policy or Policy(), flags=flags).runnable()


def test_text_becomes_the_program_that_its_compiler_makes() -> None:
    """By every way to hand it in; a line of `#!` is left out."""
    assert 7 == ringfence.run(code=PROGRAM.hex(), language="hexadecimal").exit_code
    with open("a.hex", "w", encoding="utf-8") as script:  # noqa: PTH123
        script.write(f"#!/usr/bin/hexadecimal\n{PROGRAM.hex()}")
    assert 7 == ringfence.run("a.hex").exit_code
    assert ("a", 7) == (ringfence.Sandbox("a.hex").program.name, ringfence.Sandbox("a.hex").run(["x"]).exit_code)


def test_what_was_made_is_kept_with_the_compilers_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time no compiler runs; for another text, name or flag it does."""
    text = f"warn{PROGRAM.hex()}"
    first = compiled(text)

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(_Compiling, "_run", never)
    again = compiled(text)
    assert ("careful", "careful") == (first.words, again.words)
    assert first.program.digest == again.program.digest
    for other, flags in ((text + " ", ()), (text, ("-O0",)), (text, ("-lm",))):
        with pytest.raises(AssertionError):
            compiled(other, None, *flags)


def test_text_that_is_refused_is_a_program_that_says_why() -> None:
    """In its compiler's words, whatever they are, and exits with 1."""
    for text in ("refuse ü\n", "refuse " + "x" * 200_000, "refuse \x1b[31m"):
        result = ringfence.run(args=["an argument"], code=text, language="hexadecimal")
        assert ("exited", 1, b"") == (result.outcome, result.exit_code, result.stdout)
        assert f"<code>: {text}" == result.stderr.decode()
    assert b"said nothing" not in ringfence.run(code="refuse", language="hexadecimal").stderr


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("00", "what it made is no program"),
        ("6e6f", "what it made is no program"),
        ("nothing", "it made no object"),
        ("loop", "it takes longer than the limit `compile` of 1 s"),
    ],
)
def test_compiler_that_fails_is_an_error_of_the_text(text: str, why: str) -> None:
    """It forges what is no program, makes nothing, or does not end."""
    with pytest.raises(LoadError, match=why):
        compiled(text, Policy(limits=Limits(compile=1)) if text == "loop" else None)


def test_flags_are_those_that_the_pack_takes() -> None:
    """Each with its value; the others are refused by name."""
    with pytest.raises(LoadError, match="no program"):
        compiled(PROGRAM.hex(), None, "-O0", "-O", "-lm")
    for flag in ("", "-x", "-l", "o", "-O\0"):
        with pytest.raises(PolicyError, match="is not given"):
            compiled(PROGRAM.hex(), None, flag)


@pytest.mark.parametrize(
    ("path", "grant", "granted", "folder", "name"),
    [
        ("a.c", None, {}, "/source", "a.c"),
        ("sub/a.c", None, {}, "/source", "sub/a.c"),
        ("sub/a.c", ".", {"/source": "."}, "/source", "sub/a.c"),
        ("sub/a.c", "..", {"/source": ".."}, "/source/desk", "sub/a.c"),
        ("sub/a.c", "sub", {"/source/sub": "sub"}, "/source", "sub/a.c"),
        ("sub/a.c", "sub/inc", {"/source/sub/inc": "sub/inc"}, "/source", "sub/a.c"),
        ("sub/a.c", "other", {}, "/source", "sub/a.c"),
        ("../desk/a.c", None, {}, "/source", "a.c"),
        ("link/a.c", "sub", {"/source": "sub"}, "/source", "a.c"),
        ("<code>", "sub", {"/source/sub": "sub"}, "/source", "<code>"),
    ],
)
def test_compiler_sees_what_is_granted_of_the_scripts_folder(
    path: str, grant: str | None, granted: dict[str, str], folder: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And finds the source by the name that was written, as far as that leads down from here."""
    for made in ("desk/sub/inc", "desk/other"):
        os.makedirs(made)  # noqa: PTH103
    os.symlink("sub", "desk/link")  # noqa: PTH211
    monkeypatch.chdir("desk")
    place = _Place(path, Policy(dirs=[] if grant is None else [Dir(grant, at="/x", mode="rw")]))

    assert (folder, name) == (place.folder, place.name)
    assert {at: os.path.realpath(host) for at, host in granted.items()} == {
        str(entry.at): entry.host for entry in place.granted
    }
    assert all(entry.mode == "ro" for entry in place.granted)


@pytest.mark.parametrize(
    ("path", "beside", "name"),
    [
        ("a.c", "b.c", "b.c"),
        ("sub/a.c", "sub/b.c", "sub/b.c"),
        ("sub/a.c", "./other/../b.c", "b.c"),
        ("../desk/a.c", "sub/b.c", "sub/b.c"),
        ("sub/a.c", "../b.c", "b.c"),
        ("a.c", "link/b.c", "sub/b.c"),
    ],
)
def test_other_sources_lie_where_they_do_on_the_host(
    path: str, beside: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the folder that the compiler is in; what lies above it has its last name only."""
    for made in ("desk/sub", "desk/other"):
        os.makedirs(made)  # noqa: PTH103
    os.symlink("sub", "desk/link")  # noqa: PTH211
    monkeypatch.chdir("desk")

    assert name == _Place(path, Policy()).beside(beside)


def test_files_of_the_compiler_are_in_the_first_section_of_its_module(tmp_path: Path) -> None:
    """Where there is none, it has none; what is no module is left alone."""
    file = tmp_path / "c.wasm"
    magic, name = b"\0asm\1\0\0\0", b"\x0eringfence.root"
    for held, found in (
        (magic + b"\0\x12" + name + b"zip" + b"\1\0", b"zip"),
        (magic + b"\0\x12" + b"\x0eringfence.roof" + b"zip", None),
        (magic + b"\1\0", None),
        (magic, None),
        (b"", None),
        (magic + b"\0\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + name, None),
    ):
        file.write_bytes(held)
        assert found == _section(str(file))
