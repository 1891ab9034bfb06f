"""What `Program.wit` prints, beside what wasm-tools does of the same component."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from plugins.resources import COUNTERS, KEEPER
from plugins.streaming import streaming
from plugins.test_names import WEATHER
from programs.builders import tools
from ringfence import Program

EXAMPLES = Path(__file__).parents[2] / "examples"
SAME = {
    "records and variants": (EXAMPLES / "05-plugins" / "markdown.wat").read_bytes(),
    "lists": (EXAMPLES / "06-filter" / "filter.wat").read_bytes(),
    "imports": (EXAMPLES / "07-pricing" / "rules.wat").read_bytes(),
    "resources of the host": KEEPER,
    "streams": streaming("string", 8),
}
# They have no WIT, or not one that wasm-tools would print; ours is to be WIT all the same.
ONLY_OURS = {"resources": COUNTERS, "types of one shape": WEATHER}


def wit_of(path: Path) -> str:
    """Have wasm-tools read a component, or a text, and print its WIT."""
    command = ["wasm-tools", "component", "wit", "--all-features", str(path)]
    ended = subprocess.run(command, env={**os.environ, **tools()}, capture_output=True, text=True, check=False)
    assert 0 == ended.returncode, ended.stderr
    return ended.stdout


def declared(text: str) -> list[str]:
    """Give the lines that declare something: names of packages and worlds are each printer's own, and so is `use`."""
    lines = (line.strip() for line in text.splitlines())
    return sorted(line for line in lines if line and not line.startswith(("//", "package", "world", "use", "}")))


def ours(program: bytes, place: Path) -> Path:
    """Write what we print."""
    path = place / "ours.wit"
    path.write_text(Program.from_bytes(program).wit(wasi=True), encoding="utf-8")
    return path


@pytest.mark.parametrize("program", SAME.values(), ids=SAME)
def test_world_is_what_wasm_tools_prints(program: bytes, tmp_path: Path) -> None:
    """Every type and every function of it, line by line."""
    theirs = tmp_path / "theirs.wasm"
    theirs.write_bytes(program)

    assert declared(wit_of(theirs)) == declared(wit_of(ours(program, tmp_path)))


@pytest.mark.parametrize("program", ONLY_OURS.values(), ids=ONLY_OURS)
def test_world_of_what_was_written_by_hand_is_wit_too(program: bytes, tmp_path: Path) -> None:
    """wasm-tools reads it, though it could not have printed it."""
    assert "func(" in wit_of(ours(program, tmp_path))
