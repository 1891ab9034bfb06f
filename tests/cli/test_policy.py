"""`ringfence policy`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ringfence import Policy

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command


def test_schema_is_printed(ringfence: Command) -> None:
    """The schema is the library's."""
    assert json.loads(Policy.schema()) == json.loads(ringfence("policy", "schema").stdout)


def test_checked_policy_comes_back_whole(ringfence: Command, tmp_path: Path) -> None:
    """Every default is filled in, so that one sees what is granted."""
    (tmp_path / "policy.toml").write_text("tmp = true\n", encoding="utf-8")
    ended = ringfence("policy", "check", "policy.toml")

    (tmp_path / "whole.toml").write_text(ended.stdout, encoding="utf-8")
    assert (0, "") == (ended.exit_code, ended.stderr)
    assert Policy(tmp=True) == Policy.from_file(tmp_path / "whole.toml")


def test_wrong_policy_is_2(ringfence: Command, tmp_path: Path) -> None:
    """File, line and the nearest right key are named."""
    (tmp_path / "policy.toml").write_text("tmp = true\nclcok = 1\n", encoding="utf-8")
    ended = ringfence("policy", "check", "policy.toml")

    assert (2, "") == (ended.exit_code, ended.stdout)
    assert all(word in ended.stderr for word in ("policy.toml", "2", "clcok", "clock"))


def test_missing_words_are_2(ringfence: Command) -> None:
    """No file is looked for by itself."""
    assert 2 == ringfence("policy", "check").exit_code
    assert 2 == ringfence("policy", "schema", "policy.toml").exit_code
