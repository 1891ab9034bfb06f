"""Acts on files as calls of WASI 0.1."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar

from files.acts import NOW, Script, Stat, flags
from files.guest import AREA, BUFFER, FUNCTIONS_01, ROOT, Answer, Dump, Record, Slot, guest_01

if TYPE_CHECKING:
    from files.acts import Read

ERRORS = {
    0: "", 2: "acces", 8: "badf", 10: "busy", 19: "dquot", 20: "exist", 21: "fault", 22: "fbig", 25: "ilseq",
    27: "intr", 28: "inval", 29: "io", 31: "isdir", 32: "loop", 33: "mfile", 34: "mlink", 37: "nametoolong",
    43: "nodev", 44: "noent", 48: "nomem", 51: "nospc", 52: "nosys", 54: "notdir", 55: "notempty", 58: "notsup",
    60: "nxio", 61: "overflow", 63: "perm", 64: "pipe", 69: "rofs", 70: "spipe", 74: "txtbsy", 75: "xdev",
    76: "notcapable",
}  # fmt: skip
KINDS = ("unknown", "block", "character", "directory", "file", "socket", "socket", "link")


class Wasi01(Script):
    """Acts as calls of WASI 0.1."""

    functions: ClassVar = list(FUNCTIONS_01)
    guest = staticmethod(guest_01)

    def _error(self, function: str, answer: Answer, last: list[Answer]) -> str:  # noqa: ARG002
        return ERRORS[answer.error]

    def _vector(self, data: bytes) -> int:
        return self.text(struct.pack("<II", *self.text(data)))[0]

    def _into(self, length: int) -> int:
        return self.text(struct.pack("<II", BUFFER, length))[0]

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
        rights = (2 if read else 0) | (64 if write else 0)
        oflags = flags(create, directory, exclusive, truncate)
        opened = (Slot(base), int(follow), *self.text(path), oflags, rights, 0, int(append), AREA)
        closed = Record("fd_close", (Slot(slot),), clears=slot)
        self._act(closed, Record("path_open", opened, keep=slot, kept_at=0), judged=(1,))

    def close(self, slot: int) -> None:
        self._call("fd_close", Slot(slot), clears=slot)

    def read(self, slot: int, offset: int, length: int) -> None:
        args = (Slot(slot), self._into(length), 1, offset, AREA)
        self._call("fd_pread", *args, dump=Dump(1, BUFFER), read=_dumped)

    def write(self, slot: int, offset: int, data: bytes) -> None:
        self._call("fd_pwrite", Slot(slot), self._vector(data), 1, offset, AREA, read=_count)

    def stream_read(self, slot: int, offset: int, length: int) -> None:
        self._seeking(slot, offset, "fd_read", self._into(length), _dumped, Dump(1, BUFFER))

    def stream_write(self, slot: int, offset: int, data: bytes) -> None:
        self._seeking(slot, offset, "fd_write", self._vector(data), lambda _: True, Dump(0, 0))

    def _seeking(self, slot: int, offset: int, name: str, vector: int, read: Read, dump: Dump) -> None:
        seek = Record("fd_seek", (Slot(slot), offset, 0, AREA))
        self._act(seek, Record(name, (Slot(slot), vector, 1, AREA), dump=dump), judged=(0, 1), read=read)

    def append(self, slot: int, data: bytes) -> None:
        self._call("fd_write", Slot(slot), self._vector(data), 1, AREA)

    def stat(self, path: str, *, base: int = ROOT, follow: bool = True) -> None:
        self._call("path_filestat_get", Slot(base), int(follow), path, AREA, read=_stat)

    def fstat(self, slot: int) -> None:
        self._call("fd_filestat_get", Slot(slot), AREA, read=_stat)

    def set_size(self, slot: int, size: int) -> None:
        self._call("fd_filestat_set_size", Slot(slot), size)

    def set_times(
        self,
        path: str,
        accessed: int | str | None,
        modified: int | str | None,
        *,
        base: int = ROOT,
        follow: bool = True,
    ) -> None:
        self._call("path_filestat_set_times", Slot(base), int(follow), path, *_times(accessed, modified))

    def fset_times(self, slot: int, accessed: int | str | None, modified: int | str | None) -> None:
        self._call("fd_filestat_set_times", Slot(slot), *_times(accessed, modified))

    def list(self, slot: int) -> None:
        args = (Slot(slot), BUFFER, 65536, 0, AREA)
        self._call("fd_readdir", *args, dump=Dump(1, BUFFER), read=lambda found: _names(found[0].dumped))

    def mkdir(self, path: str, *, base: int = ROOT) -> None:
        self._call("path_create_directory", Slot(base), path)

    def rmdir(self, path: str, *, base: int = ROOT) -> None:
        self._call("path_remove_directory", Slot(base), path)

    def unlink(self, path: str, *, base: int = ROOT) -> None:
        self._call("path_unlink_file", Slot(base), path)

    def rename(self, old: str, new: str, *, base: int = ROOT, to: int = ROOT) -> None:
        self._call("path_rename", Slot(base), old, Slot(to), new)

    def link(self, old: str, new: str, *, base: int = ROOT, to: int = ROOT, follow: bool = False) -> None:
        self._call("path_link", Slot(base), int(follow), old, Slot(to), new)

    def symlink(self, target: str, path: str, *, base: int = ROOT) -> None:
        self._call("path_symlink", target, Slot(base), path)

    def readlink(self, path: str, *, base: int = ROOT) -> None:
        args = (Slot(base), path, BUFFER, 4096, AREA)
        self._call("path_readlink", *args, dump=Dump(1, BUFFER), read=lambda found: found[0].dumped.decode())

    def sync(self, slot: int) -> None:
        self._call("fd_sync", Slot(slot))


def _dumped(found: list[Answer]) -> bytes:
    return found[0].dumped


def _count(found: list[Answer]) -> int:
    return int.from_bytes(found[0].area[:4], "little")


def _stat(found: list[Answer]) -> Stat:
    area = found[0].area
    links, size, accessed, modified = struct.unpack_from("<4Q", area, 24)
    return Stat(KINDS[area[16]], links, size, accessed, modified)


def _times(accessed: int | str | None, modified: int | str | None) -> tuple[int, int, int]:
    at = [time if isinstance(time, int) else 0 for time in (accessed, modified)]
    return (at[0], at[1], flags(isinstance(accessed, int), accessed == NOW, isinstance(modified, int), modified == NOW))


def _names(data: bytes) -> list[tuple[str, str]]:
    found = []
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from("<IB", data, at + 16)
        name = data[at + 24 : at + 24 + length].decode()
        at += 24 + length
        if name not in (".", ".."):
            found.append((name, KINDS[kind]))
    return found
