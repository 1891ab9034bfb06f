"""One pack, from its recipe to its wheel."""

from __future__ import annotations

import importlib
import shutil
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packs.building import cache, registry, toolchain, wheel
from packs.building.archive import SUITE, Archive
from packs.building.failure import Failure
from packs.building.snapshot import snapshot
from packs.building.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from packs.building.toolchain import Toolchain

PACKS = cache.ROOT / "packs"
# What drivers in C have in common.
DRIVER = PACKS / "driver"
# Changes of compilers and of the time in file headers must not change what comes out.
ENVIRONMENT = {"SOURCE_DATE_EPOCH": "1781000000", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@dataclass
class Build:
    """
    What a recipe works with.

    Attributes:
        name: the pack's folder below `packs`.
        folder: that folder, with the driver.
        shared: the folder with what drivers have in common.
        work: an empty folder that is gone afterwards.
        steps: names the steps, runs the tools.
        archive: Debian's packages and sources.
        licences: texts that the wheel carries, by file name; a recipe fills it.
        sources: what was used, for the wheel's SOURCES.txt; a recipe adds lines.
    """

    name: str
    work: Path
    steps: Steps
    archive: Archive
    licences: dict[str, str] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Give the folder of the recipe and the driver."""
        return PACKS / self.name

    @property
    def shared(self) -> Path:
        """Give the folder of what drivers have in common."""
        return DRIVER

    def compiler(self) -> Toolchain:
        """Give the compiler that all packs share."""
        found = toolchain.toolchain(self.archive, self.steps)
        self.sources += [found.versions]
        self.licences |= found.licences
        return found

    def packages(self) -> Path:
        """Give the Python packages of requirements/packs.txt."""
        return registry.python_packages(self.steps)

    def crate(self, name: str, version: str, sha256: str) -> Path:
        """Give the source of a crate."""
        self.sources += [f"{sha256}  {name}-{version}.crate\n"]
        return registry.crate(name, version, sha256, self.steps)

    def stage(self, name: str, inputs: str, make: Callable[[Path], None]) -> Path:
        """Give the folder of a slow part that changes seldom: `inputs` is the digest of all that it depends on."""
        return cache.entry(f"{self.name}-{name}-{inputs}", make)

    def run(self, command: list[str | Path], cwd: Path | None = None, **env: str) -> None:
        """Run a tool in the build's environment, its words to the log."""
        path = {"PATH": self.compiler_path} if self.compiler_path else {}
        self.steps.run(command, cwd=cwd or self.work, env={**ENVIRONMENT, **path, **env})

    compiler_path: str = ""


@dataclass(frozen=True)
class Pack:
    """
    A pack that is built.

    Attributes:
        name: the pack.
        wheel: its wheel.
        built: whether this call built it.
    """

    name: str
    wheel: Path
    built: bool


def names() -> list[str]:
    """Give the packs that there are."""
    return sorted(file.parent.name for file in PACKS.glob("*/pack.toml"))


def description(name: str) -> dict[str, object]:
    """Read a pack's pack.toml."""
    try:
        return tomllib.loads((PACKS / name / "pack.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Failure(f"there is no pack `{name}`", f"known are {', '.join(names())}", "name one of those") from None


def inputs(name: str) -> str:
    """Hash all that a pack is made from: what is pinned stands in these files."""
    return cache.digest(PACKS / "building", DRIVER, PACKS / name, registry.LOCK)


def build(name: str) -> Pack:
    """Give a pack's wheel, from the cache where its inputs are the same and it is whole."""
    told = description(name)
    built = False

    def make(place: Path) -> None:
        nonlocal built
        built = True
        produce(name, told, place)

    place = cache.entry(inputs(name), make, whole)
    return Pack(name, next(place.glob("*.whl")), built)


def whole(place: Path) -> bool:
    """Tell whether a wheel is what was put there."""
    wheels = list(place.glob("*.whl"))
    noted = place / "wheel.sha256"
    return len(wheels) == 1 and noted.exists() and noted.read_text(encoding="utf-8") == cache.sha256(wheels[0])


def produce(name: str, told: dict[str, object], place: Path) -> None:
    """Build a pack into an empty folder."""
    steps = Steps(name, cache.directory() / f"{name}.log")
    work = place / "work"
    work.mkdir()
    making = Build(name, work, steps, Archive(cache.directory() / "archive" / SUITE, steps))
    packages = making.packages()
    reactor = recipe(name).build(making)
    module = work / str(told["wasm"])
    snapshot(reactor, module, packages, steps)
    with steps.step("wheel"):
        made = wheel.write(told, module, making, packages, place)
    (place / "wheel.sha256").write_text(cache.sha256(made), encoding="utf-8")
    shutil.rmtree(work)


def recipe(name: str) -> ModuleType:
    """Give a pack's recipe: a module with `build(build: Build) -> Path`, the linked module."""
    return importlib.import_module(f"packs.{name}.recipe")
