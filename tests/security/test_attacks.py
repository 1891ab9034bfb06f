"""Sixty hostile programs, each of which ends exactly as `crates/guests/attacks/manifest.json` wants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ringfence import Dir, Limits, LoadError, Policy
from security.isolated import run
from waiting import late

pytestmark = pytest.mark.usefixtures("isolation")

ATTACKS = Path(__file__).parents[2] / "crates" / "guests" / "attacks"
MANIFEST = json.loads((ATTACKS / "manifest.json").read_text(encoding="utf-8"))["attacks"]
WALL_SECONDS = 0.3
WALL_SECONDS_FOR_OTHER_ENDS = 20


@pytest.mark.parametrize("attack", MANIFEST, ids=[attack["file"].removesuffix(".wat") for attack in MANIFEST])
def test_attack_ends_as_wanted(attack: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contained, typed, and stopped in time; the next run works."""
    monkeypatch.setenv("HOST_SECRET", "not for guests")
    grants = attack.get("grants", {})
    wanted = attack["wanted"]
    # Others may take their time on a busy machine.
    wall = WALL_SECONDS if wanted.get("limit") == "wall" else WALL_SECONDS_FOR_OTHER_ENDS
    policy = Policy(
        limits=Limits(wall=wall, **grants.get("limits", {})),
        env=grants.get("env", {}),
        dirs=[Dir(tmp_path, at=grants["writable"], mode="rw")] if "writable" in grants else [],
    )
    if "error" in wanted:
        with pytest.raises(LoadError) as refused:
            run(ATTACKS / attack["file"], policy=policy)
        assert wanted["says"] in str(refused.value)
        assert str(refused.value).replace("\n", "").isprintable()
        return

    with Path("/dev/zero" if grants.get("stdin") == "endless" else "/dev/null").open("rb") as stdin:
        result = run(ATTACKS / attack["file"], policy=policy, stdin=stdin)

    assert wanted == {key: getattr(result, key) for key in wanted}
    assert result.usage.wall_seconds < wall + late()
    assert attack.get("stdout_holds", "") in result.text
    assert bytes.fromhex(attack.get("stdout_holds_hex", "")) in result.stdout
    assert attack.get("stdout_lacks", "\x00nothing") not in result.text
    assert run(ATTACKS.parent / "hello.wat").ok


def test_every_attack_is_in_the_manifest() -> None:
    """A program that no test runs proves nothing."""
    assert sorted(path.name for path in ATTACKS.glob("*.wat")) == sorted(attack["file"] for attack in MANIFEST)


@pytest.mark.parametrize("code", [0, 1, 2, 124, 125, 126, 127, 128, 134, 137, 139, 255, 256, 512, 2**31, 2**32 - 1])
def test_exit_code_is_the_guests_own(guests: Path, code: int) -> None:
    """Every code of 32 bits comes back as it was, also those that look like a signal, a limit or a trap."""
    result = run(guests / "exit_code.wat", [str(code)])

    assert ("exited", code, code == 0) == (result.outcome, result.exit_code, result.ok)
