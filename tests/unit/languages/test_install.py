"""Installing a language: the right command, and the language afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ringfence import HostError, LoadError
from ringfence.languages import _install
from ringfence.languages._install import builds, command_for, install


def checkout(folder: Path, builder: str = "") -> Path:
    """Make what looks like a checkout that builds the language `shout`."""
    (folder / "tools").mkdir(parents=True)
    (folder / "tools" / "packs.py").write_text(builder, encoding="utf-8")
    (folder / "packs" / "shout").mkdir(parents=True)
    (folder / "packs" / "shout" / "pack.toml").touch()
    return folder


def test_index_is_asked_by_the_pip_of_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a checkout a name is enough."""
    monkeypatch.setattr(_install, "_HERE", Path("/nowhere"))
    command = command_for("shout", None)

    assert [sys.executable, "-P", "-m", "pip", "install"] == command[:5]
    assert ["--upgrade", "ringfence-language-shout"] == command[-2:]


def test_checkout_builds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that is named, or that this is."""
    place = checkout(tmp_path / "checkout")
    expected = [sys.executable, str(place / "tools" / "packs.py"), "shout"]

    assert expected == command_for("shout", str(place))
    monkeypatch.setattr(_install, "_HERE", place)
    assert expected == command_for("shout", None)
    assert not builds(place, "whisper")


def test_checkout_has_a_language_with_a_hyphen_in_a_folder_without(tmp_path: Path) -> None:
    """Folders of packs are Python packages too."""
    (tmp_path / "packs" / "shout_web").mkdir(parents=True)
    (tmp_path / "packs" / "shout_web" / "pack.toml").touch()
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "packs.py").touch()

    assert builds(tmp_path, "shout-web")


def test_folder_of_wheels_needs_no_index(tmp_path: Path) -> None:
    """What is at hand is taken, and nothing else."""
    wheel = tmp_path / "ringfence_language_shout-1.0.0-py3-none-any.whl"
    wheel.touch()

    folder = command_for("shout", str(tmp_path))
    assert {"--no-index", "--force-reinstall", str(tmp_path)} <= set(folder)
    assert str(wheel) == command_for("shout", str(wheel))[-1]


def test_project_is_installed_as_pip_does(tmp_path: Path) -> None:
    """A language of somebody else, from its source."""
    (tmp_path / "pyproject.toml").touch()

    assert str(tmp_path) == command_for("shout", str(tmp_path))[-1]


def test_folder_without_it_is_refused(tmp_path: Path) -> None:
    """There, and not there, are told apart."""
    with pytest.raises(LoadError, match="it is no wheel, no folder with one"):
        command_for("shout", str(tmp_path))
    with pytest.raises(LoadError, match="there is no such folder"):
        command_for("shout", str(tmp_path / "no"))


@pytest.mark.parametrize("name", ["--index-url=x", "../x", "", "Python", "a b", "x" * 65])
def test_what_is_no_name_never_becomes_a_command(name: str) -> None:
    """A name is checked before anything is run."""
    with pytest.raises(LoadError, match="is no name of a language"):
        install(name, None, pytest.fail)


def test_uv_is_taken_where_there_is_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It installs into the Python that runs this; with neither, the error names how to get pip."""
    monkeypatch.setattr(_install, "_HERE", Path("/nowhere"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="no pip, and there is no uv") as raised:
        command_for("shout", None)
    assert "-m ensurepip" in raised.value.fix

    (tmp_path / "uv").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "uv").chmod(0o755)
    assert [str(tmp_path / "uv"), "pip", "install", "--python", sys.executable] == command_for("shout", None)[:5]


def test_language_is_there_afterwards(shout: Path, tmp_path: Path) -> None:
    """What the command made is found at once, in the same process."""
    site = shout.parent
    metadata = site / "ringfence_language_shout-1.0.0.dist-info"
    hidden = metadata.rename(tmp_path / "hidden")
    builder = f"import os; os.rename({str(hidden)!r}, {str(metadata)!r}); print('built')"
    said: list[str] = []

    pack = install("shout", str(checkout(tmp_path / "checkout", builder)), said.append)

    assert "shout" == pack.language
    assert [f"$ {sys.executable} {tmp_path}/checkout/tools/packs.py shout"] == said


def test_command_that_fails_is_our_error(tmp_path: Path) -> None:
    """Its own words were shown; ours say what to do next."""
    place = checkout(tmp_path / "checkout", "raise SystemExit(3)")

    with pytest.raises(HostError, match="the command above ended with 3") as raised:
        install("shout", str(place), lambda _: None)
    assert "--from FOLDER" in raised.value.fix


def test_words_of_the_command_are_not_our_data(tmp_path: Path) -> None:
    """They go to standard error."""
    place = checkout(tmp_path / "checkout", "print('building'); raise SystemExit(1)")
    code = (
        "from ringfence.languages._install import install\n"
        f"try: install('shout', {str(place)!r}, print)\nexcept Exception: pass"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "building" not in ended.stdout
    assert "building" in ended.stderr
