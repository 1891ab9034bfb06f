"""What this process and its workers hold in memory, as the kernel counts it; for the scripts that measure."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

SECONDS = 0.002


class Held:
    """
    Watches from where it is made, when everything is loaded: the bytes held beyond that, at most and by now.

    A worker counts with what it holds beyond one that has run a program already, and with its own peak.
    """

    def __init__(self) -> None:
        self.most = 0
        self._before = of_this_process()
        self._worker = max((number(worker, "VmRSS") for worker in children()), default=0)
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._watching.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watching.join()
        self.most = max(self.most, self.now())

    def now(self, field: str = "VmRSS") -> int:
        """Sum up what is held beyond what was."""
        of_workers = sum(max(0, number(worker, field) - self._worker) for worker in children())
        return of_this_process() - self._before + of_workers

    def _watch(self) -> None:
        while not self._over.wait(SECONDS):
            self.most = max(self.most, self.now("VmHWM"))


def of_this_process() -> int:
    """Sum up private and shared memory."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    fields = dict(line.split(":", 1) for line in lines)
    names = ("Private_Clean", "Private_Dirty", "Shared_Clean", "Shared_Dirty")
    return sum(int(fields[name].split()[0]) for name in names) * 1024


def kernel_text(file: Path) -> str:
    """Read what the kernel tells of a process or a thread; nothing of one that has gone meanwhile."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def children(process: int | str = "self") -> list[int]:
    """List the children of a process, whichever of its threads started them."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for task in tasks for child in kernel_text(task / "children").split()]


def number(process: int, name: str) -> int:
    """Give a field of a process in bytes; 0 of one that is gone."""
    lines = kernel_text(Path(f"/proc/{process}/status")).splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
