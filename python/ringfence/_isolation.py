"""Where guests are kept apart from this process: `Isolation`, and the end of the processes that it starts."""

from __future__ import annotations

from weakref import WeakSet

from ._engine import core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, Protocol

    Isolation = Literal["wasm", "process", "worker"]

    class Closing(Protocol):
        """What has a worker for as long as it is not closed."""

        def close(self) -> None:
            """Give it back."""


# Child processes with guests in them that there may be at one time.
MAX_WORKERS = 64

_open: WeakSet[Closing] = WeakSet()
_registered = False


def close_at_exit(holder: Closing | None = None) -> None:
    """See to it that no worker, and nothing that is a worker's, is left when the interpreter is: this holder's too."""
    global _registered  # noqa: PLW0603
    if holder is not None:
        _open.add(holder)
    if not _registered:
        import atexit

        _registered = True
        atexit.register(close_all)


def close_all() -> None:
    """End them now: for who leaves without the interpreter's own end."""
    for holder in list(_open):
        holder.close()
    if _registered:
        core.close_workers()
