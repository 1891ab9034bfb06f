"""Files stay small, and are named by their idea."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

MAX_LINES = 500
MAX_COMMAND_LINES = 120

# A file that may be longer, with its reason.
LONGER: dict[str, str] = {"python/ringfence/_core.pyi": "the native module is one, and so is its stub"}
COMMANDS_LONGER = {"python/ringfence/cli/completions.py": "three shells, each with a script of its own"}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc"}


def sources() -> list[Path]:
    """Give every source file that is ours."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.pyi", "*.rs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def lines(file: Path) -> int:
    """Count them."""
    return len(file.read_text(encoding="utf-8").splitlines())


def test_no_file_outgrows_its_idea() -> None:
    """At 500 lines there are two ideas in a file."""
    found = {str(file.relative_to(ROOT)): lines(file) for file in sources()}

    assert len(found) > 50
    assert set() == {name for name, count in found.items() if count > MAX_LINES} - LONGER.keys()


def test_verbs_stay_short() -> None:
    """A verb is its arguments, one call and its output."""
    verbs = (ROOT / "python" / "ringfence" / "cli").glob("*.py")
    found = {str(file.relative_to(ROOT)): lines(file) for file in verbs}

    assert set() == {name for name, count in found.items() if count > MAX_COMMAND_LINES} - COMMANDS_LONGER.keys()


def test_no_file_is_a_drawer() -> None:
    """A file is named by what it is about."""
    assert [] == [file for file in sources() if file.stem in NAMELESS or file.parent.name in NAMELESS]
