"""A guest that runs while its caller does something else: `Process`."""

from __future__ import annotations

import contextlib

from ._result import Result
from ._running import Running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO, Self

    from ._engine import core
    from ._streams import Streams


class Process:
    """
    A running guest, to be used like `subprocess.Popen`. Made by `Sandbox.start`.

    As there, a pipe that nobody reads fills up and holds the guest until its limits end it, and what is written to
    `stdin` goes out with `flush` or `close`. Leaving a `with` block closes the pipes and waits; leaving it by an
    exception kills the guest. A process that is dropped is killed.

    Attributes:
        stdin: where to write its input; None unless it is a pipe.
        stdout: where to read its output; None unless it is a pipe.
        stderr: where to read its errors; None unless it is a pipe.
    """

    __slots__ = ("__weakref__", "_running", "stderr", "stdin", "stdout")
    stdin: BinaryIO | None
    stdout: BinaryIO | None
    stderr: BinaryIO | None

    def __init__(self, work: Callable[[core.Kill], core.Result], streams: Streams, /) -> None:
        self.stdin = streams.files.get("stdin")
        self.stdout = streams.files.get("stdout")
        self.stderr = streams.files.get("stderr")
        self._running: Running[core.Result] = Running(work, done=streams.let_go)

    @property
    def result(self) -> Result | None:
        """How it ended; None while it runs."""
        return Result(self._running.wait()) if self._running.over else None

    def poll(self) -> Result | None:
        """Look whether it has ended: the result, or None."""
        return self.result

    def wait(self, timeout: float | None = None) -> Result:
        """
        Wait for it to end.

        Raises:
            TimeoutError: it is still running after `timeout` seconds. The guest goes on.
        """
        return Result(self._running.wait(timeout))

    def kill(self) -> None:
        """End it, within 100 ms; its outcome is "cancelled". Harmless when it is over."""
        self._running.kill.kill()

    def close(self) -> None:
        """Close our ends of its pipes."""
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._running.kill.kill()
        self.close()
        try:
            self._running.wait()
        except BaseException:
            self._running.end()
            raise

    def __del__(self) -> None:
        running = getattr(self, "_running", None)
        if running is not None:
            running.kill.kill()
            self.close()

    def __repr__(self) -> str:
        return f"<Process {self.result or 'running'}>"
