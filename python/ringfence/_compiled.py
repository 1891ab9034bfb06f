"""
Source text made into a program, by a compiler that is a guest itself.

The compiler has a sandbox of its own: it sees the text, the headers and libraries of its pack, and the folder of the
script where the policy grants that, to read. Nothing that it makes is believed: it is a program like any other. What it
made of a text is kept under the digest of all that it was given, so only who hands in the same text finds it.
"""

from __future__ import annotations

import os

from ._dir import Dir
from ._engine import core
from ._policy import Limits, Policy
from ._program import Program
from ._result import Result
from ._source import Runnable
from ._text import quote
from .errors import LoadError, PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ._isolation import Isolation
    from .languages import Pack

    Progress = Callable[[float], None] | None

# Changed with what a program is kept as, or made from.
_FORM = "1"
# Beside its time, which is that of `Limits.compile`. Its words end up in memory, and so does a text with its headers.
_MEMORY_BYTES = 1 << 30
_OUTPUT_BYTES = 64 << 20
_MAX_WORDS = 1 << 20
_DISK_BYTES = 128 << 20
_OPEN_FILES = 256
_MAX_FLAGS = 1000
_HANDED_ON = ("-Wl,", "-Wa,", "-Wp,")
_WITHOUT_VALUE = frozenset({"-D", "-U", "-I", "-l", "-std="})
_SECTION = b"ringfence.root"
_MAX_SECTION_BYTES = 64 << 20
_MAGIC = b"\0asm\x01\0\0\0"

# What a source that cannot be compiled is instead: it says what the compiler said, and exits with 1, as in any other
# language a text does that is not one of it.
_REFUSED = rb"""
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $list i32) (local $words i32)
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (local.set $words (i32.add (i32.const 16) (i32.mul (i32.load (i32.const 0)) (i32.const 4))))
    (drop (memory.grow (i32.div_u (i32.add (local.get $words) (i32.load (i32.const 4))) (i32.const 65536))))
    (drop (call $get (i32.const 16) (local.get $words)))
    (local.set $words (i32.load (i32.const 20)))
    (local.set $list (local.get $words))
    (block $ends (loop $next
      (br_if $ends (i32.eqz (i32.load8_u (local.get $list))))
      (local.set $list (i32.add (local.get $list) (i32.const 1)))
      (br $next)))
    (block $written (loop $next
      (br_if $written (i32.ge_u (local.get $words) (local.get $list)))
      (i32.store (i32.const 0) (local.get $words))
      (i32.store (i32.const 4) (i32.sub (local.get $list) (local.get $words)))
      (br_if $written (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $words (i32.add (local.get $words) (i32.load (i32.const 8))))
      (br $next)))
    (call $exit (i32.const 1))))
"""


def compiled(
    runnable: Runnable,
    policy: Policy,
    isolation: Isolation,
    tenant: str | None,
    flags: Iterable[str],
    progress: Progress,
) -> Runnable:
    """
    Give the program that a compiler makes of its source, see `_Compiling`.

    Raises:
        LoadError: it takes too long or too much, or ends in a way of its own.
        PolicyError: a flag is not one that it takes.
    """
    return _Compiling(runnable, policy, isolation, tenant, flags, progress).runnable()


