"""
Puts a driver into a module that is linked already: its functions behind the module's own, its data above its memory.

Nothing of the module is renumbered. The driver was linked to where its data and its table entries will lie, its
relocations written down; what is left is to give the functions that it calls their numbers, by the module's name
section, and its types theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, ELEMENT, CODE, DATA = 1, 2, 3, 4, 5, 6, 7, 9, 10, 11
FUNCTION_INDEX, TYPE_INDEX = 0, 6
MEMORY_IMPORT = 2
WITH_ADDEND = {3, 4, 5, 8, 9, 11, 14, 15, 16, 17, 21, 22, 23}
HEADER = b"\0asm\x01\0\0\0"
PAGE_BYTES = 64 << 10
MORE = 0x80
# Of the sections in a module: tags stand behind memories.
ORDER = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11]


class MergeError(Exception):
    """The module is not what this was written for."""


class Reader:
    """Reads what a module is made of."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def number(self) -> int:
        """Read an unsigned number (LEB128)."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < MORE:
                return value

    def held(self) -> bytes:
        """Read bytes behind their length."""
        length = self.number()
        self.at += length
        return self.data[self.at - length : self.at]

    def text(self) -> str:
        """Read a name."""
        return self.held().decode()

    def rest(self) -> bytes:
        """Give what is left."""
        return self.data[self.at :]


def number(value: int, width: int = 0) -> bytes:
    """Write an unsigned number, in so many bytes if that is given."""
    written = bytearray()
    while value >= MORE or len(written) + 1 < width:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def blob(held: bytes) -> bytes:
    """Write bytes behind their length."""
    return number(len(held)) + held


@dataclass
class Module:
    """A module, taken apart as far as a merge needs it."""

    sections: dict[int, bytes] = field(default_factory=dict)
    custom: dict[str, bytes] = field(default_factory=dict)
    imports: list[tuple[str, str, bytes]] = field(default_factory=list)
    pages: int = 0

    @classmethod
    def of(cls, wasm: bytes) -> Module:
        """Take one apart."""
        if wasm[:8] != HEADER:
            raise MergeError("it is no module")
        module, reader = cls(), Reader(wasm, 8)
        while reader.at < len(wasm):
            kind = reader.number()
            body = reader.held()
            if kind == 0:
                inner = Reader(body)
                name = inner.text()
                module.custom[name] = inner.rest()
            else:
                module.sections[kind] = body
        reader = Reader(module.sections[IMPORT])
        for _ in range(reader.number()):
            names = reader.text(), reader.text()
            begin = reader.at
            kind = reader.number()
            if kind == 0:
                reader.number()
                module.imports.append((*names, module.sections[IMPORT][begin : reader.at]))
            elif kind == MEMORY_IMPORT:
                bounded = reader.number() & 1
                module.pages = reader.number()
                if bounded:
                    reader.number()
            else:
                raise MergeError(f"it imports `{names[1]}`, which is no function")
        return module

    def bodies(self) -> Iterator[bytes]:
        """Give the bodies of its own functions."""
        reader = Reader(self.sections[CODE])
        for _ in range(reader.number()):
            yield reader.held()

    def body(self, name: str) -> bytes:
        """Give the body of a function by its name."""
        at = self.named()[name] - len(self.imports)
        return next(body for number, body in enumerate(self.bodies()) if number == at)

    @property
    def memory_end(self) -> int:
        """Give the end of the memory that it begins with, in bytes."""
        return Reader(self.sections[MEMORY], 2).number() * PAGE_BYTES

    @property
    def table_end(self) -> int:
        """Give the end of its table."""
        return Reader(self.sections[TABLE], 3).number()

    def named(self) -> dict[str, int]:
        """Give the numbers of functions by their names."""
        reader = Reader(self.custom["name"])
        while reader.number() != 1:
            reader.held()
        reader.number()
        found = {}
        for _ in range(reader.number()):
            at = reader.number()
            found[reader.text()] = at
        return found


def assembled(sections: dict[int, bytes]) -> bytes:
    """Write a module of these sections, without names."""
    return HEADER + b"".join(bytes([kind]) + blob(sections[kind]) for kind in ORDER if kind in sections)


def exports(section: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Read exports: the name, the kind and the number of each."""
    reader = Reader(section)
    for _ in range(reader.number()):
        yield reader.held(), reader.number(), reader.number()


def exporting(entries: Iterable[tuple[bytes, int, int]]) -> bytes:
    """Write them."""
    kept = [blob(name) + number(kind) + number(at) for name, kind, at in entries]
    return number(len(kept)) + b"".join(kept)


def counted(section: bytes, more: int, added: bytes) -> bytes:
    """Add entries to the end of a section."""
    reader = Reader(section)
    count = reader.number()
    return number(count + more) + reader.rest() + added


