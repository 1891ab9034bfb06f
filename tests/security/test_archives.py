"""Archives that attack whoever unpacks them."""

from __future__ import annotations

import io
import random
import stat
import struct
import zipfile
from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Limits, Policy, PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def pack(*files: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """Pack files under names that an honest archive would not have."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return packed.getvalue()


def of_mode(name: str, mode: int) -> zipfile.ZipInfo:
    """Name something of another kind."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def patched(data: bytes, at: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite a field in each record that begins so."""
    parts = data.split(at)
    return at.join([parts[0], *(part[: offset - 4] + value + part[offset - 4 + len(value) :] for part in parts[1:])])


CENTRAL, LOCAL, END = b"PK\1\2", b"PK\3\4", b"PK\5\6"
HONEST = pack(("a.txt", b"x" * 100))

HOSTILE: dict[str, Callable[[], bytes]] = {
    "climbs": lambda: pack(("../outside.txt", b"")),
    "climbs further in": lambda: pack(("a/../../outside.txt", b"")),
    "is absolute": lambda: pack(("/etc/passwd", b"")),
    "climbs with backslashes": lambda: pack(("..\\outside.txt", b"")),
    "has a link": lambda: pack((of_mode("link", stat.S_IFLNK | 0o777), b"/etc/passwd")),
    "has a device": lambda: pack((of_mode("null", stat.S_IFCHR | 0o666), b"")),
    "has a pipe": lambda: pack((of_mode("pipe", stat.S_IFIFO | 0o666), b"")),
    "has a directory that says it is a file": lambda: pack((of_mode("dir/", stat.S_IFREG | 0o666), b"")),
    "has a file that says it is a directory": lambda: pack((of_mode("file", stat.S_IFDIR | 0o777), b"")),
    "has a name that ends at a NUL": lambda: pack(("aaaa.txt", b"")).replace(b"aaaa.txt", b"aa\0a.txt"),
    "has a file in a file": lambda: pack(("a", b""), ("a/b", b"")),
    "has a name that is too long": lambda: pack(("x" * 256, b"")),
    "has an empty name": lambda: pack(("a//b", b"")),
    "is a bomb": lambda: pack(("bomb", b"\0" * (2 << 20))),
    "is encrypted": lambda: patched(patched(HONEST, CENTRAL, 8, b"\1\0"), LOCAL, 6, b"\1\0"),
    "is compressed in a way of its own": lambda: patched(HONEST, CENTRAL, 10, struct.pack("<H", 12)),
    "says it is longer than it is": lambda: patched(HONEST, CENTRAL, 24, struct.pack("<I", 1000)),
    "says it is shorter than it is": lambda: patched(HONEST, CENTRAL, 24, struct.pack("<I", 10)),
    "has other bytes than it says": lambda: patched(HONEST, CENTRAL, 16, b"\0\0\0\0"),
    "begins where nothing is": lambda: patched(HONEST, CENTRAL, 42, b"\xff\xff\xff\x7f"),
    "has a table that is larger than itself": lambda: patched(HONEST, END, 12, b"\xff\xff\xff\x7f"),
    "has a table elsewhere": lambda: patched(HONEST, END, 16, b"\xff\xff\xff\x7f"),
    "is cut": lambda: HONEST[:-5],
    "is only an end": lambda: HONEST[HONEST.index(END) + 1 :],
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_archive_is_refused_with_its_reason(hostile: str, tmp_path: Path) -> None:
    """A policy error, by whichever way it was handed in, and nothing is written anywhere."""
    (tmp_path / "in.zip").write_bytes(HOSTILE[hostile]())
    with pytest.raises(PolicyError):
        Policy(dirs=[Dir.memory(tmp_path / "in.zip", at="/in")], limits=Limits(disk="1MiB"))

    assert ["in.zip"] == [entry.name for entry in tmp_path.iterdir()]


def test_names_that_are_there_twice_are_refused() -> None:
    """One tool would take the first and another the last."""
    with pytest.warns(UserWarning, match="Duplicate"):
        packed = pack(("a.txt", b"first"), ("a.txt", b"second"))
    with pytest.raises(PolicyError, match="twice"):
        Dir.memory(packed, at="/in")


def test_archive_of_too_many_names_is_refused() -> None:
    """More than `files` are not unpacked, however small they are."""
    packed = pack(*((f"{number}", b"") for number in range(1001)))
    with pytest.raises(PolicyError, match="1001 names"):
        Policy(dirs=[Dir.memory(packed, at="/in")], limits=Limits(files=1000))


def test_table_of_many_more_names_is_not_read(tmp_path: Path) -> None:
    """It is refused by its length: each name would take ten times its room in memory."""
    entry = struct.pack("<4s6H3I5H2I", CENTRAL, 20, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    table = entry * 200_000
    end = struct.pack("<4s4H2IH", END, 0, 0, 65535, 65535, len(table), 0, 0)
    (tmp_path / "in.zip").write_bytes(table + end)
    with pytest.raises(PolicyError, match="table of contents is longer"):
        Policy(dirs=[Dir.memory(tmp_path / "in.zip", at="/in")])


def test_archive_behind_a_link_that_a_guest_could_plant_is_refused(tmp_path: Path) -> None:
    """A guest that may write where the archive is cannot have another one unpacked in its place."""
    (tmp_path / "secret.zip").write_bytes(HONEST)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "in.zip").symlink_to("../secret.zip")
    dirs = [Dir(tmp_path / "shared", at="/shared", mode="rw"), Dir.memory(tmp_path / "shared" / "in.zip", at="/in")]
    with pytest.raises(PolicyError, match="could have planted it"):
        Policy(dirs=dirs)


def test_broken_archives_are_policy_errors() -> None:
    """Bytes changed at random: unpacked or refused, and never another exception."""
    chance = random.Random(5)  # noqa: S311 - the same in every run
    honest = pack(("a/b.txt", b"some text " * 50), ("c.txt", b"more"), ("d/", b""))
    refused = 0
    for _ in range(2000):
        data = bytearray(honest)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            Dir.memory(bytes(data), at="/in")
        except PolicyError:
            refused += 1

    assert 0 < refused < 2000
