# ruff: noqa: PLR2004 - the numbers are those of RFC 8949
"""Values on their way to the host and back, in the CBOR of docs/reference/guest-abi.md."""

from struct import pack, unpack_from

MAX_DEPTH = 100
MAX_BIG_BYTES = 4096
SIMPLE = (*[None] * 20, False, True, None)
NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG = 0x20, 0x40, 0x60, 0x80, 0xA0, 0xC0

# By the number of a type of numpy, whose values are numbers of Python: its method that tells which. A look-up by the
# type itself would ask the type of the type, which may be a guest's.
scalars = {}


class NotPlain(Exception):
    """A value that does not cross."""


def write(value, *, tuples=False):
    """Give the bytes of a value."""
    out = bytearray()
    put(out, value, tuples, 0)
    return bytes(out)


def head(out, major, n):
    """Write what kind comes, and how much of it."""
    if n < 24:
        out.append(major | n)
    elif n < 1 << 8:
        out += pack(">BB", major | 24, n)
    elif n < 1 << 16:
        out += pack(">BH", major | 25, n)
    elif n < 1 << 32:
        out += pack(">BI", major | 26, n)
    else:
        out += pack(">BQ", major | 27, n)


def put(out, value, tuples, depth):  # noqa: C901, PLR0912 - one branch a type
    """Write a value behind the others."""
    kind = type(value)
    if value is None:
        out.append(0xF6)
    elif kind is bool:
        out.append(0xF5 if value else 0xF4)
    elif kind is int:
        put_int(out, value)
    elif kind is str:
        try:
            text = value.encode()
        except UnicodeEncodeError:  # lone surrogates are no text elsewhere
            raise NotPlain from None
        head(out, TEXT, len(text))
        out += text
    elif kind is float:
        out += pack(">Bd", 0xFB, value)
    elif kind is bytes:
        head(out, BYTES, len(value))
        out += value
    elif id(kind) in scalars:
        put(out, scalars[id(kind)](value), tuples, depth)
    elif depth >= MAX_DEPTH:
        raise NotPlain
    elif kind is list or (tuples and kind is tuple):
        head(out, ARRAY, len(value))
        for each in value:
            put(out, each, tuples, depth + 1)
    elif kind is dict:
        head(out, MAP, len(value))
        for key, held in value.items():
            if type(key) is not str and (type(key) is not int or not -(1 << 63) <= key < 1 << 63):
                raise NotPlain
            put(out, key, tuples, depth + 1)
            put(out, held, tuples, depth + 1)
    else:
        raise NotPlain


def put_int(out, value):
    """Write an integer of any size that crosses."""
    major, n = (0, value) if value >= 0 else (NEGATIVE, ~value)
    if n < 1 << 64:
        head(out, major, n)
        return
    length = (n.bit_length() + 7) // 8
    if length > MAX_BIG_BYTES:
        raise NotPlain
    out.append(TAG | (3 if major else 2))
    head(out, BYTES, length)
    out += n.to_bytes(length)


def read(data):
    """Give the value of bytes."""
    try:
        value, at = take(data, 0, 0)
    except (IndexError, UnicodeDecodeError, ValueError, OverflowError):
        at = -1
    if at != len(data):
        raise ValueError("the host's answer is malformed")
    return value


def take(data, at, depth):  # noqa: C901, PLR0911, PLR0912 - one branch a type
    """Read the value at a place, and give the place behind it."""
    major, low = data[at] & 0xE0, data[at] & 31
    at += 1
    if major == 0xE0:
        if low == 27:
            if len(data) < at + 8:
                raise IndexError
            return unpack_from(">d", data, at)[0], at + 8
        return SIMPLE[low], at
    n = low
    if low >= 24:
        width = 1 << low - 24
        n = int.from_bytes(data[at : at + width])
        at += width
    if major in (0, NEGATIVE):
        return (~n if major else n), at
    if major == TAG:
        if n not in (2, 3):
            raise ValueError
        big, at = take(data, at, depth)
        value = int.from_bytes(big)
        return (~value if n == 3 else value), at
    if n > len(data) - at or depth > MAX_DEPTH:
        raise IndexError
    if major == BYTES:
        return data[at : at + n], at + n
    if major == TEXT:
        return data[at : at + n].decode(), at + n
    if major == ARRAY:
        held = []
        for _ in range(n):
            each, at = take(data, at, depth + 1)
            held.append(each)
        return held, at
    map_ = {}
    for _ in range(n):
        key, at = take(data, at, depth + 1)
        map_[key], at = take(data, at, depth + 1)
    return map_, at
