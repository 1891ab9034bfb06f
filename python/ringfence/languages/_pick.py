"""Which language a program is in: by its name's end, by its first line, or as it is said; and the text of a script."""

from __future__ import annotations

import os
import stat

from ringfence._text import quote
from ringfence._value import Value
from ringfence.errors import LoadError, ProgramNotFound

from ._find import claimed, find, not_installed, ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._pack import Pack

MAX_SCRIPT_BYTES = 16 << 20
"""Longest script: as the longest program in the text format."""

# What the kernel reads of a first line.
_MAX_SHEBANG_BYTES = 256
_MAGIC = b"\0asm"
_WASM = (".wasm", ".wat", ".cwasm")
_DATABASE = b"SQLite format 3\0"
_DATABASES = (".db", ".db3", ".sqlite", ".sqlite3")


class Script(Value):
    """
    A source text and the language it is in.

    Attributes:
        pack: the language.
        path: where it was read, as it was written.
        source: the text.
    """

    __slots__ = ("pack", "path", "source")
    pack: Pack
    path: str
    source: bytes

    def __init__(self, pack: Pack, path: str, source: bytes) -> None:
        self._fill(pack=pack, path=path, source=source)

    @property
    def args(self) -> tuple[str, ...]:
        """What the interpreter is given before the script's own arguments."""
        # A name is never taken for a flag.
        return (f"./{self.path}" if self.path.startswith("-") else self.path,)


def pick(path: str, language: str | None = None) -> Script | None:
    """
    Read the script in a file; None where it is no script but a WebAssembly program.

    What begins as WebAssembly is WebAssembly, whatever its name says. Otherwise the language is the one that is said,
    else the one its name's end belongs to, else the one its first line asks for. Its text is read once, here.

    Raises:
        ProgramNotFound: there is no such file.
        LoadError: it cannot be read, is no text, or is in a language that is not installed, or in which is unclear.
    """
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - pathlib costs 4 ms to import
    if language is None and suffix in _WASM:
        return None
    pack = None if language is None else find(language)
    try:
        descriptor = _open(path, explicit=pack is not None)
    except ProgramNotFound:
        if pack is None and not claimed(suffix) and not ours(suffix):
            return None  # the native side says it in the words of programs
        if pack is not None and pack.language == "sqlite" and suffix in _DATABASES:
            why = "SQL comes from a script, or from standard input, and a database after it"
            raise ProgramNotFound(f"no such script: `{quote(path)}`", why, _on_database(path)) from None
        raise
    if descriptor is None:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123
        head = file.read(_MAX_SHEBANG_BYTES)
        if head.startswith(_MAGIC):
            if pack is not None:
                raise LoadError(
                    f"`{quote(path)}` is not {pack.title}",
                    "it begins as WebAssembly does, and is that, whatever it is called",
                    "leave the language out",
                )
            return None
        if head.startswith(_DATABASE) and (pack is None or pack.language == "sqlite"):
            what = f"`{quote(path)}` is a database, and no script"
            raise LoadError(what, "SQL comes from a script, or from standard input", _on_database(path))
        pack = pack or _language(path, suffix, head)
        if pack is None:
            return None
        source = head + file.read(MAX_SCRIPT_BYTES + 1 - len(head))
    _check(path, source, pack)
    return Script(pack, path, source)


def _language(path: str, suffix: str, head: bytes) -> Pack | None:
    """Find the language by name and first line, which must not say two things."""
    interpreter = shebang(head)
    by_name = claimed(suffix) if suffix else []
    by_line = claimed(interpreter) if interpreter else []
    both = [pack for pack in by_name if pack in by_line]
    found = both or by_name or by_line
    if by_name and not both and (by_line or (interpreter and ours(interpreter))):
        raise LoadError(
            f"it is unclear what `{quote(path)}` is",
            f"its name ends in `{suffix}` and its first line asks for `{quote(interpreter or '')}`",
            f"say it: `--language {by_name[0].language}`, or `language=` in Python",
        )
    if len(found) > 1:
        names = " and ".join(sorted(pack.language for pack in found))
        raise LoadError(
            f"it is unclear what `{quote(path)}` is",
            f"{names} both claim such scripts",
            f"say it: `--language {found[0].language}`, or `language=` in Python",
        )
    if found:
        return found[0]
    if name := ours(suffix) or (ours(interpreter) if interpreter else None):
        raise not_installed(name, f"`{quote(path)}` cannot be run", f"the language `{name}` is not installed")
    if interpreter:
        raise LoadError(
            f"`{quote(path)}` cannot be run",
            f"its first line asks for `{quote(interpreter)}`, and no installed language is that",
            "name its language with `--language NAME`; `ringfence languages` lists what there is",
        )
    return None


