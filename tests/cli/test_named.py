"""Names of saved sessions."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from ringfence.cli._named import Named, found, named, place
from ringfence.cli._verbs import UsageError
from ringfence.errors import HostError, SnapshotNotFound

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the sessions of each test apart."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "ringfence" / "sessions"


@pytest.mark.parametrize("name", ["", ".", "..", ".one", "-one", "a/b", "a b", "a\0", "ü", "x" * 101])
def test_what_is_no_name_is_refused(name: str) -> None:
    """None leads out of the folder, hides a file, or looks like a flag."""
    with pytest.raises(UsageError):
        Named(name)


def test_name_is_a_file_of_the_state_and_a_slash_makes_a_path(state: Path) -> None:
    """The folder is made for its user alone."""
    assert "./one" == place("./one") == found("./one")
    assert str(state / "a.b-C_1.snapshot") == place("a.b-C_1")
    assert 0o700 == stat.S_IMODE(state.stat().st_mode)
    with pytest.raises(SnapshotNotFound, match="session list"):
        found("a.b-C_1")


def test_only_saved_sessions_are_listed(state: Path) -> None:
    """Whatever else lies there."""
    assert [] == named()
    state.mkdir(parents=True)
    for file in ("b.snapshot", "a.snapshot", ".c.snapshot", "d", ".snapshot", "e f.snapshot"):
        (state / file).touch()
    assert ["a", "b"] == [one.name for one in named()]


def test_without_a_home_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to set."""
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME")
    with pytest.raises(HostError, match="set one of them"):
        place("one")
