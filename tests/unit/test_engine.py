"""The door to the native side."""

import subprocess
import sys

from ringfence._engine import _CHILD, core


def test_child_process_loads_neither_site_nor_the_package() -> None:
    """A child that compiles untrusted bytes, or runs guests, loads the extension and nothing else."""
    code = _CHILD.replace("os._exit(getattr(core, sys.argv[2])())", "print(*sorted(sys.modules))")

    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, core.__file__], capture_output=True, text=True, check=True
    )

    loaded = set(ended.stdout.split())
    assert "sys" in loaded
    assert not loaded & {"site", "ringfence", "ringfence.errors", "json", "re"}
