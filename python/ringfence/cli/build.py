"""`ringfence build`: a plugin, built by the tools of its language."""

from __future__ import annotations

from . import _output
from ._exit import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default=".", help="that of the plugin; this one")


def execute(arguments: argparse.Namespace) -> int:
    """Build it, and say where the component is."""
    from pathlib import Path

    from ringfence._build import build

    made = build(Path(arguments.folder))
    _output.say(f"built {made}, {made.stat().st_size} bytes")
    return Exit.OK
