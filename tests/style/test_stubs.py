"""The stub of the native module is true."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_stub_equals_the_native_module() -> None:
    """Every name, parameter and default of `_core` is in its stub, and nothing else is."""
    ended = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "ringfence._core", "--mypy-config-file", "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == ended.returncode, ended.stdout + ended.stderr
