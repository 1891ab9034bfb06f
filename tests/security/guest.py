"""Guests written call by call, and what they are to leave alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

# The parameters of each WASI 0.1 call: i and I are numbers of 32 and 64 bits, s is a text (a pointer and a length).
CALLS = {
    "fd_allocate": "iII",
    "fd_close": "i",
    "fd_fdstat_set_flags": "ii",
    "fd_fdstat_set_rights": "iII",
    "fd_filestat_get": "ii",
    "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi",
    "fd_prestat_get": "ii",
    "fd_pwrite": "iiiIi",
    "fd_read": "iiii",
    "fd_readdir": "iiiIi",
    "fd_renumber": "ii",
    "fd_seek": "iIii",
    "fd_write": "iiii",
    "path_create_directory": "is",
    "path_filestat_get": "iisi",
    "path_filestat_set_times": "iisIIi",
    "path_link": "iisis",
    "path_open": "iisiIIii",
    "path_readlink": "isiii",
    "path_remove_directory": "is",
    "path_rename": "isis",
    "path_symlink": "sis",
    "path_unlink_file": "is",
    "random_get": "ii",
    "sock_accept": "iii",
}
WIDTHS = {"i": "i32", "I": "i64", "s": "i32 i32"}

# Where a guest keeps things: the last opened descriptor, one iovec of 64 bytes and its count, the buffer of that iovec.
FD_AT, IOVEC_AT, COUNT_AT, BUFFER_AT, TEXTS_AT = 512, 520, 528, 1024, 8192
LAST = "(i32.load (i32.const 512))"
ROOT_FD = 3
FOLLOW = 1
CREAT, DIRECTORY, EXCL, TRUNC = 1, 2, 4, 8
READ, WRITE, ALL = 2, 64, (1 << 30) - 1


class Call(NamedTuple):
    """One WASI call; a text argument is a path or name, `LAST` the descriptor opened last."""

    name: str
    args: tuple[int | str | bytes, ...]


def call(name: str, *args: int | str | bytes) -> Call:
    """Write one call."""
    return Call(name, args)


def opened(path: str | bytes, *, oflags: int = 0, rights: int = READ, flags: int = 0, lookup: int = FOLLOW) -> Call:
    """Open a path below the root."""
    return call("path_open", ROOT_FD, lookup, path, oflags, rights, rights, flags, FD_AT)


def read() -> Call:
    """Read 64 bytes of what was opened last."""
    return call("fd_read", LAST, IOVEC_AT, 1, COUNT_AT)


def guest(*calls: Call) -> bytes:
    """Write a program that makes the calls and prints an error number a line; what it read goes to stderr."""
    texts = b"".join(arg if isinstance(arg, bytes) else arg.encode() for one in calls for arg in texts_of(one))
    lines = ["(module"]
    lines += [
        f'(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {signature(name)}) (result i32)))'
        for name in sorted({one.name for one in calls} | {"fd_write"})
    ]
    lines.append(f'(memory (export "memory") {2 + len(texts) // 65536})')
    lines.append(f'(data (i32.const {TEXTS_AT}) "{escaped(texts)}")')
    # An iovec of 64 bytes at the buffer.
    lines.append(f'(data (i32.const {IOVEC_AT}) "\\00\\04\\00\\00\\40\\00\\00\\00")')
    lines.append(SAY)
    lines.append('(func (export "_start")')
    at = TEXTS_AT
    for one in calls:
        words = []
        for kind, arg in zip(CALLS[one.name], one.args, strict=True):
            if kind == "s":
                length = len(arg if isinstance(arg, bytes) else str(arg).encode())
                words.append(f"(i32.const {at}) (i32.const {length})")
                at += length
            else:
                words.append(LAST if arg == LAST else f"({WIDTHS[kind]}.const {arg!r})")
        lines.append(f"(call $say (call ${one.name} {' '.join(words)}))")
    lines.append("(i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 64))")
    lines.append("(drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))))")
    return "\n".join(lines).encode()


# Prints a number of two digits and a line feed.
SAY = """
(func $say (param $n i32)
  (i32.store8 (i32.const 16) (i32.add (i32.const 48) (i32.div_u (local.get $n) (i32.const 10))))
  (i32.store8 (i32.const 17) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
  (i32.store8 (i32.const 18) (i32.const 10))
  (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 3))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
"""


def signature(name: str) -> str:
    """Write the parameters of a call as WebAssembly types."""
    return " ".join(WIDTHS[kind] for kind in CALLS[name])


def texts_of(one: Call) -> list[str | bytes]:
    """Give the text arguments of a call."""
    pairs = zip(CALLS[one.name], one.args, strict=True)
    return [arg for kind, arg in pairs if kind == "s" and not isinstance(arg, int)]


def escaped(data: bytes) -> str:
    """Write bytes as a text of the WebAssembly text format."""
    return "".join(f"\\{byte:02x}" for byte in data)


def inventory(directory: Path) -> dict[str, tuple[int, int, bytes | str | None]]:
    """Take down every name below a directory: its mode, its time of change, and what it holds."""
    found: dict[str, tuple[int, int, bytes | str | None]] = {}
    for path in sorted(directory.rglob("*")):
        stat = path.lstat()
        holds = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(directory))] = (stat.st_mode, stat.st_mtime_ns, holds)
    return found
