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


def test_component_tells_its_types_in_wit() -> None:
    """Types where they are named, `use` where another interface has them, resources with their methods."""
    program = Program.from_bytes(
        b"""(component
          (import "app:host/types@1.0.0" (instance $types
            (export "file" (type (sub resource)))
            (type $point (record (field "x" f64) (field "list" (list u8 3))))
            (export "point" (type $own (eq $point)))))
          (alias export $types "point" (type $point))
          (alias export $types "file" (type $file))
          (import "app:host/files@1.0.0" (instance
            (alias outer 1 $point (type $p)) (export "point" (type $point (eq $p)))
            (export "reader" (type $reader (sub resource)))
            (export "[constructor]reader" (func (param "at" $point) (result (own $reader))))
            (export "[method]reader.next" (func async (param "self" (borrow $reader)) (result (option $point))))
            (export "[static]reader.all" (func (result (stream u8))))))
          (import "log" (func (param "line" (result (error string))))))"""
    )
    expected = """\
package root:component;

world root {
  import app:host/types@1.0.0;
  import app:host/files@1.0.0;
  import log: func(line: result<_, string>);
}

package app:host@1.0.0 {
  interface types {
    resource file;

    record point {
      x: f64,
      %list: list<u8, 3>,
    }
  }

  interface files {
    use types.{point};

    resource reader {
      constructor(at: point);
      next: async func() -> option<point>;
      all: static func() -> stream<u8>;
    }
  }
}
"""
    assert expected == program.wit()


def test_interfaces_of_wasi_are_written_out_only_when_asked_for() -> None:
    """Everybody's are the same."""
    program = Program.from_bytes(
        b"""(component (import "wasi:cli/environment@0.2.0"
          (instance (export "initial-cwd" (func (result (option string)))))))"""
    )

    assert "package wasi:cli@0.2.0" not in program.wit()
    assert "  import wasi:cli/environment@0.2.0;" in program.wit().splitlines()
    assert "    initial-cwd: func() -> option<string>;" in program.wit(wasi=True).splitlines()


def test_module_has_no_wit() -> None:
    """Its functions have numbers only."""
    with pytest.raises(LoadError, match="only components have typed interfaces"):
        Program.from_bytes(b"(module)").wit()
