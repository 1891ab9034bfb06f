"""`ringfence doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
