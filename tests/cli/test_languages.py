"""`ringfence languages`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command


@pytest.mark.usefixtures("shout")
def test_list_has_versions_licences_and_sizes(ringfence: Command) -> None:
    """One line for each, with where it comes from."""
    ended = ringfence("languages")
    head, *lines = ended.stdout.splitlines()
    [line] = [line for line in lines if line.startswith("shout ")]

    assert (0, "") == (ended.exit_code, ended.stderr)
    assert ["language", "version", "pack", "size", "from", "licence"] == head.split()
    assert "SHOUT 1  1.0.0  3." in " ".join(line.split()).replace("SHOUT 1 1.0.0", "SHOUT 1  1.0.0 ")
    assert line.endswith("Apache-2.0")


def test_list_as_json(ringfence: Command, shout: Path) -> None:
    """With digests and files, for machines."""
    document = json.loads(ringfence("languages", "--json").stdout)
    [found] = [entry for entry in document["languages"] if entry["language"] == "shout"]

    assert [] == document["problems"]
    assert ("1.0.0", "1", "Apache-2.0", [".shout"]) == (
        found["version"],
        found["language_version"],
        found["licence"],
        found["suffixes"],
    )
    assert str(shout / "shout.wat") == found["file"]


def test_nothing_installed_names_the_command(ringfence: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list is no error."""
    monkeypatch.setattr("sys.path", [])
    from ringfence.cli import main

    del ringfence
    assert 0 == main(["languages"])


def test_check_compares_every_digest(ringfence: Command, shout: Path) -> None:
    """A damaged pack is named with the command that mends it, and the others are still shown."""
    assert 0 == ringfence("languages", "check", "shout").exit_code
    module = (shout / "shout.wat").read_text(encoding="utf-8")
    (shout / "shout.wat").write_text(module.replace("SHOUT:", "shout:"), encoding="utf-8")
    ended = ringfence("languages", "check", "shout")

    assert (1, "") == (ended.exit_code, ended.stdout)
    assert ended.stderr.startswith(f"error: the language pack `{shout}/shout.wat` cannot be used: its bytes have ")
    assert ended.stderr.endswith("hint: install it again: `ringfence languages install shout`\n")
    assert 0 == ringfence("languages").exit_code


def test_broken_pack_does_not_hide_the_others(ringfence: Command, shout: Path) -> None:
    """It is told on stderr, and the exit code says that something is wrong."""
    text = (shout / "pack.toml").read_text(encoding="utf-8")
    (shout / "pack.toml").write_text(text.replace("abi = 1", "abi = 9"), encoding="utf-8")
    ended = ringfence("languages")

    assert 1 == ended.exit_code
    assert "it speaks the guest ABI 9, and this Ringfence speaks 1" in ended.stderr


def test_install_builds_shows_and_compiles(ringfence: Command, shout: Path, tmp_path: Path) -> None:
    """From a checkout: its command and its words on stderr, the language on stdout."""
    metadata = shout.parent / "ringfence_language_shout-1.0.0.dist-info"
    metadata.rename(tmp_path / "hidden")
    assert 2 == ringfence("run", "--language", "shout", "-c", "x").exit_code
    (tmp_path / "tools").mkdir()
    (tmp_path / "packs" / "shout").mkdir(parents=True)
    (tmp_path / "packs" / "shout" / "pack.toml").touch()
    build = f"import os; print('building'); os.rename({str(tmp_path / 'hidden')!r}, {str(metadata)!r})"
    (tmp_path / "tools" / "packs.py").write_text(build, encoding="utf-8")

    ended = ringfence("languages", "install", "shout", "--from", ".")

    assert 0 == ended.exit_code, ended.stderr
    assert f"$ {sys.executable} {tmp_path}/tools/packs.py shout\nbuilding\n" == ended.stderr
    assert "SHOUT 1" in ended.stdout
    assert "X" == ringfence("run", "--language", "shout", "-c", "x").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("install",), "no language was named"),
        (("install", "--x"), "did you mean"),
        (("install", "a b"), "is no name of a language"),
        (("install", "shout", "--from", "no-such-folder"), "there is no such folder"),
        (("--from", "."), "`--from` was given: `languages list` installs nothing"),
        (("list", "shout"), "the list is one of all"),
        (("check", "whisper"), "there is no language `whisper`"),
        (("remove",), "invalid choice"),
    ],
)
def test_wrong_words_are_refused(ringfence: Command, words: tuple[str, ...], says: str) -> None:
    """Each with its reason and a hint, and nothing on stdout."""
    ended = ringfence("languages", *words)

    assert ended.exit_code in {1, 2}
    assert "" == ended.stdout
    assert says in ended.stderr or "unrecognized" in ended.stderr
    assert "\nhint: " in ended.stderr
