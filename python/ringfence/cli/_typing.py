"""Lines from a person at a terminal, or from a file: prompts, editing and history where there is a terminal."""

from __future__ import annotations

import contextlib
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HISTORY_LINES = 1000


class Typing:
    """
    Reads lines.

    Attributes:
        is_terminal: whether somebody sits there.
    """

    __slots__ = ("is_terminal",)

    def __init__(self) -> None:
        self.is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        if not self.is_terminal:
            sys.stdin.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]

    def line(self, prompt: str) -> str:
        """Give the next line, without its end; EOFError when there is none."""
        return input(prompt if self.is_terminal else "")

    @contextlib.contextmanager
    def history(self, language: str) -> Iterator[None]:
        """Keep what is typed for the next time, where only we can read it; no terminal, no history."""
        if not self.is_terminal:
            yield
            return
        try:
            import readline
        except ImportError:  # a Python without it has lines all the same
            yield
            return
        file = os.path.join(_state_folder(), f"history-{language}")  # noqa: PTH118 - pathlib costs 4 ms to import
        readline.clear_history()
        readline.set_history_length(_HISTORY_LINES)
        with contextlib.suppress(OSError):
            readline.read_history_file(file)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
                os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
                readline.write_history_file(file)


def _state_folder() -> str:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111
    return os.path.join(state, "ringfence")  # noqa: PTH118
