"""Which languages are installed: the entry points `ringfence.languages`, found without importing anything of theirs."""

from __future__ import annotations

import os
import sys

from ringfence._text import quote
from ringfence.errors import LoadError

from ._pack import FILE, Pack, is_name, read_pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = "ringfence.languages"

# Languages with a pack of ours, by the ends of their scripts' names and their interpreters: what to install is known
# even where it is not installed.
_OURS = {
    "python": (".py", ".pyw", "python", "python3"),
    "javascript": (".js", ".mjs", ".cjs", "node", "nodejs", "qjs", "js"),
    "javascript-web": (),
    "lua": (".lua", "lua", "lua5.4"),
    "sqlite": (".sql", "sqlite3"),
    "python-data": (),
    "ruby": (".rb", "ruby"),
    "perl": (".pl", "perl"),
    "php": (".php", "php"),
    "c": (".c", "tcc"),
}

_MAX_METADATA_BYTES = 1 << 20


class Place:
    """
    Where a language is installed.

    Attributes:
        language: its name.
        package: the package that holds it.
        folder: where that lies; empty where only an import would tell.
        origin: the distribution and its version.
    """

    __slots__ = ("folder", "language", "origin", "package")

    def __init__(self, language: str, package: str, folder: str, origin: str) -> None:
        self.language, self.package, self.folder, self.origin = language, package, folder, origin


def installed() -> list[Pack]:
    """
    Give the languages that are installed, by name.

    Raises:
        LoadError: one of them is damaged, or two packs have one name.
    """
    return [_read(name, _places()[name]) for name in names()]


def names() -> list[str]:
    """Name the languages that are installed, whole or not."""
    return sorted(_places())


def find(language: str) -> Pack:
    """
    Find a language by its name.

    Raises:
        LoadError: it is not installed, is damaged, or two packs have its name.
    """
    known = _found.get(language)
    if known is not None and known[0] == sys.path and known[1] == _look(known[2]) and _is_there(known[3]):
        return known[3]
    places = _places()
    if language not in places:
        _look_closer(places)
    if language not in places:
        raise _missing(language, sorted(places))
    return _read(language, places[language])


def claimed(word: str) -> list[Pack]:
    """Give the languages whose scripts end so, for `.py`; or have that interpreter in their first line."""
    found = [pack for pack in _readable() if word in (pack.suffixes if word.startswith(".") else pack.shebangs)]
    return found if found or word.startswith(".") else _of_a_version(word)


def ours(word: str) -> str | None:
    """Name the language of ours that an end of a name, or an interpreter, belongs to, whether installed or not."""
    return next((name for name, words in _OURS.items() if word in words or _bare(word) in words), None)


def not_installed(language: str, what: str, why: str) -> LoadError:
    """Make the error for a script whose language is not here."""
    return LoadError(what, why, f"install it: `ringfence languages install {language}`")


def forget() -> None:
    """Look anew the next time: something was installed."""
    _found.clear()
    _known.clear()
    _path.clear()


def _readable() -> list[Pack]:
    """Give every pack that is whole: a damaged one is an error only for who wants it."""
    found = []
    for name, places in _places().items():
        try:
            found.append(_read(name, places))
        except LoadError:
            continue
    return found


def _of_a_version(word: str) -> list[Pack]:
    """`python3.11` is asked for by scripts that any `python3` runs."""
    bare = _bare(word)
    return [pack for pack in _readable() if bare in pack.shebangs] if bare != word else []


def _bare(word: str) -> str:
    return word.rstrip("0123456789.")


def _missing(language: str, there: list[str]) -> LoadError:
    from difflib import get_close_matches

    shown = quote(language, 80)
    known = f"installed are {', '.join(there)}" if there else "no language is installed"
    if language in _OURS:
        return LoadError(
            f"the language `{language}` is not installed", known, f"`ringfence languages install {language}`"
        )
    near = get_close_matches(language.lower(), [*there, *_OURS], 1, 0.6)
    fix = f"did you mean `{near[0]}`?" if near else f"`ringfence languages install {language}`, if there is such a pack"
    if not is_name(language) and not near:
        fix = "`ringfence languages` lists what there is"
    return LoadError(f"there is no language `{shown}`", known, fix)


