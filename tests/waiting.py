"""Waiting for what comes soon, and not for ever."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until it holds, for as long as a busy machine takes."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def late(seconds: float = 0.5) -> float:
    """Give how late something may be that comes at once: by more where much else waits for a processor."""
    return seconds * (1 + os.getloadavg()[0] / (os.cpu_count() or 1))
