"""Packages brought in, and found again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import HostError, LoadError
from ringfence.languages import find
from ringfence.packages import bring, kept, prune
from waiting import until

if TYPE_CHECKING:
    from ringfence.packages._store import Kept
    from shelf import Shelf

pytestmark = pytest.mark.usefixtures("compiled")


def brought(*requirements: str) -> Kept:
    """Bring them in for Python."""
    return bring(requirements, find("python"))


def test_packages_are_unpacked_and_compiled(shelf: Shelf) -> None:
    """As the guest's Python compiles; what has syntax errors is left as it is."""
    shelf.wheel("one", one__py="X = 1\n", templates__py="{% none %}\n")
    site = Path(brought("one").folder)

    assert (site / "__pycache__" / "one.cpython-313.pyc").is_file()
    assert not list(site.rglob("templates*.pyc"))


def test_same_list_is_found_again_without_an_index(shelf: Shelf) -> None:
    """However it was ordered and written."""
    wheels = [shelf.wheel("one"), shelf.wheel("two")]
    first = brought("one", "two>=1")
    for wheel in wheels:
        wheel.unlink()

    assert first == brought("Two >= 1", "ONE")
    assert ["one==1.0", "two==1.0"] == [wheel.line.partition(" ")[0] for wheel in first.wheels]


def test_other_list_is_another_set(shelf: Shelf) -> None:
    """What was kept for one is nothing for the other."""
    shelf.wheel("one")
    shelf.wheel("one", "2.0")

    assert brought("one").folder != brought("one<2").folder
    assert 2 == kept()[1]


def test_empty_list_is_a_set_too(shelf: Shelf) -> None:
    """Markers may leave nothing."""
    assert not brought("one; sys_platform == 'linux'").wheels
    assert 1 == kept()[1], shelf.folder


def test_damaged_set_is_brought_in_again(shelf: Shelf) -> None:
    """Nobody has to clean up by hand."""
    shelf.wheel("one")
    place = Path(brought("one").folder).parent
    (place / "packages.json").write_text("{", encoding="utf-8")

    assert (Path(brought("one").folder) / "one.py").is_file()
    assert json.loads((place / "packages.json").read_bytes())["wheels"]


def test_many_at_once_bring_one_set(shelf: Shelf) -> None:
    """The last one finds it there."""
    shelf.wheel("one")
    with ThreadPoolExecutor() as pool:
        folders = {kept.folder for kept in pool.map(lambda _: brought("one"), range(4))}

    assert 1 == len(folders) == kept()[1]
    assert not list(Path(kept()[0]).glob("new-*"))


def test_what_a_killed_one_left_is_swept(shelf: Shelf) -> None:
    """Once it is old; somebody may be at work in what is new."""
    shelf.wheel("one")
    old, new = (Path(kept()[0]) / f"new-{name}" for name in ("old", "new"))
    for left in (old, new):
        left.mkdir(parents=True)
    os.utime(old, (time.time() - 7200,) * 2)
    brought("one")

    assert (False, True) == (old.exists(), new.exists())


def test_pruning_removes_every_set(shelf: Shelf) -> None:
    """And tells how much that was."""
    shelf.wheel("one")
    brought("one")

    assert 1 == prune()[0]
    assert (0, 0) == kept()[1:] == prune()


def test_folder_that_cannot_be_made_is_told(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable that says where."""
    shelf.wheel("one")
    (tmp_path / "file").touch()
    monkeypatch.setenv("RINGFENCE_PACKAGES", str(tmp_path / "file" / "packages"))

    with pytest.raises(HostError, match="set RINGFENCE_PACKAGES"):
        brought("one")


def test_other_languages_take_none() -> None:
    """The index is Python's."""
    with pytest.raises(LoadError, match="`javascript` takes no packages"):
        bring(["one"], find("javascript"))


def test_packages_that_were_removed_by_hand_are_brought_in_again(shelf: Shelf) -> None:
    """Their list alone is nothing."""
    shelf.wheel("one")
    folder = Path(bring(["one"], find("python")).folder)
    shutil.rmtree(folder)

    assert Path(bring(["one"], find("python")).folder, "one.py").is_file()


def test_two_processes_bring_in_the_same_at_once(shelf: Shelf) -> None:
    """Both have it; nothing is left beside it."""
    files: dict[str, Any] = {f"one/part{number}__py": "" for number in range(100)}
    shelf.wheel("one", **files)
    code = "from ringfence.languages import find; from ringfence.packages import bring\n"
    code += "print(bring(['one'], find('python')).folder)"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {each.communicate()[0].strip() for each in running}

    assert [0, 0, 0] == [each.returncode for each in running]
    [folder] = said
    assert 102 <= len(list(Path(folder).rglob("*.py*")))
    assert [Path(folder).parent] == list(Path(folder).parents[1].iterdir())


def test_interrupt_ends_pip_and_leaves_nothing(shelf: Shelf, tmp_path: Path) -> None:
    """Ctrl-C in the middle: the command ends with its code, and the next one works."""
    shelf.wheel("one")
    script = tmp_path / "script.py"
    script.write_text("import one; print(one.VERSION)")
    command = [sys.executable, "-m", "ringfence", "run", "--with", "one", str(script)]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    started: set[str] = set()

    def has_started() -> bool:
        started.update(children.read_text().split())
        return bool(started)

    until(has_started)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    _, told = running.communicate(timeout=30)

    assert (130, "") == (running.returncode, told.replace("interrupted\n", ""))
    # What has ended is there until somebody has waited for it.
    until(lambda: not any(Path("/proc", pip).exists() for pip in started))
    assert not list((tmp_path / "packages").glob("*"))
    assert "1.0\n" == subprocess.run(command, capture_output=True, text=True, check=True).stdout
