"""One pack that is a component, from its recipe to its wheel: as `packs.building.pack`, without its snapshot."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from packs.building import cache, pack, registry, wheel
from packs.building.archive import SUITE, Archive
from packs.building.pack import PACKS, Build, Pack
from packs.building.steps import Steps
from packs.components import npm

if TYPE_CHECKING:
    from pathlib import Path


def is_component(name: str) -> bool:
    """Tell whether a pack says that it is a component."""
    return pack.description(name).get("kind") == "component"


def fetched() -> list[str]:
    """Give the packs whose interpreter others have linked: they cost much to fetch, build or compile."""
    return [name for name in pack.names() if isinstance(getattr(pack.recipe(name), "PACKAGE", None), npm.Package)]


def inputs(name: str) -> str:
    """Hash all that it is made from: of other packs it may take files, which its recipe names."""
    shared = pack.recipe(name).SHARED
    return cache.digest(PACKS / "building", PACKS / "components", PACKS / name, *shared, registry.LOCK, npm.LOCK)


def build(name: str) -> Pack:
    """Give its wheel, from the cache where its inputs are the same and it is whole."""
    built = False

    def make(place: Path) -> None:
        nonlocal built
        built = True
        produce(name, place)

    place = cache.entry(inputs(name), make, pack.whole)
    return Pack(name, next(place.glob("*.whl")), built)


def produce(name: str, place: Path) -> None:
    """Build it into an empty folder."""
    told = pack.description(name)
    steps = Steps(name, cache.directory() / f"{name}.log")
    work = place / "work"
    work.mkdir()
    making = Build(name, work, steps, Archive(cache.directory() / "archive" / SUITE, steps))
    packages = making.packages()
    module = work / str(told["wasm"])
    pack.recipe(name).build(making).rename(module)
    with steps.step("wheel"):
        made = wheel.write(told, module, making, packages, place)
    (place / "wheel.sha256").write_text(cache.sha256(made), encoding="utf-8")
    shutil.rmtree(work)
