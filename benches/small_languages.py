#!/usr/bin/env python3
# ruff: noqa: T201
"""
How soon does a fresh run print, in Lua, SQLite, Ruby, PHP and Perl; and how soon is C compiled and run?

One line of each language, in an interpreter that nobody used before, from a program that is open; beside it a process
of the native interpreter, where this machine has one. Names on the command line choose languages.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from turns import compare, process

import ringfence
from ringfence import languages


@dataclass(frozen=True)
class Language:
    """
    One line that prints, and how the native interpreter is told it.

    Attributes:
        code: the line.
        wanted: what the issue wants of a fresh run at the median, in ms.
        natives: command lines of it: the first that is here is taken.
    """

    code: str
    wanted: float
    natives: tuple[tuple[str, ...], ...]


LANGUAGES = {
    "lua": Language("print(1)", 0.04, (("lua5.4", "-e"), ("lua", "-e"))),
    "sqlite": Language("select 1", 0.04, (("sqlite3", ":memory:"),)),
    "ruby": Language("puts 1", 1, (("ruby", "-e"),)),
    "php": Language("echo 1;", 3, (("php", "-n", "-r"), ("php8.2", "-n", "-r"))),
    "perl": Language("print 1", 1, (("perl", "-e"),)),
}


def main() -> None:
    """Print each that is installed."""
    for name in sys.argv[1:] or [*LANGUAGES, "c"]:
        if name not in languages.names():
            print(f"{name}: not installed (`ringfence languages install {name}`)")
        elif name == "c":
            c()
        else:
            fresh(name, LANGUAGES[name])


def fresh(name: str, language: Language) -> None:
    """Run the line, here and natively."""
    works = {"ringfence": ringfence.Sandbox(code=language.code, language=name).run}
    native = next((words for words in language.natives if shutil.which(words[0])), None)
    if native:
        works[" ".join(native)] = process(*native, language.code)
    if name == "sqlite":
        opened = sqlite3.connect(":memory:")
        works["Python's sqlite3, opened"] = lambda: sqlite3.connect(":memory:").execute(language.code).fetchall()
        works["Python's sqlite3, open"] = lambda: opened.execute(language.code).fetchall()
    beside = "" if native else f"; no `{language.natives[0][0]}` here"
    compare(f"a fresh {name}, {language.code} (wanted: at most {language.wanted:g} ms{beside})", works)


def c() -> None:
    """Compile a text that nobody compiled before and run it; again from what was kept; and run it where it is open."""
    cc = shutil.which("cc")
    number = 0

    def new() -> str:
        nonlocal number
        number += 1
        return f'#include <stdio.h>\nint main(void) {{ puts("{time.time_ns()} {number}"); return 0; }}\n'

    def native() -> None:
        with tempfile.TemporaryDirectory() as desk:
            made = f"{desk}/made"
            compiler = [str(cc), "-O2", "-x", "c", "-", "-o", made]
            subprocess.run(compiler, input=new().encode(), check=True)  # noqa: S603 - a command of ours
            subprocess.run([made], capture_output=True, check=True)  # noqa: S603

    known = new()
    compare(
        "C from its source, puts",
        {"ringfence, a new text": lambda: ringfence.run(code=new(), language="c").check()}
        | {"ringfence, a known text": lambda: ringfence.run(code=known, language="c").check()}
        | {"ringfence, open": ringfence.Sandbox(code=known, language="c").run}
        | ({"cc -O2, and run": native} if cc else {}),
        times=5,
    )


if __name__ == "__main__":
    main()
