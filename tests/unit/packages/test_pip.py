"""The commands of pip."""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING

import pytest

from ringfence import HostError
from ringfence.packages._pip import Pip, Unresolved

if TYPE_CHECKING:
    from pathlib import Path

    from shelf import Shelf


def test_it_reports_what_it_would_install(shelf: Shelf) -> None:
    """With what that needs, unless it is told to leave it out."""
    shelf.wheel("one", needs=("two",))
    shelf.wheel("two")

    assert {"one", "two"} == {each["metadata"]["name"] for each in Pip("3.13").resolve(["one"])}
    assert ["one"] == [each["metadata"]["name"] for each in Pip("3.13").resolve(["one"], closed=True)]


def test_wheels_are_for_the_guests_python(shelf: Shelf) -> None:
    """Those of another version are none."""
    shelf.wheel("one", tag="cp312-none-any")

    with pytest.raises(Unresolved):
        Pip("3.13").resolve(["one"])


def test_native_wheels_are_seen_unless_pure_ones_are_asked_for(shelf: Shelf) -> None:
    """To tell a package without a pure one from a package that does not exist."""
    shelf.wheel("one", tag="cp313-cp313-manylinux_2_17_x86_64")

    assert 1 == len(Pip("3.13").resolve(["one"]))
    with pytest.raises(Unresolved) as caught:
        Pip("3.13").resolve(["one"], pure=True)
    assert "No matching distribution found for one" == caught.value.why()


def test_other_bytes_than_were_locked_are_refused(shelf: Shelf, tmp_path: Path) -> None:
    """The digest is compared before anything is unpacked."""
    shelf.wheel("one")

    with pytest.raises(Unresolved, match=r"(?i)hash"):
        Pip("3.13").install([f"one==1.0 --hash=sha256:{'0' * 64}"], tmp_path / "target")
    assert not (tmp_path / "target" / "one.py").exists()


def test_exception_of_progress_ends_it(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """So does Ctrl-C: pip is gone with us."""
    shelf.wheel("one")
    clock = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))

    def stop(seconds: float) -> None:
        raise KeyboardInterrupt(seconds)

    with pytest.raises(KeyboardInterrupt):
        Pip("3.13", stop).resolve(["one"])


def test_python_without_pip_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And uv is used where it is there."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(HostError, match="-m ensurepip"):
        Pip("3.13").resolve(["one"])


def test_what_does_not_go_together_is_named(shelf: Shelf) -> None:
    """Not where one reads about such things."""
    shelf.wheel("one")
    shelf.wheel("one", "2.0")

    with pytest.raises(Unresolved) as caught:
        Pip("3.13").resolve(["one==1.0", "one==2.0"])
    assert "one==1.0 and one==2.0" in caught.value.why()
