"""The command `ringfence`: one file a verb, each with `add_arguments` and `execute`."""

from ._main import main

__all__ = ["main"]
