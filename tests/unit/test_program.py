"""Programs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from ringfence import LoadError, Program, ProgramNotFound
from ringfence._program import to_program

if TYPE_CHECKING:
    from pathlib import Path


def test_program_tells_what_it_is(guests: Path) -> None:
    """Kind, level, name and digest are read from the bytes."""
    program = Program.from_file(guests / "hello.wat")

    assert ("module", "0.1", "hello.wat") == (program.kind, program.wasi, program.name)
    assert (64, program.digest) == (len(program.digest), program.digest.lower())
    assert 0 < program.size


def test_program_lists_imports_and_exports(guests: Path) -> None:
    """What it wants and offers is known before it runs."""
    program = Program.from_file(guests / "hello.wat")

    [wanted] = program.imports
    assert ("wasi_snapshot_preview1", "fd_write", True) == (wanted.module, wanted.name, wanted.known)
    assert {"memory", "_start"} == {export.name for export in program.exports}
    assert all(export.type for export in program.exports)


def test_program_is_known_by_its_bytes_not_its_name(guests: Path, tmp_path: Path) -> None:
    """A module is a module under any name."""
    disguised = tmp_path / "picture.png"
    disguised.write_bytes((guests / "hello.wat").read_bytes())

    assert "module" == Program.from_file(disguised).kind


def test_bytes_are_content_and_text_is_a_path(guests: Path) -> None:
    """`bytes` is the program itself; `str` and paths name a file."""
    file = guests / "hello.wat"
    program = Program.from_file(file)

    digests = {to_program(form).digest for form in (file, str(file), file.read_bytes(), program)}

    assert {program.digest} == digests
    assert program is to_program(program)


def test_digest_is_of_the_bytes() -> None:
    """The digest is what `sha256sum` prints of the binary."""
    empty_module = b"\0asm\1\0\0\0"

    assert hashlib.sha256(empty_module).hexdigest() == Program.from_bytes(empty_module).digest


@pytest.mark.parametrize("content", [b"", b"\0asm", b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01", b"hello"])
def test_other_files_are_refused_with_their_reason(tmp_path: Path, content: bytes) -> None:
    """Empty, cut off, scripts, native code, text: each is a load error of three parts that names the file."""
    file = tmp_path / "tool.wasm"
    file.write_bytes(content)

    with pytest.raises(LoadError, match=r"tool\.wasm") as refused:
        Program.from_file(file)

    assert all((refused.value.what, refused.value.why, refused.value.fix))


def test_missing_program_is_also_a_file_not_found_error() -> None:
    """Callers that only know built-ins understand a wrong path."""
    with pytest.raises(FileNotFoundError) as missing:
        Program.from_file("no such tool.wasm")

    assert ProgramNotFound is type(missing.value)


def test_program_shows_what_it_is(guests: Path) -> None:
    """The repr is for people."""
    program = Program.from_file(guests / "hello.wat")

    assert f"<Program 'hello.wat': module, {program.size} bytes>" == repr(program)
