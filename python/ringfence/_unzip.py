"""Zip archives unpacked into memory. They are taken for hostile: what they say is bounded before it is believed."""

from __future__ import annotations

import os

from ._engine import core
from .errors import PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any
    from zipfile import ZipFile, ZipInfo

# What an archive that is handed in as bytes may unpack to: the limits that a policy has unless it says otherwise.
_MAX_BYTES = 256 << 20
_MAX_NAMES = 10_000

# Bytes of an archive's table of contents for each name: an entry has 46, a name and some times.
_ENTRY_BYTES = 512


def unzip(data: bytes) -> core.Tree:
    """
    Unpack an archive that is handed in as bytes, under the default limits.

    Raises:
        PolicyError: as `unpack` does.
    """
    import io

    return _unzip(io.BytesIO(data), "the zip archive", _MAX_BYTES, _MAX_NAMES)


def unpack(path: str | os.PathLike[str], disk: int, files: int) -> core.Tree:
    """
    Unpack a zip archive into memory: at most `disk` bytes in at most `files` files and directories.

    Raises:
        PolicyError: it cannot be read, or is broken, too large, or holds what is neither a file nor a directory.
    """
    import stat

    shown = f"the zip archive `{os.fspath(path)}`"
    try:
        # A pipe would be waited for.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        with open(os.open(path, flags), "rb") as archive:  # noqa: PTH123 - pathlib costs 4 ms to import
            found = os.fstat(archive.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise PolicyError(f"{shown} cannot be unpacked", "it is no regular file", "name a zip archive")
            return _unzip(archive, shown, disk, files)
    except (OSError, ValueError) as error:
        if isinstance(error, PolicyError):
            raise
        why = getattr(error, "strerror", None) or str(error)
        raise PolicyError(f"{shown} cannot be read", why, "name a zip archive that is there") from error


class _Bounded:
    """An archive that gives no more at one time than its table of contents may have: that is read as a whole."""

    def __init__(self, archive: IO[bytes], most: int) -> None:
        self._archive, self._most = archive, most
        self.seek, self.tell = archive.seek, archive.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        # Without a size it looks for the end of the archive, in its last 64 KiB.
        data = self._archive.read(size if 0 <= size <= self._most else self._most + 1)
        if len(data) > self._most:
            raise _Refused("its table of contents is longer than `files` names need")
        return data


class _Refused(Exception):
    """Why an archive is not unpacked."""


def _unzip(archive: IO[bytes], shown: str, disk: int, files: int) -> core.Tree:
    import struct
    import zipfile
    import zlib

    bounded: Any = _Bounded(archive, max(1 << 20, files * _ENTRY_BYTES))
    try:
        with zipfile.ZipFile(bounded) as opened:
            return core.Tree(_entries(opened, disk, files))
    except PolicyError as error:
        raise PolicyError(f"{shown}: {error.what}", error.why, "make the archive anew without it") from error
    except _Refused as error:
        fix = "pack only files and directories, or raise `Limits(disk=…, files=…)` for a large one"
        raise PolicyError(f"{shown} is not unpacked", str(error), fix) from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        OSError,
        OverflowError,
        RuntimeError,
        ValueError,
    ) as error:
        fix = "make the archive anew; one file alone is handed in as `Dir.memory(file=…)`"
        raise PolicyError(f"{shown} is broken", str(error) or type(error).__name__, fix) from error


def _entries(archive: ZipFile, disk: int, files: int) -> list[tuple[str, bytes | None]]:
    """Read everything; what was announced is summed up before any of it is unpacked."""
    entries = archive.infolist()
    if len(entries) > files:
        raise _Refused(f"it has {len(entries)} names, and `files` lets a run have {files}")
    for info in entries:
        _refuse_strange(info)
    total = sum(info.file_size for info in entries)
    if total > disk:
        raise _Refused(f"it unpacks to {total} bytes, and `disk` lets a run have {disk}")
    return [(info.orig_filename.removesuffix("/"), _read(archive, info)) for info in entries]


def _read(archive: ZipFile, info: ZipInfo) -> bytes | None:
    if info.is_dir():
        return None
    data = archive.read(info)
    if len(data) != info.file_size:
        raise _Refused(f"{info.orig_filename[:200]!r} is shorter than it says")
    return data


def _refuse_strange(info: ZipInfo) -> None:
    import stat
    import zipfile

    shown = f"{info.orig_filename[:200]!r}"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind and kind != (stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
        raise _Refused(f"{shown} is a link, a device or alike: only files and directories are unpacked")
    if "\\" in info.orig_filename:
        raise _Refused(f"{shown} has a backslash, which is a part of a name for some and parts names for others")
    if info.flag_bits & 1:
        raise _Refused(f"{shown} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Refused(f"{shown} is compressed in another way than stored or deflated")
    if info.is_dir() and info.file_size:
        raise _Refused(f"{shown} is a directory with bytes of its own")
