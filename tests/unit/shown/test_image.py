"""Pictures of a guest's: by their first bytes."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from ringfence.shown._image import picture


def png(width: int = 1, height: int = 1) -> bytes:
    """Give the beginning of a picture, which is what is looked at."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 0, 0, 0, 0)


JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x0b\x08\0\x02\0\x03"


@pytest.mark.parametrize(
    ("data", "kind"),
    [(png(), "png"), (b"GIF89a\1\0\1\0", "gif"), (JPEG, "jpeg"), (base64.b64encode(png()).decode() + "\n", "png")],
)
def test_picture_is_what_its_bytes_say(data: Any, kind: str) -> None:
    """Bytes, or base64."""
    raw = data if isinstance(data, bytes) else base64.b64decode(data)

    assert (f"image/{kind}", base64.b64encode(raw).decode()) == picture(data)


@pytest.mark.parametrize(
    "data",
    [
        None, 7, [], b"", b"<svg>", "<svg>", "é", png()[:20], b"GIF89a", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0",
        png(60_000, 60_000), png(0, 1), b"\xff\xd8\xff\xd9\0\0",
    ],
)  # fmt: skip
def test_what_is_none_or_too_large_is_none(data: Any) -> None:
    """Nothing is guessed of it."""
    assert picture(data) is None
