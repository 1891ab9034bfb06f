"""Words of WAVE, without types: numbers, text in quotes, and names of cases."""

from __future__ import annotations

import math
import re
import sys

ESCAPE = r"\\(?:['\"\\tnr]|u\{[0-9a-fA-F]{1,6}\})"
FLOATS = {"f32", "f64"}
# The last two are of core modules.
WHOLE = {*(f"{sign}{bits}" for sign in "su" for bits in (8, 16, 32, 64)), "i32", "i64"}
KEYWORDS = {"true", "false", "some", "none", "ok", "err", "inf", "nan"}
_LETTERS = {"t": "\t", "n": "\n", "r": "\r", "'": "'", '"': '"', "\\": "\\"}
_SURROGATES = range(0xD800, 0xE000)
# Of the names of cases, in an error.
_SHOWN = 20


class WaveError(ValueError):
    """Text that is no value of its type: what is wrong, and where."""


def marked(case: str) -> str:
    """Write the name of a case, which may be a word of WAVE's own."""
    return f"%{case}" if case in KEYWORDS else case


def one_of(cases: list[str]) -> str:
    """Say which names of cases there are, as they are written."""
    more = f" and {len(cases) - _SHOWN} more" if len(cases) > _SHOWN else ""
    return f"one of {', '.join(map(marked, cases[:_SHOWN]))}{more}"


def escaped(text: str) -> str:
    """Write what stands between quotes."""
    signs = {"\\": "\\\\", '"': '\\"', "'": "\\'", "\t": "\\t", "\r": "\\r", "\n": "\\n"}
    return "".join(signs.get(sign) or (sign if sign.isprintable() else f"\\u{{{ord(sign):x}}}") for sign in text)


def unescaped(text: str) -> str:
    """Read what stands between quotes; a byte of a command line that is no UTF-8 is refused."""

    def one(found: re.Match[str]) -> str:
        escape = found.group()
        if not re.fullmatch(ESCAPE, escape):
            raise WaveError(f"`{escape}` is nothing that is escaped")
        if escape[1] != "u":
            return _LETTERS[escape[1]]
        code = int(escape[3:-1], 16)
        if code > sys.maxunicode or code in _SURROGATES:
            raise WaveError(f"{escape} is no character")
        return chr(code)

    lone = re.search(r"[\ud800-\udfff]", text)
    if lone is not None:
        code = ord(lone.group())
        what = f"the byte {code - 0xDC00:#x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{{{code:x}}}"  # noqa: PLR2004
        raise WaveError(f"{what} is no character: text is UTF-8")
    return re.sub(r"\\(?:u\{[^}]*\}|(?:.|\n)|$)", one, text)


def to_whole(word: str, name: str) -> int:
    """Read a whole number of this type."""
    half = 1 << int(name[1:]) - 1
    least, most = (0 if name[0] == "u" else -half), (half if name[0] == "s" else 2 * half) - 1
    # Longer ones are no number of any type, and take Python long to read.
    if len(word) > len(str(-2 * half)) or not least <= int(word) <= most:
        raise WaveError(f"{word[:40]} is not from {least} to {most}, as {name} is")
    return int(word)


def to_float(word: str, name: str) -> float:
    """Read a number of this type; only `inf` is without end."""
    value = float(word)
    value = _narrow(value) if name == "f32" else value
    if math.isinf(value) and not word.endswith("inf"):
        raise WaveError(f"{word[:40]} is too large for {name}")
    return value


def of_float(value: float, name: str) -> str:
    """Write a number of this type."""
    from decimal import Decimal

    if not math.isfinite(value):
        return repr(value)
    digits = repr(value)
    if name == "f32":
        # The fewest digits that are this number, and no other of its kind.
        shorter = (f"{value:.{count}g}" for count in range(1, 10))
        digits = next((text for text in shorter if _narrow(float(text)) == value), digits)
    text = format(Decimal(digits), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _narrow(value: float) -> float:
    import struct

    try:
        narrow: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return float("-inf") if value < 0 else float("inf")
    return narrow
