"""
Acts on files, the same ones in WASI 0.1 and 0.2.

A `Script` collects acts and gives each a place in the list of answers; `wasi01.py` and `wasi02.py` say which calls an
act is. An answer is the name of the error as WASI 0.1 has it ("noent"), "closed" where the handle was never opened, or
what the act found: bytes, numbers, names; True where there is nothing to find.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from files.guest import EMPTY, ROOT, TEXTS, Answer, Record, answers, image

if TYPE_CHECKING:
    from collections.abc import Callable

    import ringfence

    Read = Callable[[list[Answer]], "Said"]

# What an act found, or the name of its error.
Said = Any

NOW = "now"


class Stat(NamedTuple):
    """What is told of a file; times in nanoseconds."""

    kind: str
    links: int
    size: int
    accessed: int
    modified: int


class Act(NamedTuple):
    """
    An act and its calls.

    Attributes:
        start: the first of its records.
        end: the one after its last.
        judged: the records that decide what is said: the error of the first that failed, or what the last gave.
        read: what the last gave.
    """

    start: int
    end: int
    judged: tuple[int, ...]
    read: Read


class Script(ABC):
    """What a guest is to do."""

    functions: ClassVar[list[str]]

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.acts: list[Act] = []
        self.texts = bytearray()

    @staticmethod
    @abstractmethod
    def guest() -> bytes:
        """Write the guest that does it."""

    def text(self, text: str | bytes) -> tuple[int, int]:
        """Put a text into the guest's memory; its address and length."""
        data = text.encode() if isinstance(text, str) else text
        self.texts += bytes(-len(self.texts) % 8)
        at = TEXTS + len(self.texts)
        self.texts += data
        return at, len(data)

    def run(self, sandbox: ringfence.Sandbox) -> Ran:
        """Do it all in a sandbox of this standard's guest."""
        result = sandbox.run(input=image(self.records, self.functions, bytes(self.texts)))
        found = answers(result.stdout)
        if len(found) != len(self.records):
            raise AssertionError((result, result.stderr, result.trap))
        return Ran(result, [self._said(act, found) for act in self.acts])

    def _act(self, *records: Record, judged: tuple[int, ...] = (0,), read: Read = lambda _: True) -> None:
        start = len(self.records)
        self.records.extend(records)
        self.acts.append(Act(start, len(self.records), judged, read))

    def _call(self, function: str, *args: int | str, read: Read = lambda _: True, **more: Any) -> None:
        """Call one function; a text is its address and length."""
        numbers: list[int] = []
        for arg in args:
            numbers.extend(self.text(arg) if isinstance(arg, str) else [arg])
        self._act(Record(function, tuple(numbers), **more), read=read)

    def _said(self, act: Act, found: list[list[Answer]]) -> Said:
        for judged in act.judged:
            of = act.start + judged
            if found[of][0].error == EMPTY:
                return "closed"
            if found[of][0].error:
                return self._error(self.records[of].function, found[of][0], found[act.end - 1])
        return act.read(found[act.start + act.judged[-1]])

    @abstractmethod
    def _error(self, function: str, answer: Answer, last: list[Answer]) -> Said:
        """Name the error of a call; `last` is what the act's last call gave."""

    @abstractmethod
    def open(
        self,
        slot: int,
        path: str,
        *,
        base: int = ROOT,
        read: bool = True,
        write: bool = False,
        create: bool = False,
        exclusive: bool = False,
        truncate: bool = False,
        directory: bool = False,
        append: bool = False,
        follow: bool = True,
    ) -> None:
        """Open a path into a slot; what was open there is closed."""

    @abstractmethod
    def close(self, slot: int) -> None:
        """Let go of a handle."""

    @abstractmethod
    def read(self, slot: int, offset: int, length: int) -> None:
        """Read at an offset."""

    @abstractmethod
    def write(self, slot: int, offset: int, data: bytes) -> None:
        """Write at an offset; how many bytes."""

    @abstractmethod
    def stream_read(self, slot: int, offset: int, length: int) -> None:
        """Seek, then read; in 0.2 a stream from there on."""

    @abstractmethod
    def stream_write(self, slot: int, offset: int, data: bytes) -> None:
        """Seek, then write; in 0.2 a stream from there on."""

    @abstractmethod
    def append(self, slot: int, data: bytes) -> None:
        """Write at the end, wherever that is: to what was opened with `append` in 0.1, by its own stream in 0.2."""

    @abstractmethod
    def stat(self, path: str, *, base: int = ROOT, follow: bool = True) -> None:
        """Look at what a path leads to."""

    @abstractmethod
    def fstat(self, slot: int) -> None:
        """Look at what is open."""

    @abstractmethod
    def set_size(self, slot: int, size: int) -> None:
        """Cut or stretch a file."""

    @abstractmethod
    def set_times(
        self,
        path: str,
        accessed: int | str | None,
        modified: int | str | None,
        *,
        base: int = ROOT,
        follow: bool = True,
    ) -> None:
        """Set times in nanoseconds, to `NOW`, or leave them."""

    @abstractmethod
    def fset_times(self, slot: int, accessed: int | str | None, modified: int | str | None) -> None:
        """The same for what is open."""

    @abstractmethod
    def list(self, slot: int) -> None:
        """Names with their kinds, in the order they come in, without `.` and `..`."""

    @abstractmethod
    def mkdir(self, path: str, *, base: int = ROOT) -> None:
        """Make a directory."""

    @abstractmethod
    def rmdir(self, path: str, *, base: int = ROOT) -> None:
        """Remove an empty directory."""

    @abstractmethod
    def unlink(self, path: str, *, base: int = ROOT) -> None:
        """Take a name away."""

    @abstractmethod
    def rename(self, old: str, new: str, *, base: int = ROOT, to: int = ROOT) -> None:
        """Give another name."""

    @abstractmethod
    def link(self, old: str, new: str, *, base: int = ROOT, to: int = ROOT, follow: bool = False) -> None:
        """Give a second name."""

    @abstractmethod
    def symlink(self, target: str, path: str, *, base: int = ROOT) -> None:
        """Make a symbolic link."""

    @abstractmethod
    def readlink(self, path: str, *, base: int = ROOT) -> None:
        """Say what a symbolic link names."""

    @abstractmethod
    def sync(self, slot: int) -> None:
        """Have it written to the disk."""


class Ran(NamedTuple):
    """A script that was done: the run, and an answer for each act."""

    result: ringfence.Result
    said: list[Said]


def flags(*flags: bool) -> int:
    """Write flags as a number, the first as the lowest bit."""
    return sum(1 << place for place, flag in enumerate(flags) if flag)
