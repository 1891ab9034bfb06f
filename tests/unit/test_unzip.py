"""Archives unpacked into memory."""

from __future__ import annotations

import io
import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from ringfence import PolicyError
from ringfence._unzip import unpack, unzip

if TYPE_CHECKING:
    from pathlib import Path


def test_archive_unpacks_to_its_files_and_directories() -> None:
    """Stored or deflated; directories on the way are made."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/b.txt", b"x" * 1000, zipfile.ZIP_DEFLATED)
        archive.writestr("c.txt", "", zipfile.ZIP_STORED)
        archive.mkdir("empty")

    expected = [("a", None), ("a/b.txt", b"x" * 1000), ("c.txt", b""), ("empty", None)]
    assert expected == unzip(packed.getvalue()).entries()


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "text"])
def test_what_is_no_archive_is_refused(tmp_path: Path, kind: str) -> None:
    """Each is a policy error, and no pipe is waited for."""
    path = tmp_path / "in.zip"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "text":
        path.write_text("no archive")
    with pytest.raises(PolicyError, match=r"in\.zip"):
        unpack(path, 1 << 20, 100)
