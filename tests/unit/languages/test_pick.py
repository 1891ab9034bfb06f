"""Which language a program is in, and the text that is handed in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ringfence import LoadError, ProgramNotFound
from ringfence.languages._pick import MAX_SCRIPT_BYTES, pick, shebang

if TYPE_CHECKING:
    from pathlib import Path


def script(tmp_path: Path, name: str, text: str | bytes = "hello") -> str:
    """Write a script."""
    file = tmp_path / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(file)


@pytest.mark.parametrize(
    ("line", "interpreter"),
    [
        ("#!/usr/bin/python3", "python3"),
        ("#! /usr/bin/python3 -u", "python3"),
        ("#!/usr/bin/env python3", "python3"),
        ("#!/usr/bin/env -S python3 -u", "python3"),
        ("#!/usr/bin/env -Spython3 -u", "python3"),
        ("#!/usr/bin/env -u HOME -i NAME=value node\r", "node"),
        ("#!/opt/a-Sb/shout", "shout"),
        ("#!", None),
        ("#!/usr/bin/env", None),
        ("# no shebang", None),
        ("", None),
    ],
)
def test_first_line_names_its_interpreter(line: str, interpreter: str | None) -> None:
    """Directories, `env` and flags are left out."""
    assert interpreter == shebang(line.encode() + b"\nmore\n")


@pytest.mark.parametrize("name", ["a.shout", "A.SHOUT", "with space.shout"])
@pytest.mark.usefixtures("shout")
def test_script_is_picked_by_the_end_of_its_name(tmp_path: Path, name: str) -> None:
    """Its path is argument 1 as it was written, its text is read."""
    path = script(tmp_path, name)
    picked = pick(path)

    assert picked is not None
    assert ("shout", (path,), b"hello") == (picked.pack.language, picked.args, picked.source)


@pytest.mark.usefixtures("shout")
def test_script_is_picked_by_its_first_line(tmp_path: Path) -> None:
    """A name without an end says nothing, so the line does."""
    picked = pick(script(tmp_path, "tool", "#!/usr/bin/env -S shout --loud\nhello\n"))

    assert picked is not None
    assert "shout" == picked.pack.language


@pytest.mark.usefixtures("shout")
def test_language_that_is_said_wins(tmp_path: Path) -> None:
    """Whatever the name and the first line say."""
    picked = pick(script(tmp_path, "notes.txt", "#!/usr/bin/python3\n"), "shout")

    assert picked is not None
    assert "shout" == picked.pack.language


@pytest.mark.parametrize("name", ["tool.shout", "tool"])
@pytest.mark.usefixtures("shout")
def test_webassembly_is_webassembly_whatever_its_name(tmp_path: Path, name: str) -> None:
    """The first bytes win over a name."""
    assert pick(script(tmp_path, name, b"\0asm\1\0\0\0")) is None


@pytest.mark.usefixtures("shout")
def test_webassembly_is_no_script_even_where_it_is_said(tmp_path: Path) -> None:
    """A contradiction is told, not resolved."""
    with pytest.raises(LoadError, match="it begins as WebAssembly does, and is that, whatever it is called"):
        pick(script(tmp_path, "tool.shout", b"\0asm\1\0\0\0"), "shout")


@pytest.mark.usefixtures("shout")
def test_name_and_first_line_that_contradict_are_refused(tmp_path: Path) -> None:
    """Neither is guessed to be the right one."""
    path = script(tmp_path, "a.shout", "#!/usr/bin/env node\n")
    with pytest.raises(LoadError, match=r"its name ends in `.shout` and its first line asks for `node`") as raised:
        pick(path)

    assert "--language shout" in raised.value.fix
    picked = pick(path, "shout")
    assert picked is not None


def test_end_that_two_languages_claim_is_refused(shout: Path, tmp_path: Path) -> None:
    """Both are named."""
    other = shout.parent / "other"
    other.mkdir()
    (other / "shout.wat").write_bytes((shout / "shout.wat").read_bytes())
    text = (shout / "pack.toml").read_text(encoding="utf-8")
    (other / "pack.toml").write_text(text.replace('language = "shout"', 'language = "other"'), encoding="utf-8")
    metadata = shout.parent / "other-1.0.dist-info"
    metadata.mkdir()
    (metadata / "entry_points.txt").write_text("[ringfence.languages]\nother = other\n", encoding="utf-8")

    with pytest.raises(LoadError, match="other and shout both claim such scripts"):
        pick(script(tmp_path, "a.shout"))


def test_language_of_ours_that_is_missing_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script of a language that has a pack is never taken for a malformed program."""
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    for name, text in (("a.py", "print(1)"), ("tool", "#!/usr/bin/env python3\n")):
        with pytest.raises(LoadError, match="the language `python` is not installed") as raised:
            pick(script(tmp_path, name, text))
        assert "install it: `ringfence languages install python`" == raised.value.fix


