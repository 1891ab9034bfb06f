#!/usr/bin/env python3
# ruff: noqa: T201
"""
Source text that nobody vouches for: Python, an agent's session, and the same policy for JavaScript.

Any broken promise makes the exit code 1; ../stage.py holds each step to its own.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from stage import Step, show, title, told  # noqa: E402

from ringfence import languages  # noqa: E402

ENDLESS = {"python": "while True: pass", "javascript": "for (;;);"}
HOG = {
    "python": "hoard = []\nwhile True: hoard.append(bytearray(1 << 20))",
    "javascript": "const hoard = []; for (;;) hoard.push(new Uint8Array(1 << 20))",
}
FLOOD = {"python": "while True: print('and on and on')", "javascript": "for (;;) console.log('and on and on')"}
NOSY = {
    "python": "print(open('/etc/passwd').read())",
    "javascript": "const f = std.loadFile('/etc/passwd'); console.log(f ?? 'refused'); if (f === null) std.exit(1)",
}


def main() -> int:
    """Show every step; count the broken promises."""
    with tempfile.TemporaryDirectory() as directory:
        desk = Path(directory)
        for name in ("report.py", "nosy.py", "agent.py", "report.js", "../01-run/sales.csv"):
            shutil.copy(HERE / name, desk)
        (desk / "prices.py").write_text("VAT = 1.19\n", encoding="utf-8")
        (desk / "order.py").write_text("import prices\nprint(100 * prices.VAT)\n", encoding="utf-8")
        (desk / "out").mkdir()
        here = languages.names()
        title("languages that are installed")
        print("".join(f"  {pack.title}: {pack.size >> 20} MiB\n" for pack in languages.installed()), end="")
        broken = [step.promise for chapter in [*python(desk), agent()] for step in show(*chapter, desk)]
        if "javascript" in here:
            broken += [step.promise for chapter in javascript() for step in show(*chapter, desk)]
        else:
            title("the same policy for JavaScript")
            print("  left out: `ringfence languages install javascript`")
    return told(broken)


def python(desk: Path) -> list[tuple[str, list[Step]]]:
    """Tell the story of two scripts: one works, one means no good."""
    report = ["report.py", "/sales.csv"]
    work = [
        Step("a script sums your table, which it may only read", ["--dir", "sales.csv", *report], 0, out="east"),
        Step("without that grant it fails as any script would", report, 1, err="hint:"),
        Step("what lies beside a script is not granted with it", ["order.py"], 1, err="add `--dir .`"),
        Step("and with the flag that the hint names it is", ["--dir", ".", "order.py"], 0, out="119.0"),
        Step("a module of the standard library needs no file", ["--language", "python", "-m", "this"], 0, out="Zen"),
        Step(
            "one directory to write to, and nothing else",
            ["--dir", "sales.csv", "--dir", "out:/out:rw", *report, "/out/report.txt"],
            0,
            holds=lambda: "797.25" in (desk / "out" / "report.txt").read_text(encoding="utf-8"),
        ),
    ]
    nosy = [Step("seven things it looks for, none of which it finds", ["nosy.py"], 0, out="found 0")]
    return [("an untrusted Python script", work), ("one that means no good", nosy), *limited("python")]


def agent() -> tuple[str, list[Step]]:
    """Run what a model wrote, turn by turn, with functions of the host and somebody who approves."""
    promise = "two functions of yours; a large refund is refused, a loop is interrupted, and the session goes on"
    step = Step(promise, ["agent.py"], 0, out="I was told:", command=("python",))
    return ("an agent's session, with an approval hook", [step])


def javascript() -> list[tuple[str, list[Step]]]:
    """Tell the same again under the same policy."""
    report = ["report.js", "/sales.csv"]
    nosy = ["--language", "javascript", "-c", NOSY["javascript"]]
    work = [
        Step("JavaScript sums the same table", ["--dir", "sales.csv", *report], 0, out="797.25"),
        Step("a file that nobody granted", nosy, 1, out="refused"),
    ]
    return [("the same policy for JavaScript", work), *limited("javascript")]


def limited(language: str) -> list[tuple[str, list[Step]]]:
    """Stop what would not stop by itself."""

    def words(code: str, *flags: str) -> list[str]:
        return [*flags, "--language", language, "-c", code]

    steps = [
        Step("an endless loop", words(ENDLESS[language], "--wall", "1s"), 124, err="its wall limit"),
        Step("a memory hog", words(HOG[language], "--memory", "64MiB", "--wall", "20s"), 124, err="its memory limit"),
        Step(
            "a flood of output", words(FLOOD[language], "--output", "4KiB"), 124, out="and on", err="its output limit"
        ),
    ]
    return [(f"stopped: {language} that would not stop", steps)]


if __name__ == "__main__":
    sys.exit(main())
