"""Steps of a build: a line each with its time, everything else in a log."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from packs.building.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

TAIL_LINES = 8
# A long step says that it is alive, where nobody can see a cursor wait.
STILL_SECONDS = 30


class Steps:
    """
    The progress of one build.

    Args:
        title: what is built, in front of each line.
        log: where the words of the tools go; it is begun anew.
    """

    def __init__(self, title: str, log: Path) -> None:
        self.title, self.log = title, log
        self._step = ""
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log.write_bytes(b"")

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step: its line is written at once on a terminal, else when it has ended."""
        before, self._step = self._step, name
        terminal = sys.stdout.isatty()
        if terminal:
            print(f"    {self.title}: {name} …", end="", flush=True)  # noqa: T201
        begun = time.monotonic()
        try:
            yield
        except BaseException:
            if terminal:
                print(flush=True)  # noqa: T201
            raise
        line = f"    {self.title}: {name:<28} {time.monotonic() - begun:6.1f} s"
        print(f"\r\x1b[K{line}" if terminal else line, flush=True)  # noqa: T201
        self._step = before

    def run(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        fix: str = "read the log; a fresh `make packs` begins where this one ended",
    ) -> None:
        """Run a tool to its end, its words to the log; its failure is ours, with its last words."""
        words = [str(word) for word in command]
        with self.log.open("ab") as log:
            log.write(f"\n$ {' '.join(words)}\n".encode())
            log.flush()
            begin = log.tell()
            try:
                code = subprocess.run(  # noqa: S603
                    words,
                    cwd=cwd,
                    env={**os.environ, **(env or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=False,
                ).returncode
            except OSError as error:
                raise Failure(
                    f"{self.title}, {self._step}", f"`{words[0]}` does not start: {error.strerror}", fix
                ) from error
        if code:
            raise Failure(f"{self.title}, {self._step}", f"`{words[0]}` ended with {code}{self._last(begin)}", fix)

    def _last(self, begin: int) -> str:
        with self.log.open("rb") as log:
            log.seek(begin)
            said = log.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        return "".join(f"\n    {line}" for line in said) + f"\n(the whole of it is in {self.log})"