@pytest.mark.usefixtures("shout")
def test_interpreter_that_nobody_knows_is_named(tmp_path: Path) -> None:
    """It is told apart from a program that is broken."""
    with pytest.raises(LoadError, match="its first line asks for `tclsh`, and no installed language is that"):
        pick(script(tmp_path, "tool", "#!/usr/bin/tclsh -w\n"))


@pytest.mark.usefixtures("shout")
def test_other_text_is_left_to_those_who_know_webassembly(tmp_path: Path) -> None:
    """It may be WebAssembly as text, and an error about it is theirs."""
    assert pick(script(tmp_path, "notes.txt")) is None
    assert pick(script(tmp_path, "tool.wat", "(module)")) is None
    assert pick(str(tmp_path / "no-such-file")) is None
    assert pick(str(tmp_path)) is None


@pytest.mark.usefixtures("shout")
def test_missing_script_is_no_such_program(tmp_path: Path) -> None:
    """Also where its language is known by its name."""
    for path, language in ((tmp_path / "no.shout", None), (tmp_path / "no", "shout"), (tmp_path / "x\0y", "shout")):
        with pytest.raises(ProgramNotFound, match="no such program"):
            pick(str(path), language)


@pytest.mark.usefixtures("shout")
def test_directory_and_pipe_are_no_scripts(tmp_path: Path) -> None:
    """A pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe.shout")

    with pytest.raises(LoadError, match="it is a directory"):
        pick(str(tmp_path), "shout")
    with pytest.raises(LoadError, match="it is not a regular file") as raised:
        pick(str(tmp_path / "pipe.shout"), "shout")
    assert "write `-`" in raised.value.fix


@pytest.mark.usefixtures("shout")
def test_script_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that allows it."""
    path = script(tmp_path, "a.shout")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root, who runs tests in containers, may read everything
    with pytest.raises(LoadError, match="you may not read it") as raised:
        pick(path)
    assert "chmod u+r" in raised.value.fix


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"a\nb\0c", "line 2 has a NUL byte: it is no text"),
        ("caf\xe9\n".encode("latin-1"), "line 1 has the byte 0xe9, and that is not UTF-8"),
        ("hello".encode("utf-16"), "it is text in UTF-16"),
        (b"x" * (MAX_SCRIPT_BYTES + 1), "it is longer than 16 MiB"),
    ],
    ids=["binary", "latin-1", "utf-16", "too large"],
)
@pytest.mark.usefixtures("shout")
def test_what_is_no_source_text_is_refused(tmp_path: Path, text: bytes, why: str) -> None:
    """The line is named, and what mends it."""
    with pytest.raises(LoadError) as raised:
        pick(script(tmp_path, "a.shout", text))

    assert why == raised.value.why


@pytest.mark.usefixtures("shout")
def test_text_that_says_its_own_encoding_is_handed_on(tmp_path: Path) -> None:
    """PEP 263: its language reads it."""
    text = "#!/usr/bin/shout\n# -*- coding: latin-1 -*-\ncaf\xe9\n".encode("latin-1")
    picked = pick(script(tmp_path, "a.shout", text))

    assert picked is not None
    assert text == picked.source


@pytest.mark.usefixtures("shout")
def test_name_that_begins_like_a_flag_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter never takes it for one."""
    monkeypatch.chdir(tmp_path)
    script(tmp_path, "-c.shout")
    picked = pick("-c.shout")

    assert picked is not None
    assert ("./-c.shout",) == picked.args
