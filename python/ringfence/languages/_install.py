"""Bringing a language in: its wheel from the package index or a folder, or built where its source is."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from ringfence._text import quote
from ringfence.errors import HostError, LoadError

from ._find import find, forget
from ._pack import is_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._pack import Pack

# Where a checkout of Ringfence has what builds its packs.
_BUILDER = "tools/packs.py"
# As much of what an installer printed is told again, from its end.
_TOLD_BYTES = 10_000
_HERE = Path(__file__).resolve().parents[3]


def install(language: str, source: str | None, say: Callable[[str], None], *, quiet: bool = False) -> Pack:
    """
    Install a language into the Python that runs this, and give its pack.

    Args:
        language: its name.
        source: a folder of wheels, a wheel, a project, or a checkout of Ringfence. Unless given: the checkout that
            this is, if it is one, otherwise the package index.
        say: told each step, in a line.
        quiet: tell nothing, unless it fails: then what was run, and what that printed.

    Raises:
        LoadError: there is nothing of that name in the folder.
        HostError: it could not be installed.
    """
    if not is_name(language):
        what = f"`{quote(language, 80)}` is no name of a language"
        raise LoadError(what, "names have a-z, 0-9, `-` and `_`", "write `ringfence languages install python`")
    command = command_for(language, source)
    shown = f"$ {shlex.join(command)}"
    if quiet:
        done = subprocess.run(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        told = done.stdout[-_TOLD_BYTES:].decode("utf-8", "replace").rstrip()
    else:
        say(shown)
        # What it prints is for people: our standard output is data.
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, check=False)  # noqa: S603
        told = ""
    if done.returncode:
        if quiet:
            say("\n".join([shown, *(quote(line, _TOLD_BYTES) for line in told.splitlines())]))
        raise _failed(language, done.returncode, told)
    import importlib

    importlib.invalidate_caches()
    forget()
    return find(language)


def _failed(language: str, code: int, told: str) -> HostError:
    what = f"the language `{language}` could not be installed"
    if "externally-managed-environment" in told:
        why = "this Python belongs to the system, which installs its packages"
        return HostError(what, why, "make one of your own: `python3 -m venv .venv && .venv/bin/pip install ringfence`")
    return HostError(
        what,
        f"the command above ended with {code}, and said why",
        "mend that and try again; with its wheel, or a checkout of Ringfence that builds it, at hand: "
        f"`ringfence languages install {language} --from FOLDER`",
    )


def command_for(language: str, source: str | None) -> list[str]:
    """Find the command that installs it."""
    if source is None:
        if builds(_HERE, language):
            return [sys.executable, str(_HERE / _BUILDER), language]
        return [*_installer(), "--upgrade", _distribution(language)]
    place = Path(source)
    if place.is_dir():
        if builds(place, language):
            return [sys.executable, str(place.resolve() / _BUILDER), language]
        if list(place.glob(f"{_distribution(language).replace('-', '_')}-*.whl")):
            # The wheels at hand and nothing else, even over the same version: it may be the damaged one.
            flags = ["--no-index", "--find-links", str(place), "--no-deps", "--force-reinstall"]
            return [*_installer(), *flags, _distribution(language)]
        if (place / "pyproject.toml").exists():
            return [*_installer(), str(place)]
    elif place.suffix == ".whl" and place.exists():
        return [*_installer(), "--no-deps", "--force-reinstall", str(place)]
    raise LoadError(
        f"there is no language `{language}` in `{quote(source)}`",
        "it is no wheel, no folder with one, no project and no checkout of Ringfence that can build it"
        if place.exists()
        else "there is no such folder",
        f"name the folder of its wheel, or take it from the package index: `ringfence languages install {language}`",
    )


def builds(checkout: Path, language: str) -> bool:
    """Tell whether a folder is a checkout that can build this language."""
    return (checkout / _BUILDER).exists() and (checkout / "packs" / language.replace("-", "_") / "pack.toml").exists()


def _distribution(language: str) -> str:
    return f"ringfence-language-{language}".replace("_", "-")


def _installer() -> list[str]:
    """Use the pip of the Python that runs this; or uv for it, where there is no pip."""
    pip, uv = pip_or_uv()
    if pip is not None:
        return [*pip, "install", "--disable-pip-version-check"]
    return [uv, "pip", "install", "--python", sys.executable]


def pip_or_uv() -> tuple[list[str] | None, str]:
    """
    Find the pip of the Python that runs this; the path of uv where there is none.

    Raises:
        HostError: there is neither.
    """
    from importlib.util import find_spec

    if find_spec("pip") is not None:
        # Nothing is imported from the working directory, where files of a stranger may be.
        return [sys.executable, "-P", "-m", "pip"], ""
    from shutil import which

    uv = which("uv")
    if uv is None:
        raise HostError(
            "nothing here can install packages",
            f"{sys.executable} has no pip, and there is no uv",
            f"get pip: `{shlex.quote(os.fspath(sys.executable))} -m ensurepip`",
        )
    return None, uv
