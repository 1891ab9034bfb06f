"""Acts on files as calls of WASI 0.2."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar

from files.acts import NOW, Script, Stat, flags
from files.guest import AREA, FAILURE, ROOT, SCRATCH, Answer, Dump, Record, Slot, guest_02
from files.world import ERRORS, FUNCTIONS_02, KINDS

if TYPE_CHECKING:
    from files.acts import Said

NAMES = tuple(ERRORS.values())
BILLION = 1_000_000_000
# Where an error lies, by what the answer could have been instead: after a byte of its own, four or eight.
WIDE = {"stat", "stat-at", "write"}
NARROW = {
    "set-size", "set-times", "create-directory-at", "set-times-at", "link-at", "remove-directory-at", "rename-at",
    "symlink-at", "unlink-file-at", "sync", "sync-data",
}  # fmt: skip


class Wasi02(Script):
    """Acts as calls of WASI 0.2."""

    functions: ClassVar = list(FUNCTIONS_02)
    guest = staticmethod(guest_02)

    def _error(self, function: str, answer: Answer, last: list[Answer]) -> Said:
        if function.startswith("blocking-"):
            # The stream failed, and why was asked afterwards; or it is at its end.
            return NAMES[last[0].area[1]] if last[0].area[0] == 1 else b""
        return NAMES[answer.area[8 if function in WIDE else 1 if function in NARROW else 4]]

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
        append: bool = False,  # noqa: ARG002 - a stream of its own
        follow: bool = True,
    ) -> None:
        # To change the names in a directory is a right of its own.
        rights = flags(read, write, False, False, False, write)
        oflags = flags(create, directory, exclusive, truncate)
        opened = (Slot(base), int(follow), *self.text(path), oflags, rights, AREA)
        closed = Record("drop-descriptor", (Slot(slot),), clears=slot)
        self._act(closed, Record("open-at", opened, keep=slot, kept_at=4), judged=(1,))

    def close(self, slot: int) -> None:
        self._call("drop-descriptor", Slot(slot), clears=slot)

    def read(self, slot: int, offset: int, length: int) -> None:
        self._call("read", Slot(slot), length, offset, AREA, dump=Dump(2, 4), read=_dumped)

    def write(self, slot: int, offset: int, data: bytes) -> None:
        written = (Slot(slot), *self.text(data), offset, AREA)
        self._call("write", *written, read=lambda found: int.from_bytes(found[0].area[8:16], "little"))

    def stream_read(self, slot: int, offset: int, length: int) -> None:
        opened = Record("read-via-stream", (Slot(slot), offset, AREA), keep=SCRATCH, kept_at=4)
        used = Record("blocking-read", (Slot(SCRATCH), length, AREA), keep=FAILURE, kept_at=8, dump=Dump(2, 4))
        self._stream(opened, used, "drop-input")

    def stream_write(self, slot: int, offset: int, data: bytes) -> None:
        opened = Record("write-via-stream", (Slot(slot), offset, AREA), keep=SCRATCH, kept_at=4)
        self._stream(opened, self._written(data), "drop-output")

    def append(self, slot: int, data: bytes) -> None:
        opened = Record("append-via-stream", (Slot(slot), AREA), keep=SCRATCH, kept_at=4)
        self._stream(opened, self._written(data), "drop-output")

    def _written(self, data: bytes) -> Record:
        args = (Slot(SCRATCH), *self.text(data), AREA)
        return Record("blocking-write-and-flush", args, keep=FAILURE, kept_at=8)

    def _stream(self, opened: Record, used: Record, drop: str) -> None:
        def read(found: list[Answer]) -> Said:
            return found[0].dumped if drop == "drop-input" else True

        self._act(
            opened,
            used,
            Record(drop, (Slot(SCRATCH),), clears=SCRATCH),
            Record("filesystem-error-code", (Slot(FAILURE), AREA)),
            judged=(0, 1),
            read=read,
        )

    def stat(self, path: str, *, base: int = ROOT, follow: bool = True) -> None:
        self._call("stat-at", Slot(base), int(follow), path, AREA, read=_stat)

    def fstat(self, slot: int) -> None:
        self._call("stat", Slot(slot), AREA, read=_stat)

    def set_size(self, slot: int, size: int) -> None:
        self._call("set-size", Slot(slot), size, AREA)

    def set_times(
        self,
        path: str,
        accessed: int | str | None,
        modified: int | str | None,
        *,
        base: int = ROOT,
        follow: bool = True,
    ) -> None:
        self._call("set-times-at", Slot(base), int(follow), path, *_time(accessed), *_time(modified), AREA)

    def fset_times(self, slot: int, accessed: int | str | None, modified: int | str | None) -> None:
        self._call("set-times", Slot(slot), *_time(accessed), *_time(modified), AREA)

    def list(self, slot: int) -> None:
        def read(found: list[Answer]) -> Said:
            return [(answer.dumped.decode(), KINDS[answer.area[8]]) for answer in found if answer.area[4]]

        self._act(
            Record("read-directory", (Slot(slot), AREA), keep=SCRATCH, kept_at=4),
            Record("read-directory-entry", (Slot(SCRATCH), AREA), dump=Dump(2, 12), again_at=4),
            Record("drop-listing", (Slot(SCRATCH),), clears=SCRATCH),
            judged=(0, 1),
            read=read,
        )

    def mkdir(self, path: str, *, base: int = ROOT) -> None:
        self._call("create-directory-at", Slot(base), path, AREA)

    def rmdir(self, path: str, *, base: int = ROOT) -> None:
        self._call("remove-directory-at", Slot(base), path, AREA)

    def unlink(self, path: str, *, base: int = ROOT) -> None:
        self._call("unlink-file-at", Slot(base), path, AREA)

    def rename(self, old: str, new: str, *, base: int = ROOT, to: int = ROOT) -> None:
        self._call("rename-at", Slot(base), old, Slot(to), new, AREA)

    def link(self, old: str, new: str, *, base: int = ROOT, to: int = ROOT, follow: bool = False) -> None:
        self._call("link-at", Slot(base), int(follow), old, Slot(to), new, AREA)

    def symlink(self, target: str, path: str, *, base: int = ROOT) -> None:
        self._call("symlink-at", Slot(base), target, path, AREA)

    def readlink(self, path: str, *, base: int = ROOT) -> None:
        self._call("readlink-at", Slot(base), path, AREA, dump=Dump(2, 4), read=lambda found: found[0].dumped.decode())

    def sync(self, slot: int) -> None:
        self._call("sync", Slot(slot), AREA)


def _dumped(found: list[Answer]) -> bytes:
    return found[0].dumped


def _stat(found: list[Answer]) -> Stat:
    area = found[0].area
    links, size = struct.unpack_from("<2Q", area, 16)
    accessed, modified = (seconds * BILLION + nanos for seconds, nanos in (_datetime(area, at) for at in (32, 56)))
    return Stat(KINDS[area[8]], links, size, accessed, modified)


def _datetime(area: bytes, at: int) -> tuple[int, int]:
    seconds, nanos = struct.unpack_from("<QI", area, at + 8)
    return seconds, nanos


def _time(time: int | str | None) -> tuple[int, int, int]:
    """Write a time as its case, seconds and nanoseconds."""
    if isinstance(time, int):
        return (2, *divmod(time, BILLION))
    return (1 if time == NOW else 0, 0, 0)
