"""A command line without flags is read as argparse reads it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ringfence.cli._parser import parser
from ringfence.cli._plain import plain
from ringfence.cli._verbs import whole

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "words",
    [
        ["hello.wasm"],
        ["hello.py", "a", "b"],
        ["hello.py", "--wall", "3", "-c", "x", "-"],
        ["", ""],
        ["a b", "--help", "-h", "--dir=/:/"],
    ],
)
def test_flagless_command_line_is_read_as_by_the_parser(words: list[str]) -> None:
    """What follows the program belongs to it, whatever it looks like."""
    expected = vars(parser("run").parse_args(words))
    found = vars(plain("run", words))

    assert whole(expected.pop("args")) == whole(found.pop("args"))
    assert expected == found


def test_run_without_flags_imports_nothing_slow(tmp_path: Path) -> None:
    """Together these take longer than the run."""
    program = f"""
import sys
before = set(sys.modules)
from ringfence.cli import main
main(["run", {str(tmp_path / "nothing.wasm")!r}])
print([name for name in ("argparse", "contextlib", "enum", "re") if name in set(sys.modules) - before])
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert "nothing.wasm" in ended.stderr
    assert "[]" == ended.stdout.strip()
