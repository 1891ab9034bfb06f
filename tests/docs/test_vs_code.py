"""The task of docs/how-to/use-with-vs-code.md: what the editor finds in what it prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-with-vs-code.md"


def task() -> dict[str, Any]:
    """Give it, as the page writes it."""
    [text] = re.findall(
        r"cat > \.vscode/tasks\.json <<'END'\n(.*?)^> END$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    [found] = json.loads("\n".join(line.removeprefix("> ") for line in text.splitlines()))["tasks"]
    return found  # type: ignore[no-any-return]


def problems(printed: str) -> list[tuple[str, int, str]]:
    """Find problems as the editor does: the patterns of a matcher, each on the line after the one before."""
    lines, found = printed.splitlines(), []
    for matcher in task()["problemMatcher"]:
        patterns = matcher["pattern"]
        for start in range(len(lines) - len(patterns) + 1):
            matched = [re.search(each["regexp"], lines[start + place]) for place, each in enumerate(patterns)]
            if all(matched):
                first, last = matched[0], matched[-1]
                assert first is not None
                assert last is not None
                found.append((Path(first[1]).name, int(first[2]), last[1]))
    return found


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("x = 1\nprint(y)\n", ("report.py", 2, "NameError: name 'y' is not defined")),
        (
            "open('/etc/passwd')\n",
            ("report.py", 1, "FileNotFoundError: [Errno 44] No such file or directory: '/etc/passwd'"),
        ),
        ("def f():\n    return 1 / 0\nf()\n", ("report.py", 2, "ZeroDivisionError: division by zero")),
        ("raise KeyboardInterrupt\n", ("report.py", 1, "KeyboardInterrupt")),
        ("class a:\n    class Wrong(Exception): pass\nraise a.Wrong('x')\n", ("report.py", 3, "a.Wrong: x")),
        ("def f(:\n", ("report.py", 1, "SyntaxError: invalid syntax")),
        ("print('fine')\n", None),
    ],
)
def test_every_traceback_is_one_problem(tmp_path: Path, source: str, problem: tuple[str, int, str] | None) -> None:
    """Whether Python underlines the line or not; it leads to where the error came from."""
    tmp_path.joinpath("report.py").write_text(source)
    tmp_path.joinpath("ringfence.toml").write_text('[limits]\nwall = "10s"\n')
    here = {"${workspaceFolder}": str(tmp_path), "${file}": str(tmp_path / "report.py")}
    words = task()["args"]
    for name, path in here.items():
        words = [word.replace(name, path) for word in words]

    ended = subprocess.run([sys.executable, "-m", "ringfence", *words], capture_output=True, text=True, check=False)

    assert ([] if problem is None else [problem]) == problems(ended.stdout + ended.stderr), ended.stderr
