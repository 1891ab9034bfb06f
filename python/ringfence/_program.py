"""Programs: bytes that were read and checked, and what they say of themselves."""

from __future__ import annotations

import os

from ._engine import core
from ._value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, Self

    from .languages import Pack


class Import(Value):
    """
    Something a program wants from its host.

    Attributes:
        module: where it lives, such as `wasi:filesystem/types@0.2.6`.
        name: what it is called there; empty where the whole interface is wanted.
        type: its kind or signature.
        known: whether some policy can provide it.
    """

    __slots__ = ("module", "name", "type", "known")
    module: str
    name: str
    type: str
    known: bool

    def __init__(self, module: str, name: str, type: str, known: bool) -> None:  # noqa: A002
        self._fill(module=module, name=name, type=type, known=known)


class Export(Value):
    """
    Something a program offers.

    Attributes:
        name: what it is called.
        type: its kind or signature.
    """

    __slots__ = ("name", "type")
    name: str
    type: str

    def __init__(self, name: str, type: str) -> None:  # noqa: A002
        self._fill(name=name, type=type)


class Program:
    """
    A program: a WebAssembly module or component, binary or text. Make one with `from_file` or `from_bytes`.

    What it is is read from the bytes, never from the name. Native code is never taken.
    """

    __slots__ = ("_facts", "_native")

    def __init__(self, native: core.Program, /) -> None:
        self._native = native
        self._facts: dict[str, Any] | None = None

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """
        Read a program from a file.

        A large one that was read before, and was not changed since, is opened and not read. Replace such a file by
        renaming another onto it: one that is written into while its program is in use cannot be compiled any more.

        Raises:
            ProgramNotFound: there is no such file.
            LoadError: it is not a program.
        """
        return cls(core.Program.from_file(os.fspath(path)))

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str = "program") -> Self:
        """
        Take a program that is already in memory; `name` is what the guest and messages call it.

        Raises:
            LoadError: it is not a program.
        """
        return cls(core.Program.from_bytes(bytes(data), name))

    @property
    def name(self) -> str:
        """The file name without directories: the guest's argument 0."""
        return os.path.basename(self._native.name)  # noqa: PTH119 - pathlib costs 4 ms to import

    @property
    def kind(self) -> Literal["module", "component"]:
        """A "module", or a "component"."""
        kind: Literal["module", "component"] = self._native.kind  # type: ignore[assignment]
        return kind

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hexadecimal."""
        return self._native.digest

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._native.size

    @property
    def wasi(self) -> str | None:
        """The WASI level it needs: "0.1", "0.2", "0.3", or None where it imports none."""
        wasi: str | None = self._inspect()["wasi"]
        return wasi

    @property
    def imports(self) -> tuple[Import, ...]:
        """What it wants from its host."""
        return tuple(Import(**entry) for entry in self._inspect()["imports"])

    @property
    def exports(self) -> tuple[Export, ...]:
        """What it offers."""
        return tuple(Export(**entry) for entry in self._inspect()["exports"])

    def wit(self, *, wasi: bool = False) -> str:
        """
        Give what a component imports and exports, in WIT: its types are read, and nothing is compiled.

        `wasi` writes out the interfaces of WASI too, which are otherwise only named. Names that are none of WIT's are
        escaped and cut, and the whole is at most about a megabyte.

        Raises:
            LoadError: it is a module, whose functions have no such types, or it is not valid.
        """
        return self._native.wit(wasi)

    def _inspect(self) -> dict[str, Any]:
        if self._facts is None:
            import json

            self._facts = json.loads(self._native.inspect())
        return self._facts

    def __repr__(self) -> str:
        return f"<Program {self.name!r}: {self.kind}, {self.size} bytes>"


_packs: dict[str, tuple[Pack, Program]] = {}


def pack_program(pack: Pack) -> Program:
    """
    Take the program of a language.

    It is known by its digest: what was compiled under that is not read again, and what is compiled has to have it.
    """
    known = _packs.get(pack.language)
    if known is not None and known[0] is pack:
        return known[1]
    program = Program(core.Program.from_file(pack.file, pack.argv0, pack.sha256, pack.kind == "component"))
    _packs[pack.language] = (pack, program)
    return program


def to_program(program: str | os.PathLike[str] | bytes | Program) -> Program:
    """Take a path, the bytes themselves, or a program."""
    if isinstance(program, Program):
        return program
    if isinstance(program, bytes):
        return Program.from_bytes(program)
    return Program.from_file(program)
