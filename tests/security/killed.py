"""Processes that are killed while they save: a real `kill -9`, at whatever moment."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KILLS = 8


def saving(script: str, file: Path, check: Callable[[], bool], *arguments: str) -> None:
    """
    Run a script that saves two states to a file in turn, again and again, and kill it.

    What is there each time has to be one of the two, whole, and beside it at most one unfinished file for each kill.
    """
    draw = random.Random(2)  # noqa: S311
    for kill in range(KILLS):
        command = [sys.executable, "-c", script, str(file), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert b"begun\n" == process.stdout.readline()
            while not file.exists():
                time.sleep(0.001)
            time.sleep(draw.random() * 0.2)
            process.send_signal(signal.SIGKILL)
        assert check()
        assert len([entry for entry in file.parent.iterdir() if entry.name.startswith(".")]) <= kill + 1
