"""WebAssembly binaries made byte by byte: what no honest tool would write."""

from __future__ import annotations


def leb(number: int) -> bytes:
    """Write an unsigned number of variable length."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def overlong(number: int, length: int) -> bytes:
    """Write a number in more bytes than it needs."""
    return bytes(0x80 | (number >> 7 * n) & 0x7F for n in range(length - 1)) + bytes(
        [(number >> 7 * (length - 1)) & 0x7F]
    )


def section(number: int, body: bytes) -> bytes:
    """Wrap the body of a section."""
    return bytes([number]) + leb(len(body)) + body


def vector(items: list[bytes]) -> bytes:
    """Write a count and its items."""
    return leb(len(items)) + b"".join(items)


def name(text: bytes) -> bytes:
    """Write a name."""
    return leb(len(text)) + text


MAGIC = b"\0asm\x01\0\0\0"
COMPONENT_MAGIC = b"\0asm\x0d\0\x01\0"
NO_TYPE = b"\x60\0\0"
EMPTY_BODY = b"\x02\0\x0b"


def module(*, types: list[bytes] | None = None, bodies: list[bytes] | None = None) -> bytes:
    """Write a module whose first function is `_start`."""
    made = [EMPTY_BODY] if bodies is None else bodies
    return (
        MAGIC
        + section(1, vector([NO_TYPE] if types is None else types))
        + section(3, leb(len(made)) + b"\0" * len(made))
        + section(7, vector([name(b"_start") + b"\0\0"]))
        + section(10, vector(made))
    )


def body(code: bytes, *, groups: list[tuple[int, int]] | None = None) -> bytes:
    """Write a function body; groups are counts of locals and their type."""
    whole = vector([leb(count) + bytes([kind]) for count, kind in groups or []]) + code + b"\x0b"
    return leb(len(whole)) + whole


def nested(depth: int) -> bytes:
    """Put a component in a component in a component."""
    inner = COMPONENT_MAGIC
    for _ in range(depth):
        inner = COMPONENT_MAGIC + section(4, inner)
    return inner
