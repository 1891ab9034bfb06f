"""The examples keep their promises, and say so plainly or in colour."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from ringfence import languages

EXAMPLES = Path(__file__).parents[2] / "examples"
DEMO = EXAMPLES / "01-run" / "demo.py"


@pytest.mark.parametrize("example", ["01-run", "02-languages"])
def test_demo_keeps_every_promise(example: str) -> None:
    """Useful work, refusals, limits and grants, each as promised; in a pipe there is no colour."""
    demo = EXAMPLES / example / "demo.py"
    ended = subprocess.run([sys.executable, str(demo)], capture_output=True, text=True, check=False)

    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert "every promise held" in ended.stdout
    assert 10 <= ended.stdout.count("as promised (exit code ")
    assert "\x1b" not in ended.stdout


@pytest.mark.parametrize(
    ("example", "promises"),
    [("03-agent", 16), ("04-forks", 7), ("05-plugins", 9), ("06-filter", 5), ("07-pricing", 7), ("08-markdown", 8)],
)
def test_session_keeps_every_promise(example: str, promises: int) -> None:
    """Calls approved, changed and refused in two languages; ten ideas compared, the bad ones at nobody's cost."""
    demo = EXAMPLES / example / "demo.py"
    ended = subprocess.run([sys.executable, str(demo)], capture_output=True, text=True, check=False)

    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert "every promise held" in ended.stdout
    assert promises == ended.stdout.count("as promised")
    assert "\x1b" not in ended.stdout


@pytest.mark.usefixtures("compiled_installed")
@pytest.mark.timeout(900)  # on the first run on a machine C and Ruby are compiled
def test_one_job_is_done_in_every_language_that_is_installed() -> None:
    """The same totals under one policy, and none without it."""
    demo = EXAMPLES / "09-one-job" / "demo.py"
    ended = subprocess.run([sys.executable, str(demo)], capture_output=True, text=True, check=False)

    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert {"python", "javascript", "lua", "sqlite"} <= set(languages.names())
    left_out = ended.stdout.count("left out, `ringfence languages install ")
    jobs = len(list((EXAMPLES / "09-one-job").glob("report.*")))
    assert 2 * (jobs - left_out) == ended.stdout.count("as promised")


def test_demo_is_coloured_on_a_terminal() -> None:
    """On a terminal the verdicts are green, unless `NO_COLOR` says otherwise."""
    seen = {}
    for label, more in {"colour": {}, "plain": {"NO_COLOR": "1"}}.items():
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", **more}
        if label == "colour":
            environment.pop("NO_COLOR", None)
        with subprocess.Popen([sys.executable, str(DEMO)], stdout=theirs, env=environment) as running:
            os.close(theirs)
            text = b""
            while True:
                try:
                    text += os.read(ours, 65536)
                except OSError:  # what a terminal says at its end
                    break
            assert 0 == running.wait()
        os.close(ours)
        seen[label] = b"\x1b[32m" in text

    assert {"colour": True, "plain": False} == seen
