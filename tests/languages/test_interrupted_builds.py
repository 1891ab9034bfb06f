"""A build that is killed at any moment: what it had finished is kept, and nobody ever sees what it had not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from packs.building import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Builder = Callable[[], subprocess.Popen[str]]

# Two steps, of which the second goes on when a file is there.
BUILD = """
import sys, time
from pathlib import Path
from packs.building import cache

def first(place):
    place.joinpath("made").touch()
    print("first made", flush=True)

def second(place):
    place.joinpath("made").touch()
    print("second begun", flush=True)
    while not Path(sys.argv[1]).exists():
        time.sleep(0.01)
    print("second made", flush=True)

cache.entry("first", first)
cache.entry("second", second)
print("done", flush=True)
"""


@pytest.fixture
def builds(tmp_path: Path) -> Iterator[Builder]:
    """Start builds in processes of their own, over one cache."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", BUILD, str(tmp_path / "go")],
            cwd=cache.ROOT,
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(cache.ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def told(process: subprocess.Popen[str], line: str) -> None:
    """Wait until a build says that."""
    assert process.stdout is not None
    assert any(line in each for each in process.stdout), line


def killed(process: subprocess.Popen[str]) -> None:
    """Kill a build, as the system does when memory is short."""
    process.kill()
    assert -signal.SIGKILL == process.wait()


def test_killed_build_keeps_what_it_had_finished_and_nothing_else(builds: Builder, tmp_path: Path) -> None:
    """The next one begins at the step that was under way."""
    build = builds()
    told(build, "second begun")
    killed(build)
    kept = tmp_path / "ringfence" / "packs"
    assert [True, False] == [(kept / name / cache.COMPLETE).exists() for name in ("first", "second")]

    (tmp_path / "go").touch()
    assert "second begun\nsecond made\ndone\n" == builds().communicate()[0]
    assert {"first", "second", "locks"} == {path.name for path in kept.iterdir()}


def test_build_that_waits_takes_over_from_one_that_is_killed(builds: Builder, tmp_path: Path) -> None:
    """It finds nothing half made."""
    build = builds()
    told(build, "second begun")
    other = builds()
    told(other, "waiting for it")
    killed(build)
    (tmp_path / "go").touch()
    assert "second begun\nsecond made\ndone\n" == other.communicate()[0]


def test_builds_at_one_time_build_once(builds: Builder, tmp_path: Path) -> None:
    """The second waits for the first, and takes what that made."""
    build = builds()
    told(build, "second begun")
    other = builds()
    told(other, "waiting for it")
    (tmp_path / "go").touch()
    assert ["second made\ndone\n", "done\n"] == [each.communicate()[0] for each in (build, other)]
