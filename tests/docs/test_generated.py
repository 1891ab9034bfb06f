"""Pages that are made of the code say what the code says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_generated_pages_are_fresh() -> None:
    """A flag, a key, a name or a docstring that changes leaves no page behind."""
    ended = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "docs.py"), "--check"], capture_output=True, text=True, check=False
    )

    assert (0, "") == (ended.returncode, ended.stderr)
