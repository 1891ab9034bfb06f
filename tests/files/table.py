"""
What acts on files answer: one table for every standard and every mode.

Each row is done in a directory of its own, which holds `file` (12 bytes), `dir/inner`, `empty/`, and the links `link`
to `file`, `dirlink` to `dir`, `dangling` to nowhere and `loop` to itself. A row is acts; after each stands what it
answers, then where it answers otherwise: by the mode, or by the standard where the standards differ.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from files.guest import FIRST_SLOT

# The row's own directory, and slots for what it opens.
HERE, A, B, C = range(FIRST_SLOT, FIRST_SLOT + 4)
TWELVE = b"twelve bytes"
# Past what can be an offset.
HUGE = 1 << 63


class Act(NamedTuple):
    """One act and its answers."""

    name: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    answer: Any = True
    otherwise: dict[str, Any] = {}  # noqa: RUF012 - never changed

    def gives(self, answer: Any, **otherwise: Any) -> Act:
        """Say what it answers; `wasi01` and `wasi02`, `ro`, `rw`, `overlay` and `tmp` say where it is otherwise."""
        return self._replace(answer=answer, otherwise=otherwise)

    def expected(self, standard: str, mode: str) -> Any:
        """Look up what it answers there."""
        return self.otherwise.get(mode, self.otherwise.get(standard, self.answer))


def act(name: str, *args: Any, **options: Any) -> Act:
    """Write an act; a path is taken from the row's directory."""
    return Act(name, args, options)


def opens(slot: int, path: str, **options: Any) -> Act:
    """Open something there is for reading."""
    return act("open", slot, path, **options)


def makes(slot: int, path: str, **options: Any) -> Act:
    """Make a file that is not there; where one may only read it is refused."""
    return act("open", slot, path, write=True, create=True, **options).gives(True, ro="rofs")


def changes(name: str, *args: Any, **options: Any) -> Act:
    """Change something; where one may only read it is refused."""
    return act(name, *args, **options).gives(True, ro="rofs")


def holds(path: str, data: bytes, **otherwise: Any) -> tuple[Act, Act]:
    """Read a whole file; where it is otherwise, it holds other bytes or is not opened for a reason."""
    refused = {mode: said for mode, said in otherwise.items() if isinstance(said, str)}
    read = {mode: "closed" if mode in refused else said for mode, said in otherwise.items()}
    return opens(C, path).gives(True, **refused), act("read", C, 0, 100).gives(data, **read)


FILE, LINK, DIRECTORY = ("file", 1, 12), ("link", 1, 4), ("directory",)

ODD = ("a b", "a\nb", "\x1b[31m", "日本", "\N{COMBINING ACUTE ACCENT}", "..x", "-", "\\", "a:b", "*")
THERE = [
    *(("dangling", "link"), ("dir", "directory"), ("dirlink", "link"), ("empty", "directory")),
    *(("file", "file"), ("link", "link"), ("loop", "link")),
]

