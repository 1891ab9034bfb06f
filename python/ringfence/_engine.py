"""The door to the native side: the only file that imports `_core`."""

from __future__ import annotations

import sys

from . import _core as core

__all__ = ["core"]

# Untrusted bytes are compiled in a child process. It loads the extension by its path and nothing else:
# no site, no package, no environment, so that it starts in milliseconds and obeys nobody. It ends without Python's
# own end, which asks the kernel for more than is left behind the wall.
_COMPILER = """
import os, sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
loader = ExtensionFileLoader("ringfence._core", sys.argv[1])
core = loader.create_module(ModuleSpec("ringfence._core", loader, origin=sys.argv[1]))
loader.exec_module(core)
os._exit(core.compile_child())
"""

core.set_compiler([sys.executable, "-I", "-S", "-c", _COMPILER, core.__file__])
