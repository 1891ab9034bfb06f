"""The door to the native side."""

import subprocess
import sys

from ringfence._engine import _COMPILER, core


def test_compiler_child_loads_neither_site_nor_the_package() -> None:
    """The child that compiles untrusted bytes runs the extension and nothing else."""
    code = _COMPILER.replace("os._exit(core.compile_child())", "print(*sorted(sys.modules))")

    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, core.__file__], capture_output=True, text=True, check=True
    )

    loaded = set(ended.stdout.split())
    assert "sys" in loaded
    assert not loaded & {"site", "ringfence", "ringfence.errors", "json", "re"}