class _Compiling:
    """
    One source, and where its compiler runs.

    Args:
        runnable: a compiler with a source, or without one.
        policy: what the program may do; its compiler has the limit `compile` of it, and the script's folder if it is
            granted.
        isolation: where the compiler runs.
        tenant: for whom.
        flags: for the compiler, such as "-O0".
        progress: called while the compiler itself is compiled.
    """

    def __init__(
        self,
        runnable: Runnable,
        policy: Policy,
        isolation: Isolation = "wasm",
        tenant: str | None = None,
        flags: Iterable[str] = (),
        progress: Progress = None,
    ) -> None:
        pack = runnable.pack
        assert pack is not None  # noqa: S101 - a compiler has one
        assert pack.compiler is not None  # noqa: S101
        self._pack, self._commands = pack, pack.compiler
        self._runnable, self._policy, self._progress = runnable, policy, progress
        self._isolation: Isolation = isolation
        self._tenant = tenant
        self._flags, self._libraries = _sorted_flags(flags, pack)

    def runnable(self) -> Runnable:
        """
        Give the program that it makes; one that says what the compiler said, where it makes none.

        Raises:
            LoadError: it takes too long or too much, or ends in a way of its own.
        """
        if self._runnable.source is None:
            words = f"{self._pack.argv0}: error: no source: give it as `code`, or a script\n"
            return _refused(words, self._pack)
        path = self._runnable.args[0]
        place = _Place(path, self._policy)
        text = self._runnable.source
        if text.startswith(b"#!"):
            text = b"//" + text[2:]
        if place.granted:
            # What is compiled and what it is kept under is this one text, whoever changes a header meanwhile.
            made = self._run((*self._commands.include, *self._common(place)), [*place.granted, place.source(text)])
            if not made.ok:
                return _refused(_words(made), self._pack)
            text = made.stdout
        key = self._key(place, text)
        kept = core.made(key)
        if kept is None:
            made = self._object(place, text)
            linked = self._linked(made) if made.ok else made
            words = _words(made) if linked is made else _words(made) + _words(linked)
            if not linked.ok:
                return _refused(words, self._pack)
            wasm = self._file(linked, "program")
            if not wasm.startswith(_MAGIC):
                raise self._failed("what it made is no program", "leave out what is unusual in the source")
            said = words.encode()[:_MAX_WORDS]
            core.keep_made(key, len(said).to_bytes(4) + said + wasm)
        else:
            length = int.from_bytes(kept[:4])
            words, wasm = kept[4 : 4 + length].decode("utf-8", "replace"), kept[4 + length :]
        return Runnable(Program.from_bytes(wasm, name=_name(path)), words=words)

    def _object(self, place: _Place, text: bytes) -> Result:
        dirs = [place.source(text), Dir.memory(at="/made")]
        return self._run((*self._commands.compile, *self._common(place)), dirs)

    def _linked(self, made: Result) -> Result:
        objects = Dir.memory({"object": self._file(made, "object")}, at="/made")
        return self._run((*self._commands.link, *self._libraries), [objects])

    def _common(self, place: _Place) -> tuple[str, ...]:
        more = (*self._flags, "-working-directory", place.folder, "-main-file-name", os.path.basename(place.name))  # noqa: PTH119
        return (*self._commands.common, *more, place.name)

    def _file(self, result: Result, name: str) -> bytes:
        try:
            return result.files[f"/made/{name}"]
        except KeyError:
            raise self._failed(f"it made no {name}", "leave out what is unusual in the source") from None

    def _run(self, args: Sequence[str], dirs: Sequence[Dir]) -> Result:
        """Run the compiler once; whatever its exit code is."""
        from ._program import pack_program

        seconds = self._policy.limits.compile
        limits = Limits(
            wall=seconds,
            compile=seconds,
            memory=_MEMORY_BYTES,
            output=_OUTPUT_BYTES,
            open_files=_OPEN_FILES,
            disk=_DISK_BYTES,
        )
        policy = Policy(dirs=[*_root(self._pack), *dirs], limits=limits)
        native = (pack_program(self._pack)._native, policy._native)  # noqa: SLF001
        sandbox = core.Sandbox(*native, self._progress, None, self._isolation, self._tenant)
        result = Result(sandbox.run(args, None, None, None, None, None, None, None))
        if result.outcome == "exited" and result.limit is None:
            return result
        if result.limit == "wall":
            more = max(1, round((seconds or 0) * 2))
            raise self._failed(
                f"it takes longer than the limit `compile` of {seconds:g} s",
                f"if you trust the source to be that large, raise the limit: `--compile {more}s`",
            )
        if result.limit is not None:
            raise self._failed(f"its compiler reached its limit of {result.limit}", "compile a part of it")
        raise self._failed(
            f"its compiler {result.outcome}: {result.trap}" if result.trap else f"its compiler {result.outcome}",
            "leave out what is unusual in the source: what nests very deep, or is very large",
        )

    def _failed(self, why: str, fix: str) -> LoadError:
        return LoadError(f"cannot compile `{quote(self._runnable.args[0])}`", why, fix)

    def _key(self, place: _Place, text: bytes) -> str:
        """Digest all that the compiler is given."""
        import hashlib
        import json

        commands = self._commands
        given = [_FORM, self._pack.sha256, commands.compile, commands.link, self._common(place), self._libraries]
        total = hashlib.sha256(json.dumps(given).encode())
        total.update(b"\0" + text)
        return total.hexdigest()