def shebang(head: bytes) -> str | None:
    """
    Name the interpreter that a first line asks for, through `env` too; None where there is no such line.

    >>> shebang(b"#!/usr/bin/env -S python3 -u"), shebang(b"#! /usr/local/bin/node")
    ('python3', 'node')
    """
    line = head.partition(b"\n")[0]
    if not line.startswith(b"#!"):
        return None
    words = line[2:].decode("utf-8", "replace").split()
    if words and words[0].rpartition("/")[2] == "env":
        del words[0]
        while words and (words[0].startswith("-") or "=" in words[0]):
            if words[0].startswith("-S") and words[0] != "-S":
                words[0] = words[0].removeprefix("-S")
            else:
                # The one flag of env whose value stands apart.
                del words[: 2 if words[0] in {"-u", "--unset"} else 1]
    return words[0].rpartition("/")[2] if words else None


def _open(path: str, *, explicit: bool) -> int | None:
    """Open a regular file; None for anything else unless it was said to be a script."""
    what = f"cannot read `{quote(path)}`"
    try:
        # Looked at before it is opened, for opening some devices does something; and after, for it may be swapped.
        kind = os.stat(path)  # noqa: PTH116
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK) if stat.S_ISREG(kind.st_mode) else -1
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        fix = "check the path; it is taken from the current directory"
        raise ProgramNotFound(f"no such program: `{quote(path)}`", why, fix) from error
    except PermissionError as error:
        fix = f"allow it: `chmod u+r {quote(path)}`, or run as its owner"
        raise LoadError(what, "you may not read it", fix) from error
    except OSError as error:
        fix = "check the file and the file system it is on"
        raise LoadError(what, error.strerror or str(error), fix) from error
    if descriptor >= 0 and stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    if descriptor >= 0:
        os.close(descriptor)
    if not explicit:
        return None
    if stat.S_ISDIR(kind.st_mode):
        raise LoadError(what, "it is a directory", "name the script in it")
    raise LoadError(what, "it is not a regular file", "write `-` to read the script from standard input")


def _on_database(path: str) -> str:
    """Write what `sqlite3 FILE < SCRIPT` is here: the folder is granted, for a journal is written beside a database."""
    import shlex

    folder, name = os.path.split(path)
    place, seen = (".:/:rw", name) if not folder else (f"{folder.rstrip('/') or 'FOLDER'}:/data:rw", f"/data/{name}")
    words = ["ringfence", "run", "--language", "sqlite", "--dir", place, "-", seen]
    return f"name it behind that: `{quote(shlex.join(words))} < script.sql`"


def _check(path: str, source: bytes, pack: Pack) -> None:
    """Refuse what is no text, in words that tell how to make it one."""
    what = f"`{quote(path)}` is not {pack.title}"
    if len(source) > MAX_SCRIPT_BYTES:
        why = f"it is longer than {MAX_SCRIPT_BYTES >> 20} MiB"
        raise LoadError(
            f"`{quote(path)}` cannot be run", why, "keep data in a file of its own, and grant that with `--dir`"
        )
    if source.startswith((b"\xff\xfe", b"\xfe\xff")):
        fix = f"write it as UTF-8: `iconv -f utf-16 -t utf-8 {quote(path)}`"
        raise LoadError(what, "it is text in UTF-16", fix)
    if b"\0" in source:
        line = source.count(b"\n", 0, source.index(b"\0")) + 1
        raise LoadError(
            what, f"line {line} has a NUL byte: it is no text", "give the source text, not what was built from it"
        )
    try:
        source.decode()
    except UnicodeDecodeError as error:
        import re

        # PEP 263: such a line says what else it is, and the language reads it.
        if re.match(rb"(.*\n)?.*coding[:=]", source[:_MAX_SHEBANG_BYTES]):
            return
        line = source.count(b"\n", 0, error.start) + 1
        raise LoadError(
            what,
            f"line {line} has the byte 0x{source[error.start]:02x}, and that is not UTF-8",
            f"write it as UTF-8: `iconv -f latin1 -t utf-8 {quote(path)}`",
        ) from error
