"""Attacks on the loader: files that are not programs, or programs that were damaged."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ringfence as product
from ringfence import LoadError, Policy, Program, ProgramNotFound, RingfenceError, run
from security.binary import MAGIC, leb, module, name, overlong, section, vector

if TYPE_CHECKING:
    from conftest import Command

LONGEST_MESSAGE = 2000


SEEDS = range(300)
SOUND = (
    MAGIC
    + section(1, vector([b"\x60\0\0", b"\x60\x04\x7f\x7f\x7f\x7f\x01\x7f", b"\x60\x02\x7f\x7e\x01\x7c"]))
    + section(2, vector([name(b"wasi_snapshot_preview1") + name(b"fd_write") + b"\0\x01"]))
    + section(3, b"\x02\x02\0")
    + section(4, vector([b"\x70\0\x03"]))
    + section(5, vector([b"\0\x01"]))
    + section(6, vector([b"\x7f\x01\x41\0\x0b"]))
    + section(7, vector([name(b"memory") + b"\x02\0", name(b"_start") + b"\0\x02"]))
    + section(9, vector([b"\0\x41\0\x0b\x02\x01\x01"]))
    + section(
        10,
        vector(
            [
                b"\x08\0\x20\0\x41\x01\x74\xb7\x0b",
                b"\x18\0\x41\x02\x42\x03\x41\x01\x11\x02\0\x1a\x41\x01\x41\0\x41\x01\x41\xc0\0\x10\0\x1a\x0b",
            ]
        ),
    )
    + section(11, vector([b"\0\x41\0\x0b" + leb(14) + b"\x08\0\0\0\x06\0\0\0hello\x0a"]))
    + section(0, name(b"name") + b"\x01\x07\x01\x02\x04main")
)


def test_sound_program_runs() -> None:
    """What is damaged below works when it is whole."""
    assert "hello\n" == run(SOUND).check().text


def refused_or_run(data: bytes) -> str:
    """Load and run, as far as it goes: what it came to, never anything untyped."""
    limits = product.Limits(wall="1s", memory="64MiB", compile="10s")
    try:
        return run(data, policy=Policy(limits=limits)).outcome
    except LoadError as refused:
        problem = refused
    text = str(problem)
    assert len(text) < LONGEST_MESSAGE
    assert text.replace("\n", "").isprintable()
    assert all((problem.what, problem.why, problem.fix))
    return "refused"


def test_truncated_program_is_refused() -> None:
    """Cut anywhere, it is an error with a reason; only whole sections less may still be a program."""
    ends = {refused_or_run(SOUND[:end]) for end in range(len(SOUND))}

    assert "refused" in ends


def test_flipped_bits_are_refused_or_harmless() -> None:
    """Any bit of a program flipped: a typed error, or a run that ends."""
    dice = random.Random(3)  # noqa: S311 - not for secrets
    ends = set()
    for _ in SEEDS:
        damaged = bytearray(SOUND)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        ends.add(refused_or_run(bytes(damaged)))

    assert {"refused", "exited"} <= ends
    assert "crashed" not in ends


def test_spliced_and_repeated_bytes_are_refused_or_harmless() -> None:
    """Bytes taken out, put in, or doubled: the same."""
    dice = random.Random(4)  # noqa: S311 - not for secrets
    for _ in SEEDS:
        damaged = bytearray(SOUND)
        at, length = dice.randrange(8, len(damaged)), dice.randint(1, 16)
        match dice.randrange(3):
            case 0:
                del damaged[at : at + length]
            case 1:
                damaged[at:at] = dice.randbytes(length)
            case 2:
                damaged[at:at] = damaged[at : at + length]
        refused_or_run(bytes(damaged))


def test_numbers_longer_than_they_need_to_be_are_bounded() -> None:
    """An overlong number of five bytes is allowed by the format, one of ten is not."""
    assert "exited" == refused_or_run(MAGIC + b"\x01" + overlong(4, 5) + b"\x01\x60\0\0" + module()[14:])
    assert "refused" == refused_or_run(MAGIC + b"\x01" + overlong(4, 10) + b"\x01\x60\0\0" + module()[14:])


NOT_PROGRAMS = {
    "nothing": b"",
    "a few bytes": b"\0as",
    "a header alone, of version 2": b"\0asm\x02\0\0\0",
    "text": b"hello\n",
    "a script": b"#!/bin/sh\necho hello\n",
    "zeros": b"\0" * 10_000,
    "random bytes": random.Random(5).randbytes(10_000),  # noqa: S311 - not for secrets
    "a Windows program": b"MZ\x90\0" + b"\0" * 500,
    "an archive": b"PK\x03\x04" + b"\0" * 500,
    "gzip": b"\x1f\x8b\x08" + b"\0" * 500,
    "broken UTF-8 text": b"(module \xff\xfe)",
    "text that says it is a module": b'(module (func (export "_start")',
}


@pytest.mark.parametrize("data", NOT_PROGRAMS.values(), ids=NOT_PROGRAMS.keys())
def test_what_is_no_program_is_refused_with_its_reason(data: bytes, ringfence: Command, tmp_path: Path) -> None:
    """Detected from the bytes, whatever the name says; no traceback on the command line."""
    assert "refused" == refused_or_run(data)

    (tmp_path / "tool.wasm").write_bytes(data)
    ended = ringfence("run", "tool.wasm")

    assert (2, "") == (ended.exit_code, ended.stdout)
    assert ended.stderr.startswith("error: ")
    assert "hint: " in ended.stderr
    assert "Traceback" not in ended.stderr


NATIVE = {"program": Path(sys.executable).resolve(), "library": next(Path(product.__file__).parent.glob("_core*.so"))}


@pytest.mark.parametrize("path", NATIVE.values(), ids=NATIVE.keys())
def test_native_code_is_refused_by_name(path: Path) -> None:
    """An ELF program or library is told apart from a damaged module."""
    with pytest.raises(LoadError, match=r"(?i)native|ELF"):
        Program.from_file(path)


def test_directory_and_missing_file_are_told_apart(tmp_path: Path, ringfence: Command) -> None:
    """A directory cannot be run; a file that is not there is a FileNotFoundError too, and exit code 127."""
    with pytest.raises(LoadError, match="directory"):
        Program.from_file(tmp_path)
    with pytest.raises(ProgramNotFound) as missing:
        Program.from_file(tmp_path / "none.wasm")

    assert isinstance(missing.value, FileNotFoundError)
    assert 127 == ringfence("run", "none.wasm").exit_code
    assert 2 == ringfence("run", ".").exit_code


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A FIFO in the place of a program is refused, not read for ever."""
    os.mkfifo(tmp_path / "pipe.wasm")

    with pytest.raises(LoadError):
        Program.from_file(tmp_path / "pipe.wasm")


