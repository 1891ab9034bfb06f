"""What a run changed: listed, shown, saved, applied."""

from __future__ import annotations

import pickle
import zipfile
from typing import TYPE_CHECKING

import pytest

from ringfence import Change, Conflict, Dir, HostError, PolicyError, Result

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SandboxFactory


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Make a directory with one file."""
    source = tmp_path / "src"
    source.mkdir()
    (source / "old.txt").write_text("first line\nlast line\n")
    return source


def written(sandbox: SandboxFactory, source: Path, path: str) -> Result:
    """Let a guest write a file in an overlay of a directory."""
    return sandbox("write_file.wat", path, dirs=[Dir(source, at="/src", mode="overlay")]).check()


def test_host_is_as_it_was_until_changes_are_applied(sandbox: SandboxFactory, source: Path) -> None:
    """What the guest wrote is in the result, and on the host only once it is applied."""
    result = written(sandbox, source, "/src/new.txt")

    assert ["old.txt"] == [entry.name for entry in source.iterdir()]
    assert [Change("/src/new.txt", "added", "file", None, 7)] == list(result.changes)
    assert b"written" == result.files["/src/new.txt"]
    assert 1 == result.changes.apply()
    assert "written" == (source / "new.txt").read_text()


def test_diff_is_that_of_diff(sandbox: SandboxFactory, source: Path) -> None:
    """Text is compared line by line."""
    result = written(sandbox, source, "/src/old.txt")

    assert [
        "--- a/src/old.txt",
        "+++ b/src/old.txt",
        "@@ -1,2 +1 @@",
        "-first line",
        "-last line",
        "+written",
        "\\ No newline at end of file",
    ] == result.changes.diff().splitlines()


def test_conflict_is_refused_unless_told_otherwise(sandbox: SandboxFactory, source: Path) -> None:
    """What somebody else wrote meanwhile is not overwritten silently."""
    result = written(sandbox, source, "/src/old.txt")
    (source / "old.txt").write_text("by somebody else")
    with pytest.raises(Conflict, match=r"/src/old\.txt"):
        result.changes.apply()

    assert "by somebody else" == (source / "old.txt").read_text()
    assert 1 == result.changes.apply(overwrite=True)
    assert "written" == (source / "old.txt").read_text()


def test_only_what_was_changed_can_be_applied(sandbox: SandboxFactory, source: Path) -> None:
    """A path that is no change is a mistake, and one text is not a list of paths."""
    changes = written(sandbox, source, "/src/new.txt").changes
    with pytest.raises(PolicyError, match="was not changed"):
        changes.apply(only=["/src/old.txt"])
    with pytest.raises(TypeError, match="list of paths"):
        changes.apply(only="/src/new.txt")

    assert 1 == changes.apply(only=["/src"])


def test_saved_changes_are_a_zip_of_the_files(sandbox: SandboxFactory, source: Path, tmp_path: Path) -> None:
    """Guest paths are names in the archive."""
    written(sandbox, source, "/src/new.txt").changes.save(tmp_path / "changes.zip")

    with zipfile.ZipFile(tmp_path / "changes.zip") as archive:
        assert {"src/new.txt": b"written"} == {name: archive.read(name) for name in archive.namelist()}


def test_pickled_changes_are_only_listed(sandbox: SandboxFactory, source: Path) -> None:
    """The bytes stay in the process that made the run."""
    result = written(sandbox, source, "/src/new.txt")
    again = pickle.loads(pickle.dumps(result))

    assert result == again
    assert list(result.changes) == list(again.changes)
    with pytest.raises(HostError, match="pickled"):
        again.changes.apply()


def test_run_without_overlay_changes_nothing(sandbox: SandboxFactory) -> None:
    """There is an empty list, and no file."""
    result = sandbox("hello.wat")

    assert (0, [], "") == (len(result.changes), list(result.files), result.changes.diff())
    assert 0 == result.changes.apply()
    with pytest.raises(KeyError):
        _ = result.files["/x"]
