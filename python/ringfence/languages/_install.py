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
_HERE = Path(__file__).resolve().parents[3]


def install(language: str, source: str | None, say: Callable[[str], None]) -> Pack:
    """
    Install a language into the Python that runs this, and give its pack.

    Args:
        language: its name.
        source: a folder of wheels, a wheel, a project, or a checkout of Ringfence. Unless given: the checkout that
            this is, if it is one, otherwise the package index.
        say: told each step, in a line.

    Raises:
        LoadError: there is nothing of that name in the folder.
        HostError: it could not be installed.
    """
    if not is_name(language):
        what = f"`{quote(language, 80)}` is no name of a language"
        raise LoadError(what, "names have a-z, 0-9, `-` and `_`", "write `ringfence languages install python`")
    command = command_for(language, source)
    say(f"$ {shlex.join(command)}")
    # What it prints is for people: our standard output is data.
    code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, check=False).returncode  # noqa: S603
    if code:
        raise HostError(
            f"the language `{language}` could not be installed",
            f"the command above ended with {code}, and said why",
            "mend that and try again; a wheel at hand is installed with `--from FOLDER`",
        )
    import importlib

    importlib.invalidate_caches()
    forget()
    return find(language)


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
    from importlib.util import find_spec

    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    from shutil import which

    uv = which("uv")
    if uv is None:
        raise HostError(
            "nothing here can install packages",
            f"{sys.executable} has no pip, and there is no uv",
            f"get pip: `{shlex.quote(os.fspath(sys.executable))} -m ensurepip`",
        )
    return [uv, "pip", "install", "--python", sys.executable]