# What was read, by what it looked like: each run of a process asks again. `_found` is for the runs after the first, and
# holds what must still be so: the path, and the look of the file.
_found: dict[str, tuple[list[str], tuple[int, ...], str, Pack]] = {}
_known: dict[tuple[object, ...], Pack] = {}
_path: dict[tuple[object, ...], dict[str, list[Place]]] = {}


def _read(language: str, places: list[Place]) -> Pack:
    if len(places) > 1:
        origins = " and ".join(sorted(place.origin for place in places))
        raise LoadError(
            f"the language `{language}` is installed twice",
            f"by {origins}",
            "uninstall one of the two: `pip uninstall …`",
        )
    [place] = places
    folder = place.folder or _imported_folder(place)
    seen = _look(f"{folder}/{FILE}")
    key = (folder, language, seen)
    pack = _known.get(key)
    if pack is None or not _is_there(pack):
        pack = read_pack(folder, language, place.origin)
        _known[key] = pack
    _found[language] = (list(sys.path), seen, f"{folder}/{FILE}", pack)
    return pack


def _is_there(pack: Pack) -> bool:
    return _look(pack.file)[2:] == (pack.changed, pack.size)


def _look(path: str) -> tuple[int, ...]:
    try:
        stat = os.stat(path)  # noqa: PTH116 - pathlib costs 4 ms to import
    except OSError:
        return ()
    return stat.st_dev, stat.st_ino, stat.st_ctime_ns, stat.st_size


def _places() -> dict[str, list[Place]]:
    """Read the entry points of everything on `sys.path`, once for each state of it."""
    key = tuple((path, _look(path or ".")[:3]) for path in sys.path)
    known = _path.get(key)
    if known is None:
        known = {}
        for place in _entry_points():
            known.setdefault(place.language, []).append(place)
        _path[key] = known
    return known


def _entry_points() -> Iterator[Place]:
    """
    Read the entry points as they lie on the disk.

    `importlib.metadata` costs 25 ms to import: it is asked only before an error, see `_look_closer`. As there, of two
    installations of one distribution the first on the path counts.
    """
    seen = set()
    for path in sys.path:
        try:
            names = sorted(os.listdir(path or "."))  # noqa: PTH208
        except OSError:
            continue
        for name in names:
            if not name.endswith((".dist-info", ".egg-info")):
                continue
            distribution, _, version = name.rpartition(".")[0].partition("-")
            if distribution.lower().replace("_", "-").replace(".", "-") in seen:
                continue
            seen.add(distribution.lower().replace("_", "-").replace(".", "-"))
            text = _metadata(f"{path or '.'}/{name}/entry_points.txt")
            for language, package in _of_group(text):
                folder = f"{path or '.'}/{package.replace('.', '/')}"
                here = folder if os.path.exists(f"{folder}/{FILE}") else ""  # noqa: PTH110
                yield Place(language, package, here, f"{distribution} {version}".strip())


def _metadata(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read(_MAX_METADATA_BYTES)
    except OSError:
        return ""


def _of_group(text: str) -> Iterator[tuple[str, str]]:
    """Give name and value of each entry of our group, in the format of entry_points.txt."""
    if GROUP not in text:
        return
    ours_now = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            ours_now = line == f"[{GROUP}]"
        elif ours_now and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.partition(":")[0].partition("[")[0].strip()


def _look_closer(places: dict[str, list[Place]]) -> None:
    """Ask `importlib.metadata`, which also looks into archives and asks finders of others."""
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP):
        if entry.name not in places:
            origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.module
            places[entry.name] = [Place(entry.name, entry.module, "", origin)]


def _imported_folder(place: Place) -> str:
    """Find the folder of a package that does not lie beside its metadata, such as one installed editable."""
    from importlib.util import find_spec

    try:
        spec = find_spec(place.package)
    except (ImportError, ValueError):
        spec = None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if os.path.exists(f"{folder}/{FILE}"):  # noqa: PTH110
            return folder
    raise LoadError(
        f"the language pack `{place.origin}` cannot be used",
        f"its package `{quote(place.package)}` has no {FILE} on the disk",
        f"install it again: `ringfence languages install {place.language}`",
    )
