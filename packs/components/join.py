"""Joins an interpreter that others have linked with a driver of ours, which may stand between it and its host."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packs.building.failure import Failure
from packs.building.pack import PACKS
from packs.components import npm
from packs.components.thrown import Types
from packs.python_data import merge

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build
    from packs.components.thrown import Thrown

BINARYEN = {
    "binaryen": ("130.0.0", "XDrb+zql0RbFPKgj7MuH9zOc78R3Fa/P/VSGnnpdwYsvNZPWjcMYMdAkKCOQEL2A7yqgjSMTDRFp6gfSDW+/QQ==")
}
FLAGS = ["--enable-bulk-memory", "--enable-nontrapping-float-to-int", "--enable-mutable-globals", "--enable-sign-ext"]
EXCEPTIONS = ["--enable-exception-handling", "--enable-reference-types"]
WASI = "wasi_snapshot_preview1"
FUNCTION = 0
ASYNCIFY = [f"asyncify_{name}" for name in ("start_unwind", "stop_unwind", "start_rewind", "stop_rewind", "get_state")]


@dataclass(frozen=True)
class Held:
    """
    A function that unwinds to the driver in its middle, and comes back there.

    Attributes:
        function: its number.
        before: what stands there once in its body.
        call: a call of an import, which goes before that.
        by: that import.
    """

    function: int
    before: bytes
    call: bytes
    by: str


@dataclass(frozen=True)
class Interpreter:
    """
    A module whose functions have no names, but numbers: they are those of one file, so its digest is pinned.

    Attributes:
        sha256: of its bytes.
        functions: what the driver calls, by names of ours.
        between: imports that are the driver's functions instead.
        held: the function that is left in its middle, if any.
        mended: functions that are wrong, each with what stands once in its body and what is to stand there.
        instead: functions without parameters that give what an import gives, with how many zeros for its parameters.
        thrown: where it jumps, if it was linked without.
        stack_bytes: room for its stack of C, where it has too little; it then lies above all else, and where it is full
            is a trap.
        exports: exports that stay, beside those functions.
    """

    sha256: str
    functions: dict[str, int]
    between: frozenset[str]
    held: Held | None = None
    mended: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    instead: dict[int, tuple[str, int]] = field(default_factory=dict)
    thrown: Thrown | None = None
    stack_bytes: int = 0
    exports: tuple[str, ...] = field(default=("memory",))

    def opened(self, wasm: bytes, pages: int) -> bytes:
        """Give the module with those doors, and with a memory of so many pages."""
        if (found := hashlib.sha256(wasm).hexdigest()) != self.sha256:
            raise Failure("the interpreter is not the pinned one", f"its sha256 is {found}", "do not use this registry")
        module = merge.Module.of(wasm)
        mended = dict(self.mended)
        if self.held:
            mended[self.held.function] = (self.held.before, self.held.call + self.held.before)
        if mended:
            module.sections[merge.CODE] = changed(module, mended)
        if self.instead:
            module.sections[merge.CODE] = self._replaced(module)
        added = self.thrown.applied(module) if self.thrown else {}
        if self.stack_bytes:
            pages += self.stack_bytes // merge.PAGE_BYTES
            top = pages * merge.PAGE_BYTES
            module.sections[merge.GLOBAL] = stacked(module.sections[merge.GLOBAL], top)
            bound(module, top - self.stack_bytes + SPARE_BYTES)
        module.sections[merge.IMPORT] = self._imports(module)
        module.sections[merge.EXPORT] = self._exports(module, self.functions | added)
        module.sections[merge.MEMORY] = b"\x01" + merge.limits(module.sections[merge.MEMORY][1:], pages)
        opened = merge.assembled(module.sections)
        if self.held:
            # asyncify takes functions by their names.
            name = merge.number(1) + merge.number(self.held.function) + merge.blob(b"held")
            opened += b"\0" + merge.blob(merge.blob(b"name") + b"\x01" + merge.blob(name))
        return opened

    def _replaced(self, module: merge.Module) -> bytes:
        bodies = list(module.bodies())
        names = [name for _, name, _ in module.imports]
        for function, (name, zeros) in self.instead.items():
            call = b"\x10" + merge.number(names.index(name))
            bodies[function - len(names)] = b"\0" + zeros * b"\x41\0" + call + b"\x0b"
        return merge.number(len(bodies)) + b"".join(map(merge.blob, bodies))

    def _imports(self, module: merge.Module) -> bytes:
        missing = self.between - {name for _, name, _ in module.imports}
        if missing:
            raise merge.MergeError(f"it imports no {', '.join(sorted(missing))}")
        written = merge.number(len(module.imports))
        for origin, name, kind in module.imports:
            place = "driver" if name in self.between else origin
            written += merge.blob(place.encode()) + merge.blob(name.encode()) + kind
        return written

    @property
    def opened_names(self) -> set[str]:
        """Give the names by which the driver calls its functions."""
        return {*self.functions, *(self.thrown.names if self.thrown else ())}

    def _exports(self, module: merge.Module, functions: dict[str, int]) -> bytes:
        kept = [each for each in merge.exports(module.sections[merge.EXPORT]) if each[0].decode() in self.exports]
        return merge.exporting([*kept, *((name.encode(), FUNCTION, at) for name, at in functions.items())])


def joined(build: Build, interpreter: Interpreter, wasm: Path, constants: dict[str, int]) -> Path:
    """
    Compile the folder's `driver.c` and join it with the interpreter, in the same memory.

    Args:
        build: the build.
        interpreter: what of the module is opened.
        wasm: the module.
        constants: numbers that the driver is compiled with: where in the interpreter's memory things lie.
    """
    whole = wasm.read_bytes()
    module = merge.Module.of(whole)
    build.compiler_path = build.compiler().path
    build.run([
        "wasi-cc", "-O2", "-Wall", "-Werror", "-mbulk-memory", "-fno-builtin", "-Wno-c23-extensions",
        # Memory that is imported would be cleared by a function that starts the module: it could not be captured then.
        "-fno-zero-initialized-in-bss", f"-I{PACKS / 'components'}",
        *(f"-D{name}={at}u" for name, at in constants.items()), "-c", build.folder / "driver.c", "-o", "driver.o",
    ])  # fmt: skip
    build.run([
        "wasi-cc", "-nostdlib", "-mexec-model=reactor", "driver.o", "-Wl,--no-entry",
        "-Xlinker", "--import-memory=interpreter,memory",
        "-Wl,-z,stack-size=65536", "-Wl,--no-stack-first", f"-Wl,--global-base={module.memory_end}",
        "-o", "driver.wasm",
    ])  # fmt: skip
    pages = merge.Module.of((build.work / "driver.wasm").read_bytes()).pages
    (build.work / "interpreter.wasm").write_bytes(interpreter.opened(whole, pages))
    flags = [*FLAGS, *(EXCEPTIONS if interpreter.thrown else [])]
    node = npm.node(build.steps)
    tools = npm.packages(node, BINARYEN, build.steps) / "node_modules" / "binaryen" / "bin"
    if held := interpreter.held:
        build.run([
            node, tools / "wasm-opt", *flags, "interpreter.wasm", "--asyncify", "--pass-arg=asyncify-onlylist@held",
            f"--pass-arg=asyncify-imports@driver.{held.by}", "--pass-arg=asyncify-ignore-indirect",
            "-o", "interpreter.wasm",
        ])  # fmt: skip
    build.run([
        node, tools / "wasm-merge", *flags, "interpreter.wasm", "interpreter", "driver.wasm", "driver",
        "-o", "joined.wasm",
    ])  # fmt: skip
    written = shut(
        (build.work / "joined.wasm").read_bytes(), {*interpreter.opened_names, *interpreter.between, *ASYNCIFY}
    )
    (build.work / "joined.wasm").write_bytes(written)
    return build.work / "joined.wasm"


def changed(module: merge.Module, mended: dict[int, tuple[bytes, bytes]]) -> bytes:
    """Give the functions of a module with other bytes in some of them."""
    bodies = list(module.bodies())
    for function, (before, after) in mended.items():
        at = function - len(module.imports)
        if bodies[at].count(before) != 1:
            raise merge.MergeError(f"function {function} is not what it was")
        bodies[at] = bodies[at].replace(before, after)
    return merge.number(len(bodies)) + b"".join(map(merge.blob, bodies))


def stacked(section: bytes, top: int) -> bytes:
    """Give the globals of a module whose only one is its stack pointer, with the stack somewhere else."""
    before = b"\x01\x7f\x01\x41"
    if not section.startswith(before):
        raise merge.MergeError("it has other globals than a stack pointer")
    return before + merge.signed(top) + b"\x0b"


# What a function does that has a frame: `global.get 0; i32.const SIZE; i32.sub; local.tee FRAME; global.set 0`.
FRAMED = re.compile(rb"\x23\0\x41(?:[\x80-\xff]*[\0-\x7f])\x6b\x22([\x80-\xff]*[\0-\x7f])\x24\0", re.DOTALL)
# Frames that are not looked at: of functions that take theirs in another way, which call none in their turn.
SPARE_BYTES = 64 << 10


def bound(module: merge.Module, lowest: int) -> None:
    """
    End what goes on where the stack of C is full: below it lies the heap, which it would write over.

    A function that calls itself without an end is added, for that is the trap `stack overflow`.
    """
    types, own = Types(module.sections[merge.TYPE]), merge.Reader(module.sections[merge.FUNCTION]).number()
    endless = b"\x10" + merge.number(len(module.imports) + own)
    full = b"\x41" + merge.signed(lowest) + b"\x49\x04\x40" + endless + b"\x0b"
    bodies = [FRAMED.sub(lambda found: found[0] + b"\x20" + found[1] + full, body) for body in module.bodies()]
    kind = merge.number(types.number([], []))
    module.sections[merge.TYPE] = types.written()
    module.sections[merge.FUNCTION] = merge.counted(module.sections[merge.FUNCTION], 1, kind)
    bodies.append(b"\0" + endless + b"\x0b")
    module.sections[merge.CODE] = merge.number(len(bodies)) + b"".join(map(merge.blob, bodies))


def shut(wasm: bytes, names: set[str]) -> bytes:
    """Give a module without exports of these names."""
    module = merge.Module.of(wasm)
    kept = [each for each in merge.exports(module.sections[merge.EXPORT]) if each[0].decode() not in names]
    module.sections[merge.EXPORT] = merge.exporting(kept)
    return merge.assembled(module.sections)