ROWS: dict[str, tuple[Act, ...]] = {
    # opening
    "a file is opened and read": (opens(A, "file"), act("read", A, 0, 100).gives(TWELVE)),
    "what is missing is not opened": (opens(A, "missing").gives("noent"), act("read", A, 0, 1).gives("closed")),
    "a directory is opened as one": (opens(A, "dir", directory=True), act("fstat", A).gives(DIRECTORY)),
    "a directory is opened without saying so": (opens(A, "dir"), act("fstat", A).gives(DIRECTORY)),
    "a file is no directory": (opens(A, "file", directory=True).gives("notdir"),),
    "nothing lies in a file": (opens(A, "file/x").gives("notdir"), act("stat", "file/.").gives("notdir")),
    "a directory is not opened to be written": (
        opens(A, "dir", write=True).gives("isdir", ro="rofs"),
        makes(A, "dir").gives("isdir", ro="rofs"),
        opens(A, "dir", truncate=True, write=True).gives("isdir", ro="rofs"),
    ),
    "a file to be made is no directory": (
        makes(A, "new", directory=True).gives("inval"),
        act("stat", "new").gives("noent"),
    ),
    "a file is made": (
        makes(A, "new"),
        act("write", A, 0, b"abc").gives(3, ro="closed"),
        *holds("new", b"abc", ro="noent"),
    ),
    "making what is there opens it": (makes(A, "file"), act("fstat", A).gives(FILE, ro="closed")),
    "a file is made once": (
        makes(A, "new", exclusive=True),
        makes(A, "new", exclusive=True).gives("exist", ro="rofs"),
        makes(A, "link", exclusive=True).gives("exist", ro="rofs"),
        makes(A, "dangling", exclusive=True).gives("exist", ro="rofs"),
        makes(A, "dir", exclusive=True).gives("exist", ro="rofs"),
    ),
    "a file is made where a link leads": (
        makes(A, "dangling"),
        act("stat", "nowhere").gives(("file", 1, 0), ro="noent"),
    ),
    "a file is made in a directory there is": (
        makes(A, "dir/new"),
        makes(A, "missing/new").gives("noent", ro="rofs"),
        makes(A, "file/new").gives("notdir", ro="rofs"),
    ),
    "opening cuts": (
        opens(A, "file", write=True, truncate=True).gives(True, ro="rofs"),
        act("stat", "file").gives(("file", 1, 0), ro=FILE),
    ),
    "cutting needs no other right": (
        opens(A, "file", read=False, truncate=True).gives(True, ro="rofs"),
        act("stat", "file").gives(("file", 1, 0), ro=FILE),
    ),
    "a file opened to be read is not written": (
        opens(A, "file"),
        act("write", A, 0, b"x").gives("badf"),
        act("stream_write", A, 0, b"x").gives("badf"),
        act("append", A, b"x").gives("badf"),
        act("set_size", A, 1).gives("badf"),
        *holds("file", TWELVE),
    ),
    "a file opened to be written is not read": (
        opens(A, "file", read=False, write=True).gives(True, ro="rofs"),
        act("read", A, 0, 1).gives("badf", ro="closed"),
        act("stream_read", A, 0, 1).gives("badf", ro="closed"),
    ),
    "a link is followed or is not": (
        opens(A, "link", follow=False).gives("loop"),
        opens(A, "link"),
        opens(A, "dirlink/inner", follow=False),
        opens(A, "dirlink", directory=True, follow=False).gives("loop"),
        opens(A, "dirlink/", directory=True, follow=False),
        opens(A, "dangling").gives("noent"),
        opens(A, "loop").gives("loop"),
        opens(A, "loop/x").gives("loop"),
    ),
    # bytes
    "bytes are read where they are": (
        opens(A, "file"),
        act("read", A, 7, 3).gives(b"byt"),
        act("read", A, 10, 100).gives(b"es"),
        act("read", A, 12, 1).gives(b""),
        act("read", A, 1 << 40, 1).gives(b""),
        act("read", A, 0, 0).gives(b""),
        act("stream_read", A, 7, 3).gives(b"byt"),
        act("stream_read", A, 12, 3).gives(b""),
        act("stream_read", A, 1 << 40, 3).gives(b""),
    ),
    "no file reaches past an offset": (
        opens(A, "file", write=True).gives(True, ro="rofs"),
        act("read", A, HUGE, 1).gives("inval", ro="closed"),
        act("write", A, HUGE, b"x").gives("inval", ro="closed"),
        act("set_size", A, HUGE).gives("inval", ro="closed"),
        act("fstat", A).gives(FILE, ro="closed"),
    ),
    "bytes are written where they belong": (
        opens(A, "file", write=True).gives(True, ro="rofs"),
        act("write", A, 7, b"BYTES and more").gives(14, ro="closed"),
        act("read", A, 0, 100).gives(b"twelve BYTES and more", ro="closed"),
        act("stream_write", A, 0, b"TW").gives(True, ro="closed"),
        act("read", A, 0, 6).gives(b"TWelve", ro="closed"),
        act("write", A, 0, b"").gives(0, ro="closed"),
    ),
    "a gap is zeros": (
        makes(A, "new"),
        act("write", A, 4, b"x").gives(1, ro="closed"),
        act("read", A, 0, 10).gives(b"\0\0\0\0x", ro="closed"),
        act("set_size", A, 2).gives(True, ro="closed"),
        act("set_size", A, 6).gives(True, ro="closed"),
        act("read", A, 0, 10).gives(bytes(6), ro="closed"),
    ),
    "a hole in what was there is zeros": (
        opens(A, "file", write=True).gives(True, ro="rofs"),
        act("set_size", A, 3).gives(True, ro="closed"),
        act("set_size", A, 6).gives(True, ro="closed"),
        act("write", A, 8, b"x").gives(1, ro="closed"),
        act("read", A, 0, 100).gives(b"twe\0\0\0\0\0x", ro="closed"),
    ),
    "what is appended goes to the end": (
        opens(A, "file", write=True, append=True).gives(True, ro="rofs"),
        act("append", A, b" and").gives(True, ro="closed"),
        act("append", A, b" more").gives(True, ro="closed"),
        act("stat", "file").gives(("file", 1, 21), ro=FILE),
        *holds("file", TWELVE + b" and more", ro=TWELVE),
    ),
    "two handles see one file": (
        opens(A, "file"),
        opens(B, "file", write=True).gives(True, ro="rofs"),
        act("write", B, 0, b"TWELVE").gives(6, ro="closed"),
        act("read", A, 0, 6).gives(b"TWELVE", ro=b"twelve"),
        act("set_size", B, 1).gives(True, ro="closed"),
        act("read", A, 0, 6).gives(b"T", ro=b"twelve"),
        act("sync", B).gives(True, ro="closed"),
    ),
    "a directory has no bytes": (
        opens(A, "dir", directory=True),
        act("read", A, 0, 1).gives("isdir"),
        # 0.1 asks for the place first, and a directory has none.
        act("stream_read", A, 0, 1).gives("isdir", wasi01="badf"),
        act("write", A, 0, b"x").gives("isdir"),
        act("set_size", A, 0).gives("badf"),
        act("sync", A),
    ),
    # looking
    "what a path leads to is told": (
        act("stat", "file").gives(FILE),
        act("stat", "dir").gives(DIRECTORY),
        act("stat", "link").gives(FILE),
        act("stat", "link", follow=False).gives(LINK),
        act("stat", "dirlink/inner", follow=False).gives(("file", 1, 5)),
        act("stat", "dangling").gives("noent"),
        act("stat", "dangling", follow=False).gives(("link", 1, 7)),
        act("stat", "loop").gives("loop"),
        act("stat", "missing").gives("noent"),
    ),
    "a slash says directory": (
        act("stat", "file/").gives("notdir"),
        act("stat", "dir/").gives(DIRECTORY),
        act("stat", "link/").gives("notdir"),
        act("stat", "dirlink/", follow=False).gives(DIRECTORY),
        opens(A, "file/").gives("notdir"),
        opens(A, "dir/"),
        makes(A, "new/").gives("isdir", ro="rofs"),
        changes("mkdir", "made/"),
        act("unlink", "file/").gives("notdir", ro="rofs"),
        act("unlink", "dir/").gives("isdir", ro="rofs"),
        act("rename", "file", "new/").gives("notdir", ro="rofs"),
        act("link", "file", "new/").gives("noent", ro="rofs"),
        act("symlink", "file", "new/").gives("noent", ro="rofs"),
        changes("rmdir", "empty/"),
    ),
    "dots and doubled slashes lead where they say": (
        act("stat", "./dir/../file").gives(FILE),
        act("stat", "dir//inner").gives(("file", 1, 5)),
        act("stat", "dir/./.").gives(DIRECTORY),
        act("stat", "missing/../file").gives("noent"),
        act("stat", "file/../file").gives("notdir"),
        act("stat", "dirlink/../file").gives(FILE),
    ),
    "no path leads above a handle": (
        act("stat", "..").gives("perm"),
        act("stat", "../..").gives("perm"),
        act("stat", "dir/../../x").gives("perm"),
        opens(A, "../" * 50 + "etc/passwd").gives("perm"),
        opens(A, "/etc/passwd").gives("perm"),
        opens(A, "/").gives("perm"),
        makes(A, "../made").gives("perm", ro="rofs"),
        changes("mkdir", "../made").gives("perm", ro="rofs"),
        act("rename", "file", "../made").gives("perm", ro="rofs"),
    ),
    "no link leads above a handle": (
        changes("symlink", "../../../../../etc/passwd", "out"),
        opens(A, "out").gives("perm", ro="noent"),
        act("stat", "out").gives("perm", ro="noent"),
        act("readlink", "out").gives("../../../../../etc/passwd", ro="noent"),
        act("symlink", "/etc/passwd", "absolute").gives("perm", ro="rofs"),
        act("stat", "absolute", follow=False).gives("noent"),
    ),
    "an empty path is none": (
        opens(A, "").gives("noent"),
        act("stat", "").gives("noent"),
        act("mkdir", "").gives("noent"),
        act("unlink", "").gives("noent"),
        act("symlink", "", "new").gives("noent", ro="rofs"),
    ),
    "a NUL is in no name": (opens(A, "file\0x").gives("inval"), act("mkdir", "a\0b").gives("inval")),
    "a name is no longer than on the host": (
        makes(A, "x" * 255),
        act("open", A, "x" * 256, write=True, create=True).gives("nametoolong"),
        act("stat", "x" * 256).gives("nametoolong"),
        act("stat", "./" * 2100 + "file").gives("nametoolong"),
    ),
    "odd names are names": (
        *(changes("mkdir", name) for name in ODD),
        opens(A, ".", directory=True),
        act("list", A).gives(
            sorted([*((name, "directory") for name in ODD), *THERE], key=lambda entry: entry[0].encode()), ro=THERE
        ),
    ),
    # names
    "names are listed in their order": (
        opens(A, "dir", directory=True),
        makes(B, "dir/b"),
        makes(B, "dir/a"),
        changes("mkdir", "dir/z"),
        changes("symlink", "a", "dir/l"),
        act("list", A).gives(
            [("a", "file"), ("b", "file"), ("inner", "file"), ("l", "link"), ("z", "directory")], ro=[("inner", "file")]
        ),
        changes("unlink", "dir/inner"),
        act("list", A).gives([("a", "file"), ("b", "file"), ("l", "link"), ("z", "directory")], ro=[("inner", "file")]),
        opens(B, "file"),
        act("list", B).gives("notdir"),
    ),
    "a directory is made once": (
        changes("mkdir", "made"),
        act("stat", "made").gives(DIRECTORY, ro="noent"),
        act("mkdir", "made").gives("exist", ro="rofs"),
        act("mkdir", "file").gives("exist", ro="rofs"),
        act("mkdir", "dangling").gives("exist", ro="rofs"),
        act("mkdir", "missing/made").gives("noent", ro="rofs"),
        act("mkdir", "file/made").gives("notdir", ro="rofs"),
        act("mkdir", ".").gives("exist", ro="rofs"),
    ),
    "only an empty directory is removed": (
        changes("rmdir", "empty"),
        act("stat", "empty").gives("noent", ro=DIRECTORY),
        act("rmdir", "dir").gives("notempty", ro="rofs"),
        act("rmdir", "file").gives("notdir", ro="rofs"),
        act("rmdir", "dirlink").gives("notdir", ro="rofs"),
        act("rmdir", "missing").gives("noent", ro="rofs"),
        changes("unlink", "dir/inner"),
        changes("rmdir", "dir"),
        act("stat", "dirlink").gives("noent", ro=DIRECTORY),
    ),
    "a name is taken away": (
        changes("unlink", "file"),
        act("stat", "file").gives("noent", ro=FILE),
        act("unlink", "file").gives("noent", ro="rofs"),
        act("unlink", "dir").gives("isdir", ro="rofs"),
        changes("unlink", "link"),
        changes("unlink", "dirlink"),
        act("stat", "dir/inner").gives(("file", 1, 5)),
    ),
    "a file without a name lives while it is open": (
        opens(A, "file", write=True).gives(True, ro="rofs"),
        changes("unlink", "file"),
        act("read", A, 0, 100).gives(TWELVE, ro="closed"),
        act("write", A, 0, b"T").gives(1, ro="closed"),
        act("fstat", A).gives(("file", 0, 12), ro="closed"),
        makes(B, "file"),
        act("fstat", B).gives(("file", 1, 0), ro="closed"),
        act("read", A, 0, 3).gives(b"Twe", ro="closed"),
    ),
    "nothing is made in a directory that is gone": (
        opens(A, "empty", directory=True),
        changes("rmdir", "empty"),
        act("list", A).gives([]),
        act("mkdir", "x", base=A).gives("noent", ro="rofs"),
        act("open", B, "x", base=A, write=True, create=True).gives("noent", ro="rofs"),
        act("stat", "x", base=A).gives("noent"),
    ),
    "a file takes the place of a file": (
        opens(A, "dir/inner"),
        changes("rename", "file", "dir/inner"),
        act("stat", "file").gives("noent", ro=FILE),
        *holds("dir/inner", TWELVE, ro=b"inner"),
        act("read", A, 0, 100).gives(b"inner"),
    ),
    "a directory takes the place of an empty one": (
        changes("rename", "dir", "empty"),
        act("stat", "dir").gives("noent", ro=DIRECTORY),
        *holds("empty/inner", b"inner", ro="noent"),
    ),
    "a rename does not lose what is there": (
        act("rename", "empty", "dir").gives("notempty", ro="rofs"),
        act("rename", "file", "dir").gives("isdir", ro="rofs"),
        act("rename", "dir", "file").gives("notdir", ro="rofs"),
        act("rename", "dir", "dir/sub").gives("inval", ro="rofs"),
        act("rename", "missing", "new").gives("noent", ro="rofs"),
        act("rename", "file", "missing/new").gives("noent", ro="rofs"),
        changes("rename", "file", "file"),
        changes("rename", "dir", "dir"),
        *holds("file", TWELVE),
        *holds("dir/inner", b"inner"),
    ),
    "a rename moves links and not what they lead to": (
        changes("rename", "link", "moved"),
        act("readlink", "moved").gives("file", ro="noent"),
        changes("rename", "file", "dirlink"),
        act("stat", "dirlink", follow=False).gives(FILE, ro=("link", 1, 3)),
        *holds("dir/inner", b"inner"),
    ),
    "an open file goes along": (
        opens(A, "dir/inner"),
        opens(B, "dir", directory=True),
        changes("rename", "dir", "moved"),
        act("read", A, 0, 100).gives(b"inner"),
        act("stat", "inner", base=B).gives(("file", 1, 5)),
        act("open", C, "new", base=B, write=True, create=True).gives(True, ro="rofs"),
        act("stat", "moved/new").gives(("file", 1, 0), ro="noent"),
    ),
    "a file has two names": (
        changes("link", "file", "second"),
        act("stat", "second").gives(("file", 2, 12), ro="noent"),
        opens(A, "second", write=True).gives(True, ro="rofs"),
        act("write", A, 0, b"TWELVE").gives(6, ro="closed"),
        *holds("file", b"TWELVE bytes", ro=TWELVE),
        changes("unlink", "file"),
        act("fstat", A).gives(("file", 1, 12), ro="closed"),
        act("link", "second", "dir/inner").gives("exist", ro="rofs"),
        act("link", "dir", "second-dir").gives("perm", ro="rofs"),
        act("link", "missing", "new").gives("noent", ro="rofs"),
        changes("link", "dangling", "dangling-too").gives(True, ro="rofs"),
        act("readlink", "dangling-too").gives("nowhere", ro="noent"),
        act("link", "link", "followed", follow=True).gives("inval"),
        changes("rename", "second", "second"),
    ),
    "a link says what it names": (
        act("readlink", "link").gives("file"),
        act("readlink", "dangling").gives("nowhere"),
        act("readlink", "dirlink/").gives("inval"),
        act("readlink", "file").gives("inval"),
        act("readlink", "dir").gives("inval"),
        act("readlink", "missing").gives("noent"),
        changes("symlink", "dir/inner", "new"),
        act("symlink", "x", "new").gives("exist", ro="rofs"),
        act("symlink", "x", "missing/new").gives("noent", ro="rofs"),
        *holds("new", b"inner", ro="noent"),
        act("symlink", "x" * 5000, "long").gives("nametoolong"),
    ),
    # times
    "times are set and told": (
        changes("set_times", "file", 5_000_000_007, 3_000_000_001),
        act("times", "file").gives((5_000_000_007, 3_000_000_001), ro=None),
        changes("set_times", "file", None, 1),
        act("times", "file").gives((5_000_000_007, 1), ro=None),
        changes("set_times", "link", 2, 2, follow=False),
        act("times", "file").gives((5_000_000_007, 1), ro=None),
        act("times", "link", follow=False).gives((2, 2), ro=None),
        changes("set_times", "link", 3, 3),
        act("times", "file").gives((3, 3), ro=None),
        changes("set_times", "dir", 4, 4),
        act("times", "dir").gives((4, 4), ro=None),
        act("set_times", "dangling", 1, 1).gives("noent", ro="rofs"),
        act("set_times", "missing", 1, 1).gives("noent", ro="rofs"),
        act("set_times", "file/", 1, 1).gives("notdir", ro="rofs"),
    ),
    "times are set through a handle": (
        opens(A, "file"),
        act("fset_times", A, 7, 8).gives(True, ro="rofs"),
        act("times", "file").gives((7, 8), ro=None),
        opens(B, "dir", directory=True),
        act("fset_times", B, 7, 8).gives(True, ro="rofs"),
        act("times", "dir").gives((7, 8), ro=None),
    ),
}  # fmt: skip
