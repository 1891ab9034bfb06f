#!/usr/bin/env python3
# ruff: noqa: T201
"""
One job in every language that is installed, under one policy: read a table, sum it by region, print JSON.

Any broken promise makes the exit code 1; ../stage.py holds each step to its own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from stage import GREEN, RED, Step, paint, show, title, told  # noqa: E402

from ringfence import languages  # noqa: E402

POLICY = HERE / "ringfence.toml"
TOTALS = {
    "east": {"units": 36, "cents": 79725},
    "north": {"units": 24, "cents": 54825},
    "south": {"units": 20, "cents": 41725},
    "west": {"units": 34, "cents": 76400},
}
SCRIPTS = {
    "python": "report.py",
    "javascript": "report.js",
    "lua": "report.lua",
    "sqlite": "report.sql",
    "ruby": "report.rb",
    "perl": "report.pl",
    "php": "report.php",
    "c": "report.c",
}


def main() -> int:
    """Run each script with the grant and without it; count the broken promises."""
    here, broken = languages.names(), []
    title("one job, one policy")
    for language, script in SCRIPTS.items():
        if language not in here:
            print(f"  {script}: left out, `ringfence languages install {language}`")
        elif reported(script) == TOTALS:
            print(paint(f"  as promised: {script} gives the totals of four regions", GREEN))
        else:
            print(paint(f"  NOT AS PROMISED: {script}", RED))
            broken.append(f"totals of {script}")
    with tempfile.TemporaryDirectory() as desk:
        for script in SCRIPTS.values():
            shutil.copy(HERE / script, desk)
        steps = [
            Step("without the policy there is no table", [script], 1, err="hint:")
            for language, script in SCRIPTS.items()
            if language in here
        ]
        broken += [step.promise for step in show("the same without it", steps, Path(desk))]
    return told(broken)


def reported(script: str) -> object:
    """Run a script as a user would; give what it printed."""
    command = [sys.executable, "-m", "ringfence", "run", "--policy", str(POLICY), str(HERE / script)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603
    try:
        return json.loads(ended.stdout)
    except ValueError:
        print(ended.stdout + ended.stderr)
        return None


if __name__ == "__main__":
    sys.exit(main())