class Merge:
    """
    Two modules as one.

    Args:
        base: the module.
        driver: the driver, whose data and table entries are placed already.
    """

    def __init__(self, base: Module, driver: Module) -> None:
        self.base, self.driver = base, driver
        self.names = base.named()
        missing = [name for _, name, _ in driver.imports if name not in self.names]
        if missing:
            raise MergeError(f"it has no function {', '.join(missing)}")
        self.called = [self.names[name] for _, name, _ in driver.imports]
        self.types = Reader(base.sections[TYPE]).number()
        self.own = len(base.imports) + Reader(base.sections[FUNCTION]).number()

    def function(self, at: int) -> int:
        """Give the number of a function of the driver."""
        return self.called[at] if at < len(self.called) else self.own + at - len(self.called)

    def write(self, doors: dict[int, tuple[str, str, str]], bodies: dict[str, bytes]) -> bytes:
        """
        Write the merged module.

        Args:
            doors: imports of the module that get other names, by their numbers: module, name, and the function of the
                driver that has its type.
            bodies: functions of the module that get another body, by their names.
        """
        base, driver = self.base.sections, self.driver.sections
        out = {**base}
        for kind in (TYPE, DATA):
            out[kind] = counted(base[kind], Reader(driver[kind]).number(), after_count(driver[kind]))
        out[IMPORT] = self.imports(doors)
        reader = Reader(driver[FUNCTION])
        theirs = [reader.number() + self.types for _ in range(reader.number())]
        out[FUNCTION] = counted(base[FUNCTION], len(theirs), b"".join(map(number, theirs)))
        out[CODE] = self.code(bodies)
        out[MEMORY] = b"\x01" + limits(base[MEMORY][1:], self.driver.pages)
        out[TABLE], out[ELEMENT] = self.table()
        out[EXPORT] = self.exports()
        return assembled(out)

    def imports(self, doors: dict[int, tuple[str, str, str]]) -> bytes:
        """Write the module's imports, some of them under another name and type."""
        kinds = {name: Reader(kind, 1).number() + self.types for _, name, kind in self.driver.imports}
        written = number(len(self.base.imports))
        for at, (module, name, kind) in enumerate(self.base.imports):
            if at in doors:
                module, name, function = doors[at]  # noqa: PLW2901
                kind = b"\0" + number(kinds[function])  # noqa: PLW2901
            written += blob(module.encode()) + blob(name.encode()) + kind
        return written

    def code(self, bodies: dict[str, bytes]) -> bytes:
        """Write the functions: those of the driver call by the module's numbers."""
        code = bytearray(self.driver.sections[CODE])
        relocations = Reader(self.driver.custom["reloc.CODE"])
        relocations.number()
        for _ in range(relocations.number()):
            kind, at, _ = relocations.number(), relocations.number(), relocations.number()
            if kind in WITH_ADDEND:
                relocations.number()
            if kind in (FUNCTION_INDEX, TYPE_INDEX):
                value = Reader(bytes(code[at : at + 5])).number()
                code[at : at + 5] = number(self.function(value) if kind == FUNCTION_INDEX else value + self.types, 5)
        theirs = Reader(bytes(code))
        count = self.own - len(self.base.imports) + theirs.number()
        replaced = {self.names[name] - len(self.base.imports): body for name, body in bodies.items()}
        kept = [blob(replaced.get(at, body)) for at, body in enumerate(self.base.bodies())]
        return b"".join([number(count), *kept, theirs.rest()])

    def table(self) -> tuple[bytes, bytes]:
        """Write the table, with the driver's functions behind the module's, and what fills it."""
        place = self.base.table_end
        reader = Reader(self.driver.sections[ELEMENT])
        before = number(1) + number(0) + b"\x41" + signed(place) + b"\x0b"
        if reader.rest()[: len(before)] != before:
            raise MergeError("its table does not end where the driver was linked to")
        reader.at += len(before)
        entries = [self.function(reader.number()) for _ in range(reader.number())]
        element = before[1:] + number(len(entries)) + b"".join(map(number, entries))
        size = number(place + len(entries))
        return b"\x01\x70\x01" + size + size, counted(self.base.sections[ELEMENT], 1, element)

    def exports(self) -> bytes:
        """Write the exports: the module's memory and `_initialize`, and the driver's functions."""
        theirs = [each for each in exports(self.base.sections[EXPORT]) if each[0] in (b"memory", b"_initialize")]
        ours = [
            (name, kind, self.function(at)) for name, kind, at in exports(self.driver.sections[EXPORT]) if kind == 0
        ]
        return exporting([*theirs, *ours])


def after_count(section: bytes) -> bytes:
    """Give a section without the number of its entries."""
    reader = Reader(section)
    reader.number()
    return reader.rest()


def limits(before: bytes, pages: int) -> bytes:
    """Write the limits of a memory that begins with more."""
    reader = Reader(before)
    flags = reader.number()
    if reader.number() > pages:
        raise MergeError("the memory begins above the driver's data")
    return number(flags) + number(pages) + reader.rest()


def signed(value: int) -> bytes:
    """Write a number as `i32.const` has it."""
    written = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        if (value == 0 and not byte & 0x40) or (value == -1 and byte & 0x40):
            return bytes([*written, byte])
        written.append(byte | 0x80)


def leading(body: bytes, pattern: bytes) -> int:
    """Give the number behind the bytes that a body has somewhere."""
    at = body.find(pattern)
    if at < 0:
        raise MergeError("a function is not what it was")
    return Reader(body, at + len(pattern)).number()
