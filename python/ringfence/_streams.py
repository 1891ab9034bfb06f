"""A run's standard streams: what was asked for, as descriptors, and the pipes to what has none."""

from __future__ import annotations

import io
import os
import sys

from ._text import quote

# Of what cannot be a stream, in characters.
_SHOWN = 100

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO, Literal, Protocol, Self, TypeVar

    from ._engine import core
    from ._pumps import Drain, Feed
    from ._turn import Turn

    T = TypeVar("T", core.Result, Turn)

    class HasFileno(Protocol):
        """An open file, socket or pipe."""

        def fileno(self) -> int:
            """Give its descriptor."""

    class Readable(Protocol):
        """A binary file that lives in memory."""

        def read(self, size: int, /) -> bytes:
            """Give at most `size` bytes, none at the end."""

    class Writable(Protocol):
        """A binary file that lives in memory."""

        def write(self, data: bytes, /) -> object:
            """Take these bytes."""

    Source = Literal["inherit", "pipe"] | int | HasFileno | Readable | None
    Sink = Literal["capture", "inherit", "discard", "pipe"] | int | HasFileno | Writable | Callable[[bytes], object]


def _shown(given: object) -> str:
    """Name what was given, of bytes or text its beginning."""
    return quote(repr(given[:_SHOWN] if isinstance(given, str | bytes | bytearray) else given), _SHOWN)


class Streams:
    """
    The three streams of one run.

    `stdin`, `stdout` and `stderr` are what the native side takes: descriptors, or None to read nothing and to capture.
    A source or sink without a descriptor gets a pipe; `around` then moves the bytes, on threads of their own.
    "pipe" leaves our end in `files`, for the caller to use and close.
    """

    __slots__ = ("_guest_ends", "_pumped", "files", "stderr", "stdin", "stdout")

    def __init__(self, stdin: Source, stdout: Sink, stderr: Sink) -> None:
        self._guest_ends: list[int] = []
        self._pumped: list[Feed | Drain] = []
        self.files: dict[str, BinaryIO] = {}
        self.stdin: int | None = None
        self.stdout: int | None = None
        self.stderr: int | None = None
        try:
            self.stdin = self._source(stdin)
            self.stdout = self._sink("stdout", stdout)
            self.stderr = self._sink("stderr", stderr)
        except BaseException:
            self.close()
            raise

    @property
    def piped(self) -> bool:
        """Whether bytes need moving while the guest runs."""
        return bool(self._pumped)

    def around(self, work: Callable[[core.Kill], T], *, kill: core.Kill | None, wall_seconds: float) -> T:
        """Run a guest while its bytes are moved; they are moved when this returns, or the time is over."""
        from ._pumps import with_pumps

        pipes, self._pumped = self._pumped, []
        return with_pumps(pipes, work, let_go=self.let_go, kill=kill, wall_seconds=wall_seconds)

    def let_go(self) -> None:
        """Close the guest's ends, so that the drains come to their end: called once the guest is gone."""
        while self._guest_ends:
            os.close(self._guest_ends.pop())

    def close(self) -> None:
        """Close everything that is ours to close."""
        self.let_go()
        while self._pumped:
            os.close(self._pumped.pop().end)
        for file in self.files.values():
            file.close()

    def _source(self, source: Source) -> int | None:
        if source is None:
            return None
        if source == "inherit":
            return None if sys.__stdin__ is None else 0
        if source == "pipe":
            guest, ours = os.pipe()
            self._guest_ends.append(guest)
            self.files["stdin"] = os.fdopen(ours, "wb")
            return guest
        descriptor = _descriptor(source)
        if descriptor is not None:
            return descriptor
        read = getattr(source, "read", None)
        if read is None:
            raise ValueError(
                f"stdin cannot be {_shown(source)}: the guest has nothing to read it from\n"
                'hint: give "inherit", a file, a descriptor, or bytes as `input=`'
            )
        from ._pumps import Feed

        guest, ours = os.pipe()
        self._guest_ends.append(guest)
        self._pumped.append(Feed(_title("stdin", source), ours, read))
        return guest

    def _sink(self, name: str, sink: Sink) -> int | None:
        if sink == "capture":
            return None
        # A stream that was closed when we started has a number that by now means another file.
        closed = getattr(sys, f"__{name}__") is None
        if sink == "inherit" and not closed:
            return 1 if name == "stdout" else 2
        if sink in ("discard", "inherit"):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            self._guest_ends.append(nowhere)
            return nowhere
        if sink == "pipe":
            ours, guest = os.pipe()
            self._guest_ends.append(guest)
            self.files[name] = os.fdopen(ours, "rb")
            return guest
        descriptor = _descriptor(sink)
        if descriptor is not None:
            return descriptor
        take = sink if callable(sink) else getattr(getattr(sink, "buffer", sink), "write", None)
        if take is None or (isinstance(sink, io.TextIOBase) and not hasattr(sink, "buffer")):
            raise ValueError(
                f"{name} cannot be {_shown(sink)}: a guest writes bytes, and this does not take them\n"
                'hint: give "capture", "inherit", "discard", a binary file, a descriptor, or a function of bytes'
            )
        from ._pumps import Drain

        ours, guest = os.pipe()
        self._guest_ends.append(guest)
        self._pumped.append(Drain(_title(name, sink), ours, take))
        return guest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _descriptor(stream: object) -> int | None:
    """Give the descriptor of what has one, with everything written to it before on its way."""
    if isinstance(stream, int):
        return stream
    try:
        descriptor: int = stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, io.UnsupportedOperation):
        return None
    flush = getattr(stream, "flush", None)
    if flush is not None:
        flush()
    return descriptor


def _title(name: str, stream: object) -> str:
    """Name a stream's function for people: `stdout=show`."""
    return f"{name}={getattr(stream, '__qualname__', type(stream).__qualname__)}"
