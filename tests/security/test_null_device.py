"""
The null device, the one file that is there without a grant: it leads nowhere, holds nothing and costs no disk.

The guests do their acts by WASI 0.1 and 0.2, in this process and in a worker.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Literal

import pytest

import ringfence
from files.modes import STANDARDS
from files.table import A, B

if TYPE_CHECKING:
    from pathlib import Path

    from files.acts import Ran, Script

    Isolation = Literal["wasm", "worker"]

NULL = "dev/null"
PIECE = b"x" * 4096

pytestmark = [pytest.mark.parametrize("standard", STANDARDS), pytest.mark.parametrize("isolation", ["wasm", "worker"])]


def ran(script: Script, isolation: Isolation, **policy: Any) -> Ran:
    """Do the acts under a policy made of the keywords."""
    return script.run(ringfence.Sandbox(script.guest(), policy=ringfence.Policy(**policy), isolation=isolation))


def test_it_is_empty_and_swallows_whatever_is_written(standard: str, isolation: Isolation) -> None:
    """Without a grant and without a note of a refusal; a disk of a few bytes does not fill up."""
    script = STANDARDS[standard]()
    script.open(A, NULL, read=True, write=True)
    for _ in range(20):
        script.write(A, 1 << 40, PIECE)
    script.append(A, PIECE)
    script.stream_write(A, 0, PIECE)
    script.set_size(A, 1 << 40)
    script.read(A, 0, 100)
    script.read(A, 1 << 40, 100)
    script.sync(A)
    done = ran(script, isolation, limits=ringfence.Limits(disk=1, files=1))

    assert [len(PIECE)] * 20 == done.said[1:21]
    assert [True] * 3 == done.said[21:24]
    assert [b"", b""] == done.said[-3:-1]
    assert () == done.result.denials


def test_handles_of_it_are_counted(standard: str, isolation: Isolation) -> None:
    """As of any other file."""
    script = STANDARDS[standard]()
    for slot in range(A, A + 19):
        script.open(slot, NULL)
    done = ran(script, isolation, limits=ringfence.Limits(open_files=10))

    assert [True] * 10 + ["mfile" if standard == "wasi01" else "nomem"] * 9 == done.said
    assert ["open_files"] == [denial.kind for denial in done.result.denials]


def test_nothing_is_made_of_it_and_it_leads_nowhere(standard: str, isolation: Isolation) -> None:
    """It is no directory, cannot be replaced, and its surroundings are not there."""
    script = STANDARDS[standard]()
    script.unlink(NULL)
    script.rename(NULL, "dev/other")
    script.link(NULL, "dev/other")
    script.mkdir(NULL)
    script.symlink("x", NULL)
    script.readlink(NULL)
    script.open(A, NULL, directory=True)
    script.open(A, f"{NULL}/")
    script.open(A, f"{NULL}/x", write=True, create=True)
    script.open(A, f"{NULL}/../../etc/passwd")
    script.open(A, NULL, write=True, create=True, exclusive=True)
    script.open(A, "dev/zero")
    script.open(A, "dev", directory=True)
    script.set_times(NULL, 1, 1)
    done = ran(script, isolation)

    assert all(isinstance(said, str) for said in done.said), done.said


@pytest.mark.parametrize("mode", ["memory", "overlay", "rw"])
def test_grant_takes_its_place(standard: str, isolation: Isolation, mode: str, tmp_path: Path) -> None:
    """Where a directory is granted at `/dev`, what is there is what that has: here, a file that keeps its bytes."""
    grant = ringfence.Dir.memory(at="/dev") if mode == "memory" else ringfence.Dir(tmp_path, at="/dev", mode=mode)  # type: ignore[arg-type]
    script = STANDARDS[standard]()
    script.open(A, NULL)
    script.open(B, NULL, read=True, write=True, create=True)
    script.write(B, 0, b"kept")
    script.read(B, 0, 10)
    done = ran(script, isolation, dirs=[grant])

    assert "noent" == done.said[0]
    assert b"kept" == done.said[-1]
    assert (mode == "rw") == (tmp_path / "null").exists()


@pytest.mark.skipif(importlib.util.find_spec("ringfence_language_python") is None, reason="no Python pack")
def test_python_finds_it(standard: str, isolation: Isolation) -> None:
    """As scripts use it."""
    del standard
    code = """
import contextlib, os
with open(os.devnull, "w") as gone, contextlib.redirect_stdout(gone): print("not seen" * 100_000)
with open("/dev/null", "rb") as empty: print(empty.read())
with open("/dev/null", "a+") as both: print(both.write("x"), repr(both.read()))
print(os.path.exists("/dev/null"), os.path.getsize("/dev/null"), os.path.isdir("/dev/null"))
"""
    result = ringfence.run(code=code, language="python", isolation=isolation)

    assert ("b''\n1 ''\nTrue 0 False\n", b"") == (result.text, result.stderr)
