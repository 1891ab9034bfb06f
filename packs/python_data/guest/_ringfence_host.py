"""The host, as the boot code that is shared with the Python pack sees it."""

import opcode
import sys

import _ringfence_native
from _ringfence.values import NotPlain, read, write

WHY = {
    -2: "the host has nothing of this kind for this run",
    -3: "the message, or its answer, is longer than the host allows",
}
PLAIN = "only plain values reach the host: None, bool, int, float, str, bytes, list, tuple, and dict of such keys"
AWAITS = opcode.opmap["GET_AWAITABLE"]
CACHES = {opcode.opmap[name]: count for name, count in opcode._inline_cache_entries.items() if name in opcode.opmap}


def raw(message):
    """Send one message as it is."""
    answer = _ringfence_native.raw(message)
    if isinstance(answer, int):
        raise OSError(WHY.get(answer, "the host refused this message"))
    return answer


def source():
    """Give the text handed in for this run, or None."""
    answer = _ringfence_native.raw(b"S")
    return None if isinstance(answer, int) else answer


def functions():
    """Give what the host has to offer, or None."""
    answer = _ringfence_native.raw(b"L")
    return None if isinstance(answer, int) else read(answer)


def ask(kind, payload):
    """Send a message whose payload and answer are values."""
    try:
        message = kind.encode() + write(payload, tuples=True)
    except NotPlain:
        raise TypeError(PLAIN) from None
    return read(raw(message))


def call(payload):
    """Call a function of the host: [name, arguments, keywords]."""
    return ask("F", payload)


def variables():
    """Give the environment, as bytes `name=value`."""
    return [each for each in _ringfence_native.strings(1).split(b"\0") if each]


def arguments():
    """Give the arguments."""
    from os import fsdecode

    return [fsdecode(each) for each in _ringfence_native.strings(0).split(b"\0")[:-1]]


def is_awaited():
    """Tell whether the call of the function that asks is the operand of an `await`: the instruction behind it."""
    frame = sys._getframe(2)
    code, at = frame.f_code.co_code, frame.f_lasti
    at += 2 * (1 + CACHES.get(code[at], 0))
    return at < len(code) and code[at] == AWAITS


def configure(levels):
    """Set options of the interpreter's state: they are fixed in this one."""


def blob():
    """Give the library, as index.py wrote it."""
    return _ringfence_native.blob()
