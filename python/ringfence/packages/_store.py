"""Packages that were brought in: kept in a folder of their own, and used again by whoever asks for the same."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from ringfence._dir import Dir
from ringfence._policy import Limits, Policy
from ringfence._value import Value
from ringfence.errors import HostError, LoadError

from ._pip import Pip, Unresolved
from ._requirement import key, parse
from ._resolve import STRIPPED, Wheel, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ringfence.languages import Pack

    Progress = Callable[[float], None]

AT = "/packages"
"""Where a guest sees them."""

VARIABLE = "RINGFENCE_PACKAGES"
"""Says where they are kept, in our own environment."""

# Changes with whatever is done to packages on their way.
_FORM = 1
_ABOUT = "packages.json"
_COMPILED_PARTS = (".so", ".pyd")
# Nobody brings packages in for longer: what is older was left by one that was killed.
_LEFT_BEHIND_SECONDS = 3600.0
# Python compiles a file as it imports it where this did not.
_COMPILE = """
import compileall
from py_compile import PycInvalidationMode
compileall.compile_dir(%r, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
"""
_COMPILE_LIMITS = Limits(wall="10m", memory="1GiB", disk="2GiB", files=200_000)


class Kept(Value):
    """
    Packages at hand.

    Attributes:
        folder: where they lie on the host, unpacked.
        wheels: what they were unpacked from.
    """

    __slots__ = ("folder", "wheels")
    folder: str
    wheels: tuple[Wheel, ...]

    def __init__(self, folder: str, wheels: tuple[Wheel, ...]) -> None:
        self._fill(folder=folder, wheels=wheels)


def bring(requirements: Iterable[str], pack: Pack, progress: Progress | None = None) -> Kept:
    """
    Bring packages in, or find them where the same were asked for before.

    Args:
        requirements: names of the index, as `pip install` has them: "jinja2", "pyyaml>=6", "rich==14.0.0"; with
            digests, "rich==14.0.0 --hash=sha256:…", where each package has some.
        pack: the Python that they are for.
        progress: called meanwhile with the seconds so far; an exception in it ends that.

    Raises:
        LoadError: there is no such package, they do not go together, one has only a compiled form, or another digest.
        HostError: they cannot be fetched or kept.
    """
    _check(pack)
    parsed = parse(requirements)
    place = _root() / _digest([key(one) for one in parsed], pack)
    found = _read(place)
    if found is not None:
        return found
    pip = Pip(".".join(pack.language_version.split(".")[:2]), progress)
    wheels = tuple(resolve(parsed, pack.language_version, pip))
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(place.parent)
        with tempfile.TemporaryDirectory(prefix="new-", dir=place.parent, ignore_cleanup_errors=True) as new:
            _fill(Path(new), wheels, pip, pack)
            _put(Path(new), place)
    except OSError as error:
        why = error.strerror or str(error)
        raise HostError(
            f"packages cannot be kept in {place.parent}", why, f"set {VARIABLE} to a folder of yours"
        ) from error
    found = _read(place)
    if found is None:
        raise HostError("the packages are gone", f"{place} was removed meanwhile", "try again")
    return found


def kept() -> tuple[str, int, int]:
    """Tell where packages are kept, how many sets of them, and their bytes."""
    root = _root()
    sets = [place for place in root.iterdir() if (place / _ABOUT).exists()] if root.is_dir() else []
    return str(root), len(sets), sum(file.lstat().st_size for place in sets for file in place.rglob("*"))


def prune() -> tuple[int, int]:
    """Remove all that are kept, and tell how many sets and bytes; a guest that reads some finds nothing any more."""
    root, sets, size = kept()
    shutil.rmtree(root, ignore_errors=True)
    return sets, size


def _check(pack: Pack) -> None:
    if pack.language.partition("-")[0] != "python":
        raise LoadError(
            f"`{pack.language}` takes no packages",
            "those of the index are for Python",
            "leave them out; grant a folder with what it needs: `--dir FOLDER`",
        )


def _root() -> Path:
    # Not in the cache of compiled programs, which is granted to nobody: these are read by guests.
    said = os.environ.get(VARIABLE)
    if said:
        return Path(said).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "ringfence-packages")


def _digest(keys: list[str], pack: Pack) -> str:
    asked = json.dumps([_FORM, pack.language_version, sorted(set(keys))])
    return hashlib.sha256(asked.encode()).hexdigest()[:32]


def _read(place: Path) -> Kept | None:
    try:
        about = json.loads((place / _ABOUT).read_bytes())
        wheels = tuple(Wheel(*fields) for fields in about["wheels"])
        # Somebody may have removed some of it by hand.
        return Kept(str(place / "site"), wheels) if (place / "site").is_dir() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fill(new: Path, wheels: tuple[Wheel, ...], pip: Pip, pack: Pack) -> None:
    site = new / "site"
    site.mkdir()
    if wheels:
        try:
            pip.install([wheel.line for wheel in wheels], site)
        except Unresolved as error:
            raise HostError(
                "the packages cannot be fetched", error.why(), "look at the network, and try again"
            ) from error
    if any(wheel.name in STRIPPED for wheel in wheels):
        for file in [file for file in site.rglob("*") if file.suffix in _COMPILED_PARTS]:
            file.unlink()
    shutil.rmtree(site / "bin", ignore_errors=True)
    _compile(site, pack)
    about = {"wheels": [[wheel.name, wheel.version, wheel.sha256] for wheel in wheels]}
    (new / _ABOUT).write_text(json.dumps(about), "utf-8")


def _compile(site: Path, pack: Pack) -> None:
    """Compile them in the sandbox, which sees nothing else."""
    from ringfence._engine import core
    from ringfence._program import pack_program

    policy = Policy(dirs=[Dir(site, at=AT, mode="rw")], limits=_COMPILE_LIMITS)
    sandbox = core.Sandbox(pack_program(pack)._native, policy._native, None, None, "wasm", None)  # noqa: SLF001
    result = sandbox.run((*pack.code, _COMPILE % AT), None, None, None, None, None, None, None)
    if result.outcome != "exited":
        why = f"the one who compiles them ended as {result.outcome} {result.limit or ''}".rstrip()
        raise LoadError("the packages cannot be compiled", why, "leave out the largest, and grant it with `--dir`")


def _put(new: Path, place: Path) -> None:
    """Give it its name; somebody else may have been faster, with the same."""
    made = new / "made"
    made.mkdir()
    for name in ("site", _ABOUT):
        (new / name).rename(made / name)
    try:
        made.rename(place)
    except OSError:
        if _read(place) is None:
            # What lies there is damaged.
            shutil.rmtree(place, ignore_errors=True)
            made.rename(place)


def _sweep(root: Path) -> None:
    for left in root.glob("new-*"):
        try:
            if time.time() - os.stat(left).st_mtime > _LEFT_BEHIND_SECONDS:  # noqa: PTH116
                shutil.rmtree(left, ignore_errors=True)
        except FileNotFoundError:
            continue
