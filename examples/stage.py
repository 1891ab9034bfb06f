# ruff: noqa: S603, T201
"""
What the examples share: steps that are shown, run the way a user would, and held to their promise.

Each step prints the command, what came out of it, and whether that is what was promised.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHOWN_LINES = 8
ALL_LINES = 100
SECRET = "s3cr3t"  # noqa: S105 - a bait

BOLD, GREEN, RED, DIM = "1", "32", "31", "2"


@dataclass(frozen=True)
class Step:
    """One command line and what must come of it."""

    promise: str
    words: list[str]
    exit_code: int
    out: str = ""
    err: str = ""
    holds: Callable[[], bool] = field(default=lambda: True)
    command: tuple[str, ...] = ("ringfence", "run")


def told(broken: list[str]) -> int:
    """Say how it went; give the exit code."""
    title("result")
    if broken:
        print(paint(f"  {len(broken)} promises broken: {'; '.join(broken)}", RED))
        return 1
    print(paint("  every promise held", GREEN))
    return 0


def show(chapter: str, steps: list[Step], desk: Path) -> list[Step]:
    """Run the steps of a chapter; give those that did not end as promised."""
    title(chapter)
    return [step for step in steps if not run(step, desk)]


def run(step: Step, desk: Path) -> bool:
    """Run one command the way a user would, and judge what came of it."""
    print(f"\n  {paint(step.promise, BOLD)}")
    print(f"  $ {' '.join([*step.command, *map(quoted, step.words)])}", flush=True)
    start = {"ringfence": [sys.executable, "-m", "ringfence"], "python": [sys.executable]}
    command = [*start[step.command[0]], *step.command[1:], *step.words]
    environment = {**os.environ, "API_TOKEN": SECRET, "NO_COLOR": "1"}
    ended = subprocess.run(
        command, cwd=desk, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    for text in (ended.stdout, ended.stderr):
        excerpt(text, SHOWN_LINES if step.command[0] == "ringfence" else ALL_LINES)
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


def excerpt(text: str, most: int) -> None:
    """Show the beginning of what came out."""
    lines = text.splitlines()
    for line in lines[:most]:
        print(f"    {paint(line[:160], DIM)}")
    if len(lines) > most:
        print(f"    … {len(lines) - most} more lines")


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
