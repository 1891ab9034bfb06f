"""A run's standard streams: what was asked for, as descriptors, and the pipes to what has none."""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO, Literal, Protocol, Self

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

# What a pipe of Linux holds.
_CHUNK_BYTES = 64 * 1024


class Streams:
    """
    The three streams of one run.

    `stdin`, `stdout` and `stderr` are what the native side takes: descriptors, or None to read nothing and to capture.
    A source or sink without a descriptor gets a pipe; `pump` then moves the bytes while the guest runs on a thread.
    "pipe" leaves our end in `files`, for the caller to use and close.
    """

    __slots__ = ("_guest_ends", "_pumped", "files", "stderr", "stdin", "stdout")

    def __init__(self, stdin: Source, stdout: Sink, stderr: Sink) -> None:
        self._guest_ends: list[int] = []
        self._pumped: list[_Feed | _Drain] = []
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
        """Whether bytes need moving, so that the guest needs a thread of its own."""
        return bool(self._pumped)

    def pump(self) -> None:
        """Feed the source and drain the sinks on this thread, until the guest has let go of its ends."""
        import selectors

        with selectors.DefaultSelector() as selector:
            for pipe in self._pumped:
                selector.register(pipe.end, pipe.event, pipe)
            while selector.get_map():
                for key, _ in selector.select():
                    pipe = key.data
                    if not pipe.move():
                        selector.unregister(pipe.end)
                        self._pumped.remove(pipe)
                        os.close(pipe.end)

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
                f"stdin cannot be {source!r}: the guest has nothing to read it from\n"
                'hint: give "inherit", a file, a descriptor, or bytes as `input=`'
            )
        guest, ours = os.pipe()
        self._guest_ends.append(guest)
        self._pumped.append(_Feed(ours, read))
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
                f"{name} cannot be {sink!r}: a guest writes bytes, and this does not take them\n"
                'hint: give "capture", "inherit", "discard", a binary file, a descriptor, or a function of bytes'
            )
        ours, guest = os.pipe()
        self._guest_ends.append(guest)
        self._pumped.append(_Drain(ours, take))
        return guest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Feed:
    """Our end of a pipe into the guest."""

    __slots__ = ("_pending", "_read", "end")
    event = 2  # selectors.EVENT_WRITE

    def __init__(self, end: int, read: Callable[[int], bytes]) -> None:
        os.set_blocking(end, False)
        self.end = end
        self._read = read
        self._pending = b""

    def move(self) -> bool:
        """Move what fits; False when there is no more, or nobody to read it."""
        self._pending = self._pending or self._read(_CHUNK_BYTES)
        if not self._pending:
            return False
        try:
            self._pending = self._pending[os.write(self.end, self._pending) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False
        return True


class _Drain:
    """Our end of a pipe out of the guest."""

    __slots__ = ("_take", "end")
    event = 1  # selectors.EVENT_READ

    def __init__(self, end: int, take: Callable[[bytes], object]) -> None:
        self.end = end
        self._take = take

    def move(self) -> bool:
        """Move what is there; False when the guest will write no more."""
        data = os.read(self.end, _CHUNK_BYTES)
        if data:
            self._take(data)
        return bool(data)


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
