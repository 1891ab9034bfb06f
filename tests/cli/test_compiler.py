"""What a compiler is given on the command line."""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING

import pytest

from ringfence.cli._compiler import add_flags, read_source
from ringfence.cli._verbs import UsageError
from ringfence.languages._find import forget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Command

COMPILER = "".join(
    f'{name} = ["{name}"]\n' for name in ("include", "compile", "common", "link", "flags", "libraries")
)  # fmt: skip


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Have these bytes on standard input."""

    def hand(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return hand


@pytest.mark.usefixtures("shout")
def test_interpreter_reads_its_source_itself(handed: Callable[[bytes], None]) -> None:
    """Nothing is taken from standard input."""
    handed(b"text")

    assert read_source("shout") is None
    assert "text" == sys.stdin.read()


def test_source_of_a_compiler_is_read_for_it(shout: Path, handed: Callable[[bytes], None]) -> None:
    """All of it; what is no text is refused with the place."""
    told = (shout / "pack.toml").read_text(encoding="utf-8").partition("[options]")[0]
    (shout / "pack.toml").write_text(f'{told}kind = "compiler"\n[compiler]\n{COMPILER}', encoding="utf-8")
    forget()
    handed("text ü\n".encode())
    assert "text ü\n" == read_source("shout")
    handed(b"te\xffxt")
    with pytest.raises(UsageError, match="byte 2 of standard input"):
        read_source("shout")


def test_flags_are_given_one_by_one(ringfence: Command) -> None:
    """Also those that begin with a dash; a program that nobody compiles from source takes none."""
    parser = argparse.ArgumentParser()
    add_flags(parser)

    assert ["-O0", "-DX=1 2"] == parser.parse_args(["--compiler-flag=-O0", "--compiler-flag=-DX=1 2"]).compiler_flags
    assert [] == parser.parse_args([]).compiler_flags
    assert ["a.c", "-b.h"] == parser.parse_args(["--source", "a.c", "--source=-b.h"]).sources
    ended = ringfence("run", "--compiler-flag=-O0", "--language", "lua", "-c", "print(1)")
    assert (2, "") == (ended.exit_code, ended.stdout)
    assert "compiler flags" in ended.stderr
