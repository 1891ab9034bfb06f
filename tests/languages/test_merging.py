"""How a driver is put into a module that others have linked: `packs/python_data/merge.py`."""

from __future__ import annotations

import pytest
from packs.python_data import merge
from packs.python_data.merge import Merge, MergeError, Module, Reader, blob, number, signed

from ringfence import Sandbox

FUNCTION, MEMORY, TABLE = 0, 2, 1


def section(kind: int, *entries: bytes) -> bytes:
    """Write a section of entries."""
    return bytes([kind]) + blob(number(len(entries)) + b"".join(entries))


def custom(name: str, held: bytes) -> bytes:
    """Write a custom section."""
    return b"\0" + blob(blob(name.encode()) + held)


def called(name: str, kind: int, at: int) -> bytes:
    """Write an export."""
    return blob(name.encode()) + bytes([kind]) + number(at)


def imported(module: str, name: str, kind: bytes) -> bytes:
    """Write an import."""
    return blob(module.encode()) + blob(name.encode()) + kind


def names(*known: tuple[int, str]) -> bytes:
    """Write a name section."""
    held = number(len(known)) + b"".join(number(at) + blob(name.encode()) for at, name in known)
    return custom("name", b"\1" + blob(held))


# One function is imported (`door`); `answer` gives 40 and `caller` calls the door.
BASE = merge.HEADER + b"".join([
    section(1, b"\x60\0\1\x7f", b"\x60\1\x7f\0"),
    section(2, imported("host", "call", b"\0\0")),
    section(3, b"\0", b"\0"),
    section(4, b"\x70\1\1\1"),
    section(5, b"\1\1\2"),
    section(7, called("memory", MEMORY, 0), called("_initialize", FUNCTION, 1), called("gone", FUNCTION, 2)),
    section(9, b"\0\x41\0\x0b\1\1"),
    section(10, blob(b"\0\x41\x28\x0b"), blob(b"\0\x10\0\x0b")),
    section(11, b"\0\x41\x08\x0b" + blob(b"base")),
    names((0, "door"), (1, "answer"), (2, "caller")),
])  # fmt: skip
PADDED = [number(at, 5) for at in range(4)]
# `_start` traps unless `answer` gives 40, in a call through the table too, and its byte lies at 65536.
START = b"".join([
    b"\0", b"\x10", PADDED[0], b"\x41\x28\x47\x04\x40\x00\x0b",
    b"\x41\x01\x11", PADDED[0], b"\0\x41\x2a\x47\x04\x40\x00\x0b",
    b"\x41\x80\x80\x04\x2d\0\0\x41\x07\x47\x04\x40\x00\x0b", b"\x0b",
])  # fmt: skip
TWO = b"\0\x41\x2a\x0b"
CODE = number(2) + blob(START) + blob(TWO)
AT = len(number(2)) + len(number(len(START)))
RELOCATIONS = [(0, AT + 2), (6, AT + 2 + 5 + 7 + 3)]
DRIVER = merge.HEADER + b"".join([
    section(1, b"\x60\0\1\x7f", b"\x60\0\0"),
    section(2, *(imported("env", *each) for each in (("memory", b"\2\0\2"), ("answer", b"\0\0"), ("door", b"\0\0")))),
    section(3, b"\1", b"\0"),
    section(7, called("_start", FUNCTION, 2)),
    section(9, b"\0\x41\1\x0b\1\3"),
    bytes([10]) + blob(CODE),
    section(11, b"\0\x41\x80\x80\x04\x0b" + blob(b"\7")),
    custom("reloc.CODE", number(5) + number(len(RELOCATIONS)) + b"".join(
        number(kind) + number(at) + number(0) for kind, at in RELOCATIONS
    )),
])  # fmt: skip


def merged(base: bytes = BASE, driver: bytes = DRIVER) -> bytes:
    """Merge the two, the door under another name and without its caller."""
    doors = {0: ("wasi_snapshot_preview1", "sched_yield", "door")}
    return Merge(Module.of(base), Module.of(driver)).write(doors, {"caller": b"\0\x41\0\x0b"})


def test_merged_module_runs_as_both_meant() -> None:
    """Calls, calls through the table, and data are where they belong."""
    run = Sandbox(merged()).run()

    assert ("exited", None) == (run.outcome, run.trap), run
    assert "trapped" == Sandbox(merged(BASE.replace(b"\0\x41\x28\x0b", b"\0\x41\x29\x0b"))).run().outcome


def test_only_what_is_meant_is_exported_and_imported() -> None:
    """The module's memory, its start, and the driver's functions; the door by its new name."""
    module = Module.of(merged())
    reader = Reader(module.sections[merge.EXPORT])

    exports = [(reader.text(), reader.number(), reader.number())[0] for _ in range(reader.number())]
    assert ["memory", "_initialize", "_start"] == exports
    assert [("wasi_snapshot_preview1", "sched_yield")] == [each[:2] for each in module.imports]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (b"\6answer", b"\6absent", "it has no function answer"),
        (b"\x70\1\1\1", b"\x70\1\2\2", "its table does not end"),
        (section(5, b"\1\1\2"), section(5, b"\1\3\4"), "begins above the driver's data"),
    ],
)
def test_module_that_does_not_fit_is_refused(before: bytes, after: bytes, why: str) -> None:
    """A driver is linked for one module."""
    with pytest.raises(MergeError, match=why):
        merged(BASE.replace(before, after))


@pytest.mark.parametrize("value", [0, 1, 63, 64, 127, 128, 8191, 8192, 47157, (1 << 31) - 1])
def test_numbers_are_written_as_they_are_read(value: int) -> None:
    """Plain, in five bytes, and with a sign."""
    assert value == Reader(number(value)).number() == Reader(number(value, 5)).number()
    assert 5 == len(number(value, 5))
    written = signed(value)
    assert value == Reader(written).number()
    assert not written[-1] & 0x40
