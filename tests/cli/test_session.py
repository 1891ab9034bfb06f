"""`ringfence session`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

pytest.importorskip("ringfence_language_python", reason="the language packs are not installed")
pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Keep the sessions of each test apart."""
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def test_sessions_are_listed_and_removed(ringfence: Command, home: dict[str, str]) -> None:
    """By the names that they were saved under."""
    assert ringfence("repl", input=b"x = 1\n:save one\nx = 2\n:save two\n", env=home).exit_code == 0

    ended = ringfence("session", "list", env=home)
    shown = re.sub(r" +", " ", re.sub(r"\d+ s(econds)? ago", "AGE", re.sub(r"\d[\d.]* [KM]iB", "SIZE", str(ended))))
    assert shown == (
        "exit: 0\n--- stdout\nname language size saved\none python SIZE AGE\ntwo python SIZE AGE\n--- stderr\n"
    )
    refused = ringfence("session", "rm", "one", "tow", env=home)
    assert (2, "") == (refused.exit_code, refused.stdout)
    assert "error: no saved session `tow`" in refused.stderr
    assert "exit: 0\n--- stdout\n--- stderr\n" == str(ringfence("session", "rm", "one", "one", env=home))
    assert ["two"] == [one["name"] for one in json.loads(ringfence("session", "--json", env=home).stdout)["sessions"]]
    assert '{\n  "removed": [\n    "two"\n  ]\n}\n' == ringfence("session", "rm", "two", "--json", env=home).stdout
    assert str(ringfence("session", env=home)) == (
        "exit: 0\n--- stdout\n--- stderr\nno session is saved\nhint: save one: `:save NAME` in `ringfence repl`\n"
    )


def test_list_as_json(ringfence: Command, home: dict[str, str], tmp_path: Path) -> None:
    """With what the file tells of itself, for machines."""
    ringfence("repl", input=b":save one\n", env=home)
    document = json.loads(ringfence("session", "list", "--json", env=home).stdout)
    [one] = document["sessions"]

    assert [] == document["problems"]
    assert ("one", "python", []) == (one["name"], one["language"], one["functions"])
    assert one["pack"].startswith("Python 3.")
    assert re.fullmatch("[0-9a-f]{64}", one["program"])
    assert str(tmp_path / "state" / "ringfence" / "sessions" / "one.snapshot") == one["path"]
    assert 0 <= one["age_seconds"] < 600
    assert 0 < one["file_bytes"] < one["memory_bytes"]


def test_file_that_was_changed_is_told_beside_the_others(ringfence: Command, home: dict[str, str]) -> None:
    """And can be removed like them."""
    ringfence("repl", input=b":save one\n:save two\n", env=home)
    first, _second = json.loads(ringfence("session", "--json", env=home).stdout)["sessions"]
    with Path(first["path"]).open("r+b") as file:
        file.seek(5000)
        file.write(b"forged")

    ended = ringfence("session", "list", env=home)
    assert (1, 2) == (ended.exit_code, len(ended.stdout.splitlines()))
    assert "its bytes were changed" in ended.stderr
    [problem] = json.loads(ringfence("session", "--json", env=home).stdout)["problems"]
    assert "snapshot" == problem["code"]
    assert 0 == ringfence("session", "rm", "one", env=home).exit_code
    assert 0 == ringfence("session", env=home).exit_code


@pytest.mark.parametrize(
    "words", [("rm",), ("list", "one"), ("rm", "../one"), ("rm", ".one"), ("rm", "none"), ("clear",)]
)
def test_wrong_words_are_2(ringfence: Command, home: dict[str, str], words: tuple[str, ...]) -> None:
    """Nothing is removed on a guess."""
    ended = ringfence("session", *words, env=home)

    assert (2, "") == (ended.exit_code, ended.stdout)
    assert "hint:" in ended.stderr
