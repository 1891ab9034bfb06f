"""
Exceptions of WebAssembly for an interpreter that was linked without: its functions are left in their middle.

A module that has no `longjmp` ends in a trap where it would jump. There it throws instead, and what its driver calls is
called behind a `try`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packs.python_data import merge

if TYPE_CHECKING:
    from collections.abc import Mapping

TAG = 13
# What a `try` gives where its function did not return. No pointer is odd, and no count is that large.
JUMPED, LEFT = 0x80000001, 0x80000003
JUMP, LEAVE = 0, 1
I32, NO_TYPE, FUNCTION_TYPE = 0x7F, 0x40, 0x60
UNREACHABLE, THROW, RETURN, END = b"\0", b"\x08", b"\x0f", b"\x0b"


@dataclass(frozen=True)
class Thrown:
    """
    Where it throws, and what may.

    Attributes:
        jumps: functions by their numbers, with what stands once in each before the instruction that traps.
        instead: functions that do nothing but jump, instead of what they did.
        tried: what the driver calls as `try_NAME`, by those names: a function gives its own answer, or 0 where it has
            none; `JUMPED`, with the stack of C where it was before; or `LEFT`, with the stack as it is.
        stack: the global that holds that stack.
    """

    jumps: Mapping[int, bytes]
    instead: frozenset[int]
    tried: Mapping[str, int]
    stack: int = 0

    @property
    def names(self) -> list[str]:
        """Give the names of those functions."""
        return ["leave", *(f"try_{name}" for name in self.tried)]

    def applied(self, module: merge.Module) -> dict[str, int]:
        """Change a module, and give the functions that it has now beside its own: `leave`, and one for each `try`."""
        sections = module.sections
        types = Types(sections[merge.TYPE])
        functions = function_types(module)
        own = len(functions) - len(module.imports)
        bodies = list(module.bodies())
        for number, before in self.jumps.items():
            at = number - len(module.imports)
            if bodies[at].count(before + UNREACHABLE) != 1:
                raise merge.MergeError(f"function {number} is not what it was")
            bodies[at] = bodies[at].replace(before + UNREACHABLE, before + THROW + merge.number(JUMP))
        for number in self.instead:
            bodies[number - len(module.imports)] = b"\0" + THROW + merge.number(JUMP) + END
        nothing = types.number([], [])
        added = [(nothing, b"\0" + THROW + merge.number(LEAVE) + END)]
        for number in self.tried.values():
            given, answers = types.parts(functions[number])
            if answers not in ([], [I32]):
                raise merge.MergeError(f"function {number} gives what a `try` does not")
            kind = types.number(given, [I32])
            added.append((kind, self._attempt(number, len(given), answers=bool(answers))))
        sections[merge.TYPE] = types.written()
        kinds = b"".join(merge.number(kind) for kind, _ in added)
        sections[merge.FUNCTION] = merge.counted(sections[merge.FUNCTION], len(added), kinds)
        bodies += [body for _, body in added]
        sections[merge.CODE] = merge.number(len(bodies)) + b"".join(map(merge.blob, bodies))
        sections[TAG] = merge.number(2) + 2 * (b"\0" + merge.number(nothing))
        return {name: len(module.imports) + own + at for at, name in enumerate(self.names)}

    def _attempt(self, number: int, given: int, *, answers: bool) -> bytes:
        stack = merge.number(self.stack)
        kept = merge.number(given)
        call = b"".join(b"\x20" + merge.number(at) for at in range(given)) + b"\x10" + merge.number(number)
        block, catch = b"\x02" + bytes([NO_TYPE]), b"\0"
        return b"".join([
            b"\x01\x01", bytes([I32]),
            b"\x23", stack, b"\x21", kept,
            block, block,
            b"\x1f", bytes([NO_TYPE]), merge.number(2),
            catch, merge.number(JUMP), merge.number(1), catch, merge.number(LEAVE), merge.number(0),
            call, b"" if answers else constant(0), RETURN, END,
            UNREACHABLE, END,
            constant(LEFT), RETURN, END,
            b"\x20", kept, b"\x24", stack, constant(JUMPED), END,
        ])  # fmt: skip


class Types:
    """The types of a module's functions, and those that it needs beside."""

    def __init__(self, section: bytes) -> None:
        reader = merge.Reader(section)
        self._all = [self._read(reader) for _ in range(reader.number())]

    @staticmethod
    def _read(reader: merge.Reader) -> tuple[list[int], list[int]]:
        if reader.number() != FUNCTION_TYPE:
            raise merge.MergeError("it has a type that is no function's")
        return list(reader.held()), list(reader.held())

    def parts(self, number: int) -> tuple[list[int], list[int]]:
        """Give what a function takes, and what it gives."""
        return self._all[number]

    def number(self, given: list[int], answers: list[int]) -> int:
        """Give the number of a type, which is added where there is none."""
        if (given, answers) not in self._all:
            self._all.append((given, answers))
        return self._all.index((given, answers))

    def written(self) -> bytes:
        """Write them."""
        kinds = [
            bytes([FUNCTION_TYPE]) + merge.blob(bytes(given)) + merge.blob(bytes(gives)) for given, gives in self._all
        ]
        return merge.number(len(kinds)) + b"".join(kinds)


def function_types(module: merge.Module) -> list[int]:
    """Give the numbers of the types of all its functions, those that are imported first."""
    reader = merge.Reader(module.sections[merge.FUNCTION])
    imported = [merge.Reader(kind, 1).number() for _, _, kind in module.imports]
    return [*imported, *(reader.number() for _ in range(reader.number()))]


def constant(value: int) -> bytes:
    """Write `i32.const`."""
    return b"\x41" + merge.signed(value - (1 << 32) if value >> 31 else value)
