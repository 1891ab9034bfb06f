"""Values print as node prints them, where node is on this machine to compare with."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ringfence import Sandbox

NODE = shutil.which("node")
# Node changes its layout from time to time; this is what these lines were compared with.
LEAST_NODE = 18

LINES = (Path(__file__).parent / "printing.js").read_text(encoding="utf-8").splitlines()[1:]


@pytest.mark.skipif(NODE is None, reason="there is no node on this machine")
@pytest.mark.parametrize("line", LINES)
def test_console_prints_what_node_prints(line: str) -> None:
    """To the byte, layout and all."""
    assert NODE is not None
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < LEAST_NODE:
        pytest.skip("this node is too old to compare with")
    told = subprocess.run([NODE, "-e", line], capture_output=True, check=True).stdout

    assert told.decode() == Sandbox(language="javascript").run(code=line).check().text
