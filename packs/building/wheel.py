"""The wheel of a pack, written by flit: the module, its description, its licences, and the entry point."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from packs.building import cache

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build

PROJECT = """\
[build-system]
requires = ["flit_core"]
build-backend = "flit_core.buildapi"

[project]
name = "{package}"
version = "{version}"
description = "{title} for Ringfence: a language that runs in a sandbox"
requires-python = ">=3.11"
license = {licence}
license-files = ["licences/*"]

[project.entry-points."ringfence.languages"]
{language} = "{package}"
"""
MODULE = '"""A language pack of Ringfence: pack.toml says what it is."""\n'
WRITE = "import sys; from flit_core.buildapi import build_wheel; build_wheel(sys.argv[1])"


def write(told: dict[str, object], module: Path, build: Build, packages: Path, place: Path) -> Path:
    """Write the wheel into a folder."""
    package = f"ringfence_language_{told['name']}"
    project = build.work / "wheel"
    (project / package).mkdir(parents=True)
    (project / "licences").mkdir()
    (project / "pyproject.toml").write_text(
        PROJECT.format(
            package=package,
            version=told["version"],
            title=told["title"],
            licence=f'"{told["licence"]}"',
            language=told["language"],
        ),
        encoding="utf-8",
    )
    (project / package / "__init__.py").write_text(MODULE, encoding="utf-8")
    (project / package / "pack.toml").write_text(described(build, module), encoding="utf-8")
    (project / package / "SOURCES.txt").write_text("".join(build.sources), encoding="utf-8")
    module.rename(project / package / module.name)
    for name, text in build.licences.items():
        (project / "licences" / name).write_text(text, encoding="utf-8")
    build.run([sys.executable, "-c", WRITE, place], cwd=project, PYTHONPATH=str(packages))
    return next(place.glob("*.whl"))


def described(build: Build, module: Path) -> str:
    """Give pack.toml with what is known only now: it stands above the tables, for TOML has it so."""
    text = (build.folder / "pack.toml").read_text(encoding="utf-8")
    return f'sha256 = "{cache.sha256(module)}"\nsize = {module.stat().st_size}\n{text}'
