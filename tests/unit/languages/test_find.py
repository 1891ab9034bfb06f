"""Languages are found by their entry points, and nothing of theirs is imported."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from ringfence import LoadError, languages
from ringfence.languages._find import claimed, find, forget, installed, names, ours

if TYPE_CHECKING:
    from pathlib import Path


def put(site: Path, distribution: str, language: str, package: str) -> None:
    """Write the metadata of a distribution."""
    metadata = site / f"{distribution}.dist-info"
    metadata.mkdir()
    (metadata / "entry_points.txt").write_text(
        f"[console_scripts]\nx = y\n\n[ringfence.languages]\n# a note\n{language} = {package}\n", encoding="utf-8"
    )


def test_installed_language_is_found_without_importing_it(shout: Path) -> None:
    """Its package holds data: no code of it runs."""
    (shout / "__init__.py").write_text("raise SystemExit('imported')", encoding="utf-8")

    pack = find("shout")

    assert ("shout", "ringfence_language_shout 1.0.0") == (pack.language, pack.origin)
    assert pack in installed()
    assert "shout" in names()
    assert "ringfence_language_shout" not in sys.modules


@pytest.mark.usefixtures("shout")
def test_what_is_found_is_what_the_standard_library_finds() -> None:
    """Our way of reading entry points is another one only in what it costs."""
    entries = importlib.metadata.entry_points(group="ringfence.languages")

    assert {entry.name for entry in entries} == set(names())


def test_public_names_lead_here() -> None:
    """`ringfence.languages` is what a program uses."""
    assert (find, installed, names) == (languages.find, languages.installed, languages.names)


def test_language_that_is_not_there_is_an_error_with_a_command() -> None:
    """The command is one to paste, for a language that has a pack."""
    with pytest.raises(LoadError) as raised:
        find("rust")
    assert "there is no language `rust`" == raised.value.what
    assert "`ringfence languages install rust`, if there is such a pack" == raised.value.fix


@pytest.mark.usefixtures("shout")
def test_typing_error_names_the_nearest() -> None:
    """What is installed is named, and the name that was probably meant."""
    with pytest.raises(LoadError, match=r"installed are .*shout") as raised:
        find("shuot")
    assert "did you mean `shout`?" == raised.value.fix


def test_hostile_name_does_not_reach_the_terminal() -> None:
    """What was asked for is shown escaped and cut, and never as a command."""
    with pytest.raises(LoadError) as raised:
        find("\x1b[2J; rm -rf ~" + "x" * 1000)

    assert "\x1b" not in str(raised.value)
    assert "rm" not in raised.value.fix
    assert 500 > len(str(raised.value))


def test_two_packs_of_one_name_are_refused(shout: Path) -> None:
    """Which of them was meant nobody knows: both are named."""
    put(shout.parent, "louder-2.0", "shout", "ringfence_language_shout")

    with pytest.raises(LoadError, match=r"is installed twice: by louder 2.0 and ringfence_language_shout 1.0.0"):
        find("shout")


def test_one_distribution_on_the_path_twice_is_one(
    shout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first on the path counts, as for imports."""
    other = tmp_path / "other"
    shutil.copytree(shout.parent, other)
    monkeypatch.syspath_prepend(str(other))

    assert str(other / shout.name / "shout.wat") == find("shout").file


def test_language_that_was_just_installed_is_found(shout: Path) -> None:
    """A process that looked before sees what came later, and no more what is gone."""
    assert "whisper" not in names()
    put(shout.parent, "whisper-1.0", "whisper", "ringfence_language_shout")
    assert "whisper" in names()

    shutil.rmtree(shout.parent / "whisper-1.0.dist-info")
    assert "whisper" not in names()


def test_pack_that_changed_is_read_again(shout: Path) -> None:
    """What was read once is kept for as long as its files are the same."""
    assert "SHOUT 1" == find("shout").title
    text = (shout / "pack.toml").read_text(encoding="utf-8")
    (shout / "pack.toml").write_text(text.replace("SHOUT 1", "SHOUT 1.1"), encoding="utf-8")
    assert "SHOUT 1.1" == find("shout").title

    (shout / "shout.wat").unlink()
    with pytest.raises(LoadError, match=r"its module `shout.wat` is not there"):
        find("shout")


def test_pack_without_its_package_is_told(shout: Path) -> None:
    """Metadata that leads nowhere is an error of that pack, and of no other."""
    put(shout.parent, "ghost-1.0", "ghost", "no_such_package")

    with pytest.raises(LoadError, match=r"`no_such_package` has no pack.toml on the disk"):
        find("ghost")
    assert "shout" == find("shout").language
    assert [] == [pack.language for pack in claimed(".ghost")]


@pytest.mark.usefixtures("shout")
def test_scripts_are_claimed_by_suffix_and_interpreter() -> None:
    """An interpreter with a version in its name is that interpreter."""
    assert ["shout"] == [pack.language for pack in claimed(".shout")]
    assert ["shout"] == [pack.language for pack in claimed("shout")]
    assert ["shout"] == [pack.language for pack in claimed("shout3.11")]
    assert [] == claimed("whisper")


def test_languages_of_ours_are_known_before_they_are_installed() -> None:
    """So that the error can name the command."""
    assert ("python", "python", "javascript", None) == (ours(".py"), ours("python3.13"), ours("node"), ours(".tcl"))


@pytest.mark.usefixtures("shout")
def test_forgetting_looks_anew() -> None:
    """Nothing of the last look is left."""
    before = find("shout")
    forget()

    assert find("shout") is not before
    assert find("shout") == before
