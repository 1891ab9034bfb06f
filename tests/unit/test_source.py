"""What a sandbox runs: exactly one source, and text is never guessed to be one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import ringfence
from ringfence import LoadError, Policy, Program, ProgramNotFound, Sandbox
from ringfence._source import runnable_of
from ringfence.languages import find

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def script(shout: Path, tmp_path: Path) -> Path:
    """Write a script in the example's language."""
    del shout
    file = tmp_path / "hello.shout"
    file.write_text("hello, world\n", encoding="utf-8")
    return file


def test_script_runs_like_a_program(script: Path) -> None:
    """By its path, as text or as an object."""
    assert "HELLO, WORLD\n" == ringfence.run(script).check().text
    assert "HELLO, WORLD\n" == ringfence.run(str(script), ["a", "b"]).check().text


@pytest.mark.usefixtures("shout")
def test_code_runs_in_its_language() -> None:
    """What follows are its arguments."""
    assert "HI" == ringfence.run(code="hi", language="shout").check().text
    assert "HI" == ringfence.run(args=["x"], code="hi", language="shout").check().text
    assert "HI" == asyncio.run(ringfence.arun(code="hi", language="shout")).check().text


@pytest.mark.usefixtures("shout")
def test_sandbox_of_a_language_runs_any_number_of_sources() -> None:
    """It is the interpreter: with its own arguments, with code, or with source on standard input."""
    sandbox = Sandbox(language="shout")

    assert ["ONE", "TWO"] == [sandbox.run(code=code).check().text for code in ("one", "two")]
    assert "THREE" == sandbox.run(["-c", "three"]).check().text
    assert "FOUR" == sandbox.run(input=b"four").check().text
    assert "FIVE" == asyncio.run(sandbox.arun(code="five")).check().text
    with sandbox.start(code="six") as process:
        assert process.stdout is not None
        assert b"SIX" == process.stdout.read()


@pytest.mark.usefixtures("shout")
@pytest.mark.parametrize("isolation", ["wasm", "process", "worker"])
def test_source_reaches_every_isolation(script: Path, isolation: Any) -> None:
    """A child process gets it as this one does."""
    assert "HELLO, WORLD\n" == ringfence.run(script, isolation=isolation).check().text
    assert "HI" == ringfence.run(code="hi", language="shout", isolation=isolation).check().text


def test_script_is_read_once(script: Path) -> None:
    """What a sandbox was made of is what it runs, whatever becomes of the file."""
    sandbox = Sandbox(script)
    script.write_text("something else", encoding="utf-8")

    assert ["HELLO, WORLD\n"] * 2 == [sandbox.run().check().text for _ in range(2)]


def test_script_needs_no_grant_and_gives_none(script: Path) -> None:
    """Its text is handed in: the guest sees no file, not even this one."""
    result = ringfence.run(script, policy=Policy())

    assert ((), "HELLO, WORLD\n") == (tuple(result.denials), result.text)


@pytest.mark.usefixtures("shout")
def test_text_is_a_path_and_never_code() -> None:
    """Even where it could not be a path."""
    with pytest.raises(ProgramNotFound):
        ringfence.run("print(1)")
    with pytest.raises(ProgramNotFound):
        ringfence.run("print(1)", language="shout")


@pytest.mark.usefixtures("shout")
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (Sandbox, TypeError, "nothing to run"),
        (lambda: Sandbox("a.shout", code="x", language="shout"), ValueError, "program and code were both given"),
        (lambda: Sandbox(code="x"), ValueError, "code needs its language: it is never guessed"),
        (lambda: Sandbox(code=b"x", language="shout"), TypeError, "code is source text, and this is a bytes"),  # type: ignore[arg-type]
        (lambda: Sandbox(b"\0asm", language="shout"), ValueError, "together with a language"),
        (lambda: Sandbox(code="x", language="shout").run(code="y"), ValueError, "has its source already"),
        (lambda: Sandbox(language="shout", imports={"env": {"f": print}}), ValueError, "imports are for WebAssembly"),
    ],
    ids=["none", "both", "no language", "bytes", "program", "twice", "imports"],
)
def test_anything_but_one_source_is_refused(call: Callable[[], object], error: type[Exception], message: str) -> None:
    """Each with what to write instead."""
    with pytest.raises(error, match=message) as raised:
        call()
    assert "\nhint: " in str(raised.value)


def test_program_takes_no_code(guests: Path) -> None:
    """A WebAssembly program is no interpreter of ours."""
    sandbox = Sandbox(guests / "hello.wat")

    for run in (sandbox.run, sandbox.start):
        with pytest.raises(ValueError, match="this sandbox runs a WebAssembly program"):
            run(code="x")
    with pytest.raises(ValueError, match="this sandbox runs a WebAssembly program"):
        asyncio.run(sandbox.arun(code="x"))


@pytest.mark.usefixtures("shout")
@pytest.mark.parametrize(
    ("code", "why"),
    [("a\nbc\0d", "there is a NUL character in it, after `bc`"), ("x" * (17 << 20), "it is longer than 16 MiB")],
    ids=["NUL", "too long"],
)
def test_code_that_cannot_be_handed_over_is_refused(code: str, why: str) -> None:
    """With its reason, before anything runs."""
    with pytest.raises(LoadError) as raised:
        ringfence.run(code=code, language="shout")
    assert why == raised.value.why


@pytest.mark.usefixtures("shout")
def test_code_of_a_megabyte_is_handed_over() -> None:
    """It is an argument, and those are not small."""
    result = ringfence.run(code="x" * 300_000, language="shout")

    assert (0, 300_000) == (result.exit_code, len(result.stdout))


def test_language_without_code_takes_scripts_only(shout: Path) -> None:
    """A pack says how code is given, or that it is not."""
    text = (shout / "pack.toml").read_text(encoding="utf-8")
    (shout / "pack.toml").write_text(text.replace('code = ["-c"]\n', ""), encoding="utf-8")

    with pytest.raises(LoadError, match="it takes scripts only"):
        ringfence.run(code="x", language="shout")


def test_pack_with_other_bytes_is_never_run(shout: Path) -> None:
    """The digest is of the very bytes that are compiled: what has another is refused before that."""
    module = (shout / "shout.wat").read_text(encoding="utf-8")
    (shout / "shout.wat").write_text(module.replace("SHOUT:", "never compiled:"), encoding="utf-8")
    text = (shout / "pack.toml").read_text(encoding="utf-8")
    digest = find("shout").sha256
    (shout / "pack.toml").write_text(text.replace(digest, "1" * 64), encoding="utf-8")

    for isolation in ("wasm", "worker"):
        with pytest.raises(LoadError, match=r"its bytes have the digest .*, and not 1111111111111111") as raised:
            ringfence.run(code="hi", language="shout", isolation=isolation)
        assert "`ringfence languages check` names the command" in raised.value.fix


def test_compiled_pack_is_what_its_digest_says_whatever_became_of_its_file(shout: Path) -> None:
    """Code is kept under the digest of what it was compiled from: other bytes in the file's place change nothing."""
    assert "HI" == ringfence.run(code="hi", language="shout").check().text
    (shout / "shout.wat").write_text("(module)", encoding="utf-8")

    assert "HI" == ringfence.run(code="hi", language="shout").check().text


def test_programs_are_what_they_were(guests: Path) -> None:
    """A path, bytes and a `Program` give a program that has no language."""
    file = guests / "hello.wat"
    for given in (file, str(file), file.read_bytes(), Program.from_file(file)):
        runnable = runnable_of(given, None, None)
        assert (None, (), None, False) == (runnable.pack, runnable.args, runnable.source, runnable.bare)
