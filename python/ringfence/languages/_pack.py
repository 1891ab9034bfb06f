"""`pack.toml`: what a language pack says of itself, checked before anything of it is used."""

from __future__ import annotations

import os

from ringfence._text import quote
from ringfence._value import Value
from ringfence.errors import LoadError

from ._plain import read_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

FILE = "pack.toml"
ABI = 1
"""The guest ABI that this Ringfence speaks."""

# A pack.toml is a page; what is longer is something else.
MAX_BYTES = 64 * 1024

_TEXTS = ("name", "title", "version", "language", "language-version", "wasm", "sha256", "licence", "argv0")
_LISTS = ("suffixes", "shebangs")
_OPTIONS = ("code", "module", "stdin")
_KINDS = ("module", "component", "compiler")
_COMMANDS = ("include", "compile", "common", "link", "flags", "libraries")
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_HEX = frozenset("0123456789abcdef")


class Compiler(Value):
    """
    How the compiler of a language is called.

    Attributes:
        include: the command that makes one text of a source and what it includes, on standard output.
        compile: the command that makes `/made/object` of a text.
        common: what both are given.
        link: the command that makes `/made/program` of that.
        flags: how the flags begin that a user may give to the first two.
        libraries: the same of the last.
    """

    __slots__ = _COMMANDS
    include: tuple[str, ...]
    compile: tuple[str, ...]
    common: tuple[str, ...]
    link: tuple[str, ...]
    flags: tuple[str, ...]
    libraries: tuple[str, ...]

    def __init__(self, **fields: object) -> None:
        self._fill(**fields)


class Pack(Value):
    """
    An installed language.

    Attributes:
        language: what to call it, as in `language="python"`.
        name: the pack's own name.
        title: the language's name for people.
        version: the pack's own version.
        language_version: the version of the language.
        kind: "module", a core module that speaks the guest ABI; "component", which runs whole programs only; or
            "compiler", which makes programs of source.
        licence: the licence of what is in it, as SPDX has it.
        suffixes: ends of the names of its scripts, such as ".py".
        shebangs: interpreters in the first line of its scripts, such as "python3".
        argv0: what its programs see as argument 0 of the interpreter.
        code: the arguments that stand before source text, such as `-c`; empty where it takes none.
        module: the arguments that stand before the name of a module, such as `-m`; empty where it has none.
        stdin: the arguments that make it read its source from standard input; empty where it does not.
        compiler: how it is called, where it is a compiler.
        file: the WebAssembly module.
        sha256: the digest that it must have.
        size: its length in bytes.
        changed: when it was last changed on the disk, in nanoseconds.
        origin: where it comes from: a package with its version.
    """

    __slots__ = (
        "language",
        "name",
        "title",
        "version",
        "language_version",
        "kind",
        "licence",
        "suffixes",
        "shebangs",
        "argv0",
        "code",
        "module",
        "stdin",
        "compiler",
        "file",
        "sha256",
        "size",
        "changed",
        "origin",
    )
    language: str
    name: str
    title: str
    version: str
    language_version: str
    kind: str
    licence: str
    suffixes: tuple[str, ...]
    shebangs: tuple[str, ...]
    argv0: str
    code: tuple[str, ...]
    module: tuple[str, ...]
    stdin: tuple[str, ...]
    compiler: Compiler | None
    file: str
    sha256: str
    size: int
    changed: int
    origin: str

    def __init__(self, **fields: object) -> None:
        self._fill(**fields)

    def check_sessions(self) -> None:
        """
        Refuse a pack that holds no sessions.

        Raises:
            LoadError: it is a component, or a compiler.
        """
        if self.kind != "module":
            near = self.language.partition("-")[0]
            raise LoadError(
                f"`{self.language}` cannot hold a session",
                f"it is a {self.kind}: each run is a whole program, and nothing is kept between runs",
                f"use a language that can, such as `{near if near != self.language else 'python'}`; "
                f'or run whole programs: `ringfence.run(code=…, language="{self.language}")`',
            )


def is_name(text: str) -> bool:
    """Tell whether this can be the name of a language: lower case, digits, `-` and `_`, as it stands in commands."""
    return 0 < len(text) <= 64 and text[0].isalpha() and set(text) <= _NAME  # noqa: PLR2004 - as names of packages


def read_pack(folder: str, language: str, origin: str) -> Pack:
    """
    Read the pack in a folder; `language` is what it is installed as.

    Raises:
        LoadError: it is not whole, or says what cannot be.
    """
    reader = Reader(folder, language, origin)
    return reader.checked(reader.fields())


def check_digest(pack: Pack) -> None:
    """
    Read the module, and compare its digest with what the pack says it has.

    Raises:
        LoadError: they are not the same.
    """
    import hashlib

    try:
        with open(pack.file, "rb") as file:  # noqa: PTH123
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise broken(pack.language, pack.file, error.strerror or str(error)) from error
    if digest != pack.sha256:
        raise broken(pack.language, pack.file, f"its bytes have the digest {digest[:16]}…, and not {pack.sha256[:16]}…")


def broken(language: str, path: str, why: str) -> LoadError:
    """Make the error for a pack that is damaged."""
    what = f"the language pack `{quote(path)}` cannot be used"
    return LoadError(what, why, f"install it again: `ringfence languages install {language}`")