class _Place:
    """
    Where the compiler finds a source: by the name that the caller wrote, so that its words are as a compiler's outside.

    Attributes:
        granted: what is granted of the folder it lies in, to read.
        folder: the compiler's working directory.
        name: the source's name in that.
    """

    def __init__(self, path: str, policy: Policy) -> None:
        name = os.path.normpath(path)
        try:
            here = os.path.realpath(".")
        except OSError:  # it was removed
            here = "/"
        folder = os.path.realpath(os.path.dirname(path) or ".")  # noqa: PTH120
        try:
            path.encode()
        except UnicodeEncodeError:
            path = name = "source"
        climbs = os.path.isabs(name) or name.startswith("..")  # noqa: PTH117
        if climbs or os.path.join(here, os.path.dirname(name)) != folder.rstrip("/"):  # noqa: PTH118, PTH120
            # Not below where we are, or through a link: its own name has to do.
            here, path = folder, os.path.basename(name)  # noqa: PTH119
        self.granted: list[Dir] = []
        self.folder, self.name = "/source", path
        for grant in policy.dirs:
            if grant.host is None or not os.path.isdir(grant.host):  # noqa: PTH112
                continue
            host = os.path.realpath(grant.host)
            if _holds(host, here):
                self.folder = os.path.normpath(f"/source/{os.path.relpath(here, host)}")
                self.granted = [Dir(host, at="/source")]
                break
            if _holds(host, folder) or _holds(folder, host):
                self.granted.append(Dir(host, at=f"/source/{os.path.relpath(host, here)}"))

    def source(self, text: bytes) -> Dir:
        """Hand in the text where it lies."""
        return Dir.memory(file=text, at=os.path.normpath(f"{self.folder}/{self.name}"), mode="ro")


def _holds(folder: str, path: str) -> bool:
    return folder == os.path.commonpath([folder, path])


def _sorted_flags(flags: Iterable[str], pack: Pack) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tell flags for the compiler from those for the linker, and refuse others."""
    assert pack.compiler is not None  # noqa: S101 - who calls this looked
    if isinstance(flags, str):
        raise TypeError(f"compiler_flags is a list, and {flags!r} is one text\nhint: write `[{flags!r}]`")
    ours: list[str] = []
    libraries: list[str] = []
    for flag in flags:
        is_library = flag.startswith(pack.compiler.libraries)
        is_known = is_library or flag.startswith(pack.compiler.flags)
        # The linker's, handed on, and one whose value would be the next.
        if not is_known or "\0" in flag or flag.startswith(_HANDED_ON) or flag in _WITHOUT_VALUE:
            begin = ", ".join(f"`{start}`" for start in (*pack.compiler.flags, *pack.compiler.libraries))
            raise PolicyError(
                f"the compiler of {pack.title} is not given `{quote(str(flag), 80)}`",
                f"its flags here begin with {begin}, with their value behind that",
                "leave it out",
            )
        (libraries if is_library else ours).append(flag)
    if len(ours) + len(libraries) > _MAX_FLAGS:
        raise PolicyError("there are too many compiler flags", f"at most {_MAX_FLAGS} are taken", "leave some out")
    return tuple(ours), tuple(libraries)


def _refused(words: str, pack: Pack) -> Runnable:
    words = words.replace("\0", "\\0")[:_MAX_WORDS] or f"{pack.argv0}: error: it said nothing\n"
    return Runnable(Program.from_bytes(_REFUSED, name=pack.argv0), pack, (words,), words=words)


def _words(result: Result) -> str:
    return result.stderr.decode("utf-8", "replace")


def _name(path: str) -> str:
    """Name the program as a compiler would."""
    return os.path.splitext(os.path.basename(path))[0] if not path.startswith("<") else "a.out"  # noqa: PTH119, PTH122


# By the digests of their packs.
_roots: dict[str, list[Dir]] = {}


def _root(pack: Pack) -> list[Dir]:
    """Give the files of its own that a compiler sees: a zip archive in the first section of its module."""
    known = _roots.get(pack.sha256)
    if known is None:
        archive = _section(pack.file)
        known = _roots[pack.sha256] = [] if archive is None else [Dir.memory(archive, at="/usr", mode="ro")]
    return known


def _section(path: str) -> bytes | None:
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs 4 ms to import
        if file.read(9) != _MAGIC + b"\0":
            return None
        size = shift = 0
        while True:
            byte = file.read(1)[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:  # noqa: PLR2004 - as LEB128 has it
                break
        name = bytes([len(_SECTION)]) + _SECTION
        if size > _MAX_SECTION_BYTES or file.read(len(name)) != name:
            return None
        return file.read(size - len(name))
