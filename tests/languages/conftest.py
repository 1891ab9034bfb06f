"""What tests of packs need: Python in the sandbox, and beside it the same version for this machine, as the judge."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from packs.building import cache

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfence import Limits, Sandbox

# `languages` is what these tests share with tools/cpython_tests.py.
sys.path.insert(0, str(Path(__file__).parents[1]))
KEYBOARD = 130
VARIABLES = {"HOME": "/", "PATH": "/bin"}


@dataclass(frozen=True)
class Ended:
    """What an interpreter came to."""

    exit_code: int
    stdout: str
    stderr: str


class Interpreter(Protocol):
    """Runs a command line of Python."""

    def __call__(self, *args: str, input: bytes = b"", env: Mapping[str, str] | None = None) -> Ended:
        """Run it once."""


@pytest.fixture
def python(tmp_path: Path) -> Interpreter:
    """Run Python in the sandbox, with the test's own directory under its own name."""
    from ringfence import Dir, Policy, Sandbox

    def run(
        *args: str, input: bytes = b"", env: Mapping[str, str] | None = None, limits: Limits | None = None
    ) -> Ended:
        policy = Policy(dirs=[Dir(tmp_path, at=str(tmp_path), mode="rw")], env={**VARIABLES, **(env or {})})
        result = Sandbox(language="python", policy=policy).run(args, input=input, limits=limits)
        assert "exited" == result.outcome, result
        assert result.exit_code is not None
        return Ended(result.exit_code, plain(result.stdout, tmp_path), plain(result.stderr, tmp_path))

    return run


@pytest.fixture
def bare() -> Sandbox:
    """Give Python in a sandbox with nothing granted."""
    from ringfence import Limits, Policy, Sandbox

    return Sandbox(language="python", policy=Policy(limits=Limits(wall=120)))


@pytest.fixture
def native(tmp_path: Path) -> Interpreter:
    """Run this machine's Python of the same version: the one that built the pack."""
    stages = sorted(
        cache.directory().glob("python-interpreter-*/host/python3.13"), key=lambda file: file.stat().st_mtime
    )
    if not stages:
        pytest.skip("the Python that built the pack is not kept any more: `make packs` after removing the cache")

    def run(*args: str, input: bytes = b"", env: Mapping[str, str] | None = None) -> Ended:
        ended = subprocess.run(
            [stages[-1], *args],
            input=input,
            env={**VARIABLES, **(env or {})},
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        # Natively an interrupt ends the process by its signal.
        code = ended.returncode if ended.returncode >= 0 else KEYBOARD
        return Ended(code, plain(ended.stdout, tmp_path), plain(ended.stderr, tmp_path))

    return run


def plain(said: bytes, own: Path) -> str:
    """Give text without what differs by machine: the interpreter's own path, the test's directory."""
    text = said.decode()
    for stage in cache.directory().glob("python-interpreter-*"):
        text = text.replace(f"{stage}/host/root/usr/bin/python3.13", "python").replace(f"{stage}/host/root", "")
    # Addresses differ, and so do the numbers of errors: WASI has its own.
    text = re.sub(r"0x[0-9a-f]+", "0x", text).replace("[Errno 44]", "[Errno 2]")
    return text.replace("/usr/bin/python3:", "python:").replace(str(own), "OWN")
