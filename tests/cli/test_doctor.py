"""`ringfence doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from conftest import Command


def test_findings_decide_the_exit_code(ringfence: Command) -> None:
    """Everything there is 0; anything missing is 1, and comes with its fix."""
    ended = ringfence("doctor", "--json")
    findings = json.loads(ended.stdout)

    assert len(findings) > 3
    assert (0 if all(finding["ok"] for finding in findings) else 1) == ended.exit_code
    assert all(finding["ok"] or finding["fix"] for finding in findings)


def test_report_has_a_line_for_each_finding(ringfence: Command) -> None:
    """People read the same."""
    findings = json.loads(ringfence("doctor", "--json").stdout)
    lines = ringfence("doctor").stdout.splitlines()

    assert [finding["name"] for finding in findings] == [
        finding["name"] for finding in findings if any(finding["name"] in line for line in lines)
    ]
    assert all(line.startswith(("ok  ", "missing  ", "   ")) for line in lines)


def test_walls_of_this_machine_are_told(ringfence: Command) -> None:
    """What workers and the compiler are held by is looked at, not assumed."""
    found = {finding["name"]: finding for finding in json.loads(ringfence("doctor", "--json").stdout)}

    whole = found["landlock"]["ok"] and found["seccomp"]["ok"]
    assert found["workers"]["ok"] == whole
    assert "child" in found["compiler"]["value"]
    assert not whole or found["compiler"]["value"] == "in a child that opens no file and starts nothing"


def test_language_is_told_with_its_state(
    ringfence: Command, shout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version, that its digest is right, and whether it is compiled; a damaged one comes with the command."""
    (tmp_path / "cache").mkdir(mode=0o700)
    monkeypatch.setenv("RINGFENCE_CACHE", str(tmp_path / "cache"))

    def language() -> dict[str, object]:
        findings = json.loads(ringfence("doctor", "--json").stdout)
        return next(finding for finding in findings if finding["name"] == "language shout")

    first = "SHOUT 1 in ringfence_language_shout 1.0.0, digest as it should be, compiled at its first run"
    assert {"name": "language shout", "value": first, "ok": True, "fix": None} == language()
    assert 0 == ringfence("run", "--language", "shout", "-c", "x").exit_code
    assert str(language()["value"]).endswith("digest as it should be, compiled")

    module = (shout / "shout.wat").read_text(encoding="utf-8")
    (shout / "shout.wat").write_text(module.replace("SHOUT:", "shout:"), encoding="utf-8")
    damaged = language()

    assert (False, "install it again: `ringfence languages install shout`") == (damaged["ok"], damaged["fix"])
    assert "its bytes have the digest" in str(damaged["value"])
    assert 1 == ringfence("doctor").exit_code


def test_no_language_is_no_problem(ringfence: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs run without one; the report says how to get one."""
    from ringfence.cli.doctor import _languages

    del ringfence
    monkeypatch.setattr("sys.path", [])
    [none] = _languages()

    assert none["ok"]
    assert "`ringfence languages install python`" in str(none["value"])
