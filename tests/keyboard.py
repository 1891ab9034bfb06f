"""Ctrl-C, for the command."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def interrupted(*words: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """Press Ctrl-C as soon as the command has written `ready`; give its exit code, what follows, and what it says."""
    with subprocess.Popen(
        [sys.executable, "-m", "ringfence", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        preexec_fn=_hears,  # noqa: PLW1509
    ) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=60)
    return process.returncode, said, told


def _hears() -> None:
    # Where a shell started the tests in the background, an interrupt would be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
