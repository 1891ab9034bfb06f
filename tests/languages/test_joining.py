"""How an interpreter that others have linked is opened for its driver: `packs/components/join.py` and `thrown.py`."""

from __future__ import annotations

import pytest
from packs.components import join
from packs.components.thrown import JUMPED, LEFT, Thrown
from packs.python_data import merge
from packs.python_data.merge import MergeError, Module, blob, number, signed

from ringfence import Plugin, Trapped

# `answer` gives what it is given, but traps behind the number 77 where that is 0; `leaver` calls what throws.
BODY = b"\x20\0\x45\x04\x40\x41\xcd\0\x1a\0\x0b\x23\0\x41\x10\x6b\x24\0\x20\0\x0b"
BASE = merge.HEADER + b"".join(
    bytes([kind]) + blob(number(len(entries)) + b"".join(entries))
    for kind, entries in [
        (1, [b"\x60\1\x7f\1\x7f", b"\x60\0\0"]),
        (2, []),
        (3, [b"\0", b"\1", b"\1"]),
        (5, [b"\0\1"]),
        (6, [b"\x7f\1\x41\x80\x20\x0b"]),
        (7, [blob(b"memory") + b"\2\0"]),
        (10, [blob(b"\0" + BODY), blob(b"\0\x10\3\x0b"), blob(b"\0\x0b")]),
    ]
)
PLACE = b"\x41\xcd\0\x1a"


def opened(thrown: Thrown) -> Plugin:
    """Load the module with those doors."""
    module = Module.of(BASE)
    added = thrown.applied(module)
    module.sections[merge.EXPORT] = merge.exporting([
        *merge.exports(module.sections[merge.EXPORT]), *((name.encode(), 0, at) for name, at in added.items()),
        (b"stack", 3, 0),
    ])  # fmt: skip
    return Plugin(merge.assembled(module.sections))


def test_jump_ends_in_a_try_with_the_stack_where_it_was() -> None:
    """What returns gives its own answer; what leaves leaves the stack as it is."""
    tried = {"answer": 0, "leaver": 1, "nothing": 2}
    with opened(Thrown(jumps={0: PLACE}, instead=frozenset(), tried=tried)) as plugin:
        assert 7 == plugin.try_answer(7)
        assert 4080 == plugin.exports.stack.value
        assert JUMPED == plugin.try_answer(0) & 0xFFFFFFFF
        assert 4080 == plugin.exports.stack.value
        assert LEFT == plugin.try_leaver() & 0xFFFFFFFF
        assert 0 == plugin.try_nothing()


def test_function_may_do_nothing_but_jump() -> None:
    """Instead of what it did."""
    tried = {"answer": 0, "leaver": 1, "nothing": 2}
    with opened(Thrown(jumps={}, instead=frozenset({2}), tried=tried)) as plugin:
        assert JUMPED == plugin.try_nothing() & 0xFFFFFFFF


def test_what_is_not_where_it_was_is_no_build() -> None:
    """A jump, and what is mended: both are looked for."""
    with pytest.raises(MergeError, match="function 1 is not what it was"):
        Thrown(jumps={1: PLACE}, instead=frozenset(), tried={}).applied(Module.of(BASE))
    with pytest.raises(MergeError, match="function 0 is not what it was"):
        join.changed(Module.of(BASE), {0: (b"nowhere", b"")})
    assert b"\x2a" + PLACE[1:] not in join.changed(Module.of(BASE), {0: (PLACE, PLACE)})


def test_stack_is_put_where_there_is_room() -> None:
    """Its pointer is the only global."""
    section = Module.of(BASE).sections[merge.GLOBAL]

    assert b"\x01\x7f\x01\x41" + signed(1 << 20) + b"\x0b" == join.stacked(section, 1 << 20)
    with pytest.raises(MergeError, match="other globals"):
        join.stacked(b"\0", 1)


def test_full_stack_is_a_trap_and_not_what_lies_below_it() -> None:
    """A function that calls itself takes a frame each time; the last that has room comes back."""
    deeper = b"\x20\0\x45\x04\x7f\x41\x07\x05\x20\0\x41\1\x6b\x10\0\x0b"
    body = b"\1\1\x7f\x23\0\x41\x10\x6b\x22\1\x24\0" + deeper + b"\x20\1\x41\x10\x6a\x24\0\x0b"
    module = Module.of(BASE)
    module.sections |= {merge.FUNCTION: b"\1\0", merge.CODE: b"\1" + blob(body)}
    module.sections[merge.EXPORT] = merge.exporting([(b"down", 0, 0), (b"stack", 3, 0)])
    join.bound(module, 4096 - 20 * 16)

    with Plugin(merge.assembled(module.sections)) as plugin:
        assert 7 == plugin.down(19)
        assert 4096 == plugin.exports.stack.value
        with pytest.raises(Trapped, match="stack overflow"):
            plugin.down(20)


@pytest.mark.parametrize("value", [0, 63, 64, -1, -64, -65, 2**31 - 1, -(2**31), -0x7FFFFFFF])
def test_signed_numbers_are_written_as_the_format_has_them(value: int) -> None:
    """LEB128, the sign in the last byte."""
    read = shift = 0
    for byte in signed(value):
        read |= (byte & 0x7F) << shift
        shift += 7
    assert value == read - (1 << shift if byte & 0x40 else 0)
