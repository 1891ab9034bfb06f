"""The door to the native side: the only file that imports `_core`."""

from __future__ import annotations

import atexit
import sys

from . import _core as core

__all__ = ["core"]

# Untrusted bytes are compiled in a child process, and guests may be run in others. They load the extension by its path
# and nothing else: no site, no package, no environment, so that they start in milliseconds and obey nobody. They end
# without Python's own end, which asks the kernel for more than is left behind the wall.
_CHILD = """
import os, sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
loader = ExtensionFileLoader("ringfence._core", sys.argv[1])
core = loader.create_module(ModuleSpec("ringfence._core", loader, origin=sys.argv[1]))
loader.exec_module(core)
os._exit(getattr(core, sys.argv[2])())
"""

core.set_compiler([sys.executable, "-I", "-S", "-c", _CHILD, core.__file__, "compile_child"])
core.set_worker([sys.executable, "-I", "-S", "-c", _CHILD, core.__file__, "worker_child"])
atexit.register(core.close_interpreter)
