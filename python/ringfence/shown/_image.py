"""Pictures: bytes that begin as one of the kinds that run nothing, and that are not too large to be unpacked."""

from __future__ import annotations

import base64
import binascii
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_GIFS = (b"GIF87a", b"GIF89a")
_MAX_BYTES = 16 << 20
# A reader's browser holds four bytes for each: this is 200 MB, more than a screen has.
_MAX_PIXELS = 50_000_000
# Markers of JPEG that begin a frame, with its height and width: all of 0xC0 to 0xCF but for three.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def picture(data: Any) -> tuple[str, str] | None:  # noqa: ANN401 - whatever a guest gave
    """Give its media type, by its own bytes, and these in base64; None where it is none, or too large."""
    raw = _bytes(data)
    if raw is None or len(raw) > _MAX_BYTES:
        return None
    kind, size = _kind(raw)
    if size is None or not 0 < size[0] * size[1] <= _MAX_PIXELS:
        return None
    return kind, base64.b64encode(raw).decode("ascii")


def _bytes(data: Any) -> bytes | None:  # noqa: ANN401
    if isinstance(data, bytes):
        return data
    if not isinstance(data, str) or len(data) > _MAX_BYTES * 2:
        return None
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _kind(raw: bytes) -> tuple[str, tuple[int, int] | None]:
    try:
        if raw.startswith(_PNG) and raw[12:16] == b"IHDR":
            return "image/png", struct.unpack(">II", raw[16:24])
        if raw.startswith(_GIFS):
            return "image/gif", struct.unpack("<HH", raw[6:10])
        if raw.startswith(_JPEG):
            return "image/jpeg", _frame(raw)
    except (struct.error, IndexError):
        pass
    return "", None


def _frame(raw: bytes) -> tuple[int, int] | None:
    place = 2
    while raw[place] == 0xFF:  # noqa: PLR2004 - a marker begins
        marker = raw[place + 1]
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", raw[place + 5 : place + 9])
            return width, height
        place += 2 + struct.unpack(">H", raw[place + 2 : place + 4])[0]
    return None