class Reader:
    """One `pack.toml`, and the words to refuse it with."""

    def __init__(self, folder: str, language: str, origin: str) -> None:
        self._folder = folder
        self._language = language
        self._origin = origin
        self._path = f"{folder}/{FILE}"

    def fields(self) -> dict[str, Any]:
        """Read the file: TOML, and no longer than a page."""
        try:
            with open(self._path, "rb") as file:  # noqa: PTH123 - pathlib costs 4 ms to import
                text = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise self._refused(error.strerror or str(error)) from error
        if len(text) > MAX_BYTES:
            raise self._refused(f"it is longer than {MAX_BYTES >> 10} KiB")
        try:
            plain = read_plain(text.decode())
            if plain is not None:
                return plain
            import tomllib

            return tomllib.loads(text.decode())
        except (ValueError, RecursionError) as error:
            raise self._refused(quote(str(error))) from error

    def checked(self, fields: dict[str, Any]) -> Pack:
        """Check every key, and that the module is there."""
        known = {*_TEXTS, *_LISTS, "kind", "abi", "size", "options", "compiler"}
        # The ABI first: a pack of another one may have other keys.
        self._abi(fields.get("abi"))
        self._known("", fields, known)
        texts = {key: self._text(key, fields.get(key)) for key in _TEXTS}
        self._identity(texts["language"], texts["sha256"])
        kind = self._text("kind", fields.get("kind", "module"))
        if kind not in _KINDS:
            raise self._refused(f"`kind` is `{quote(kind)}`, and it can be `module`, `component` or `compiler`")
        lists = {key: self._list(key, fields.get(key, [])) for key in _LISTS}
        for suffix in lists["suffixes"]:
            if not suffix.startswith(".") or "/" in suffix or suffix in {".", ".wasm", ".wat"}:
                raise self._refused(f"`{suffix}` is not an end of names that a language may have")
        options = self._table("options", fields, _OPTIONS)
        commands = self._table("compiler", fields, _COMMANDS)
        if (kind == "compiler") != bool(commands):
            raise self._refused("a compiler, and nothing else, has a table `compiler` of its commands")
        file, size, changed = self._module(texts["wasm"])
        if fields.get("size", size) != size:
            raise broken(self._language, file, f"it has {size} bytes, and not {fields['size']}")
        return Pack(
            **{key.replace("-", "_"): text for key, text in texts.items() if key != "wasm"},
            **lists,
            kind=kind,
            **{key: self._list(f"options.{key}", options.get(key, [])) for key in _OPTIONS},
            compiler=Compiler(**{key: self._list(f"compiler.{key}", commands.get(key)) for key in _COMMANDS})
            if commands
            else None,
            file=file,
            size=size,
            changed=changed,
            origin=self._origin,
        )

    def _table(self, name: str, fields: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
        table = fields.get(name, {})
        if not isinstance(table, dict):
            raise self._refused(f"`{name}` is not a table")
        self._known(f"{name}.", table, known)
        return table

    def _known(self, table: str, fields: dict[str, Any], known: Collection[str]) -> None:
        for key in fields:
            if key not in known:
                near = _meant(key, known)
                raise self._refused(f"it has a key `{table}{quote(key)}` that nobody knows{near}")

    def _identity(self, language: str, sha256: str) -> None:
        if language != self._language:
            raise self._refused(
                f"it is installed as `{quote(self._language)}` and says of itself that it is `{quote(language)}`"
            )
        if not is_name(language):
            raise self._refused(f"`{quote(language)}` is no name: it may have a-z, 0-9, `-` and `_`")
        if len(sha256) != 64 or not set(sha256) <= _HEX:  # noqa: PLR2004
            raise self._refused("`sha256` is not a digest of 64 hexadecimal digits")

    def _abi(self, abi: object) -> None:
        if isinstance(abi, int) and not isinstance(abi, bool) and abi > ABI:
            raise LoadError(
                f"the language pack `{quote(self._path)}` cannot be used",
                f"it speaks the guest ABI {abi}, and this Ringfence speaks {ABI}",
                f"take a newer Ringfence, or the pack again: `ringfence languages install {self._language}`",
            )
        if abi != ABI or isinstance(abi, bool):
            raise self._refused(f"`abi` has to be {ABI}, the version of the guest ABI that it speaks")

    def _text(self, key: str, value: object) -> str:
        if value is None:
            raise self._refused(f"the key `{key}` is missing")
        if not isinstance(value, str) or not value or not value.isprintable():
            raise self._refused(f"`{key}` is not text of one line")
        return value

    def _list(self, key: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self._refused(f"`{key}` is not a list of texts")
        return tuple(self._text(key, entry) for entry in value)

    def _module(self, name: str) -> tuple[str, int, int]:
        """Find the module: a file in the pack's own folder, through whatever links."""
        folder, file = os.path.realpath(self._folder), os.path.realpath(f"{self._folder}/{name}")
        if name.startswith("/") or os.path.commonpath([folder, file]) != folder or file == folder:
            raise self._refused(f"`wasm` leads out of the pack, to `{quote(name)}`")
        try:
            look = os.stat(file)  # noqa: PTH116
        except OSError as error:
            raise self._refused(f"its module `{name}` is not there: {error.strerror}") from error
        return file, look.st_size, look.st_ctime_ns

    def _refused(self, why: str) -> LoadError:
        return broken(self._language, self._path, why)


def _meant(key: str, known: Collection[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, sorted(known), 1, 0.6)
    return f", perhaps `{near[0]}`" if near else ""