def test_endless_file_is_not_read_to_its_end() -> None:
    """`/dev/zero` has no size; it is refused all the same."""
    with pytest.raises(RingfenceError):
        Program.from_file("/dev/zero")


@pytest.mark.parametrize("place", ["import module", "import name", "export", "custom section", "function name"])
@pytest.mark.parametrize("verb", ["run", "inspect"])
def test_name_of_100_kilobytes_is_cut_wherever_it_shows(
    place: str, verb: str, ringfence: Command, tmp_path: Path
) -> None:
    """A giant name full of escape codes floods neither an exception nor a terminal."""
    giant = (b"\x1b[31mA\r\n" * 20_000)[:99_999]
    start = section(1, vector([b"\x60\0\0"]))
    entry = section(7, vector([name(b"_start") + b"\0\0"]))
    trap = section(10, vector([b"\x03\0\0\x0b"]))
    parts = {
        "import module": start + section(2, vector([name(giant) + name(b"f") + b"\0\0"])) + entry,
        "import name": start + section(2, vector([name(b"env") + name(giant) + b"\0\0"])) + entry,
        "export": start + section(3, b"\x01\0") + section(7, vector([name(giant) + b"\0\0"])) + trap,
        "custom section": section(0, name(giant)) + start + section(3, b"\x01\0") + entry + trap,
        "function name": start
        + section(3, b"\x01\0")
        + entry
        + trap
        + section(0, name(b"name") + section(1, vector([b"\0" + name(giant)]))),
    }
    (tmp_path / "giant.wasm").write_bytes(MAGIC + parts[place])

    ended = ringfence(verb, "giant.wasm")

    shown = ended.stdout + ended.stderr
    assert len(shown) < 2 * LONGEST_MESSAGE
    assert not [character for character in shown if not character.isprintable() and character != "\n"]
    assert "Traceback" not in shown


def test_component_without_a_command_is_refused() -> None:
    """A component that exports nothing to run says so, with what it would need."""
    with pytest.raises(LoadError, match="wasi:cli/run"):
        run(b"\0asm\x0d\0\x01\0")


def test_every_unknown_import_is_named() -> None:
    """All of them at once, so that nobody has to find them one by one."""
    source = '(module (import "env" "one" (func)) (import "js" "two" (func)) (func (export "_start")))'

    with pytest.raises(LoadError) as refused:
        run(source.encode())

    assert "env.one" in str(refused.value)
    assert "js.two" in str(refused.value)
