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
_FORM = "2"
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
    sources: Iterable[str | os.PathLike[str]],
    progress: Progress,
) -> Runnable:
    """
    Give the program that a compiler makes of its source, see `_Compiling`.

    Raises:
        LoadError: it takes too long or too much, or ends in a way of its own; or one of `sources` cannot be read.
        PolicyError: a flag is not one that it takes, or two sources would have one name.
    """
    return _Compiling(runnable, policy, isolation, tenant, flags, sources, progress).runnable()


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
        sources: files that are handed in beside it: those in its language are a part of the program, others can be
            included.
        progress: called while the compiler itself is compiled.
    """

    def __init__(
        self,
        runnable: Runnable,
        policy: Policy,
        isolation: Isolation = "wasm",
        tenant: str | None = None,
        flags: Iterable[str] = (),
        sources: Iterable[str | os.PathLike[str]] = (),
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
        if isinstance(sources, str | os.PathLike):
            raise TypeError(f"sources is a list, and {sources!r} is one path\nhint: write `[{sources!r}]`")
        self._sources = [os.fspath(path) for path in sources]

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
        units = {place.name: _text(self._runnable.source)}
        beside = self._beside(place)
        if place.granted or beside:
            # What is compiled and what it is kept under are these texts, whoever changes a header meanwhile.
            units |= {name: text for name, text in beside.items() if name.endswith(self._pack.suffixes)}
            include, texts = self._commands.include, beside | units
            made = {name: self._run((*include, *self._common(place, name)), place.whole(texts, name)) for name in units}
            if words := "".join(_words(each) for each in made.values() if not each.ok):
                return _refused(words, self._pack)
            units = {name: each.stdout for name, each in made.items()}
        key = self._key(place, units)
        kept = core.made(key)
        if kept is None:
            made = {name: self._object(place, name, text) for name, text in units.items()}
            words = "".join(map(_words, made.values()))
            if not all(each.ok for each in made.values()):
                return _refused(words, self._pack)
            linked = self._linked([self._file(each, "object") for each in made.values()])
            words += _words(linked)
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

    def _beside(self, place: _Place) -> dict[str, bytes]:
        """Read the other sources: their texts, by their names."""
        from .languages._pick import pick

        texts: dict[str, bytes] = {}
        for path in self._sources:
            name = place.beside(path)
            if name == os.path.normpath(place.name) or name in texts:
                raise PolicyError(
                    f"`{quote(path)}` is a source twice",
                    f"another one is `{quote(name)}` too, where the compiler sees them",
                    "name each once; what lies above the current folder has its last name only",
                )
            if not place.sees(path):
                raise PolicyError(
                    f"`{quote(path)}` cannot be a source beside `{quote(self._runnable.args[0])}`",
                    "the policy grants the folder of that one, so the compiler sees that, and this lies outside",
                    "grant its folder too, or neither",
                )
            script = pick(path, self._pack.language)
            assert script is not None  # noqa: S101 - its language was said
            texts[name] = _text(script.source)
        return texts

    def _object(self, place: _Place, name: str, text: bytes) -> Result:
        dirs = [place.source(name, text), Dir.memory(at="/made")]
        return self._run((*self._commands.compile, *self._common(place, name)), dirs)

    def _linked(self, objects: Sequence[bytes]) -> Result:
        names = ["object", *(f"object{number}" for number in range(1, len(objects)))]
        words: list[str] = []
        for word in self._commands.link:
            words += (f"/made/{name}" for name in names) if word == "/made/object" else [word]
        made = Dir.memory(dict(zip(names, objects, strict=True)), at="/made")
        return self._run((*words, *self._libraries), [made])

    def _common(self, place: _Place, name: str) -> tuple[str, ...]:
        more = (*self._flags, "-working-directory", place.folder, "-main-file-name", os.path.basename(name))  # noqa: PTH119
        return (*self._commands.common, *more, name)

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

    def _key(self, place: _Place, units: dict[str, bytes]) -> str:
        """Digest all that the compiler is given."""
        import hashlib
        import json

        commands = self._commands
        each = [(self._common(place, name), len(text)) for name, text in units.items()]
        given = [_FORM, self._pack.sha256, commands.compile, commands.link, self._libraries, each]
        total = hashlib.sha256(json.dumps(given).encode())
        total.update(b"\0" + b"".join(units.values()))
        return total.hexdigest()


class _Place:
    """
    Where the compiler finds a source: by the name that the caller wrote, so that its words are as a compiler's outside.

    Attributes:
        granted: what is granted of the folder it lies in, to read.
        folder: the compiler's working directory.
        here: the same on the host.
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
        self.folder, self.name, self.here = "/source", path, here
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

    def beside(self, path: str) -> str:
        """Name another source: by where it lies below the working directory, or by its last name alone."""
        folder, last = os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path)  # noqa: PTH119, PTH120
        name = os.path.relpath(os.path.join(folder, last), self.here)  # noqa: PTH118
        return last if name.startswith("..") else name

    def source(self, name: str, text: bytes) -> Dir:
        """Hand in a text where it lies."""
        return Dir.memory(file=text, at=os.path.normpath(f"{self.folder}/{name}"), mode="ro")

    def whole(self, texts: dict[str, bytes], name: str) -> list[Dir]:
        """Show one of the texts with all that it may include: what is granted of its folder, or the other texts."""
        if self.granted:
            return [*self.granted, self.source(name, texts[name])]
        # One tree: a compiler tells files by their numbers, and equal trees share theirs.
        return [Dir.memory({os.path.normpath(name): text for name, text in texts.items()}, at=self.folder, mode="ro")]

    def sees(self, path: str) -> bool:
        """Tell whether the compiler can be shown another source."""
        real = os.path.realpath(path)
        return not self.granted or any(_holds(grant.host, real) for grant in self.granted if grant.host is not None)


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


def _text(source: bytes) -> bytes:
    return b"//" + source[2:] if source.startswith(b"#!") else source


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
