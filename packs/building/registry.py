"""What comes from the package registries of Python and Rust: pinned, checked by their own clients."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from typing import TYPE_CHECKING

from packs.building import cache
from packs.building.failure import Failure

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.steps import Steps

LOCK = cache.ROOT / "requirements" / "packs.txt"
FIX = "is the package index in reach? `make packs` goes on where it ended"


def python_packages(steps: Steps) -> Path:
    """Give a folder with the Python packages of requirements/packs.txt, exactly those."""

    def make(place: Path) -> None:
        with steps.step("fetch Python packages"):
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--require-hashes", "--only-binary", ":all:", "--no-compile", "--retries", "3"]
            steps.run([*command, "--target", place, "--requirement", LOCK], fix=FIX)

    version = ".".join(map(str, sys.version_info[:2]))
    return cache.entry(f"packages-{cache.digest(version, LOCK)}", make)


def crate(name: str, version: str, sha256: str, steps: Steps) -> Path:
    """Give the unpacked source of one crate, checked by cargo against the registry, and here against the pin."""

    def make(place: Path) -> None:
        cargo = shutil.which("cargo")
        if cargo is None:
            raise Failure(
                "no `cargo` on this machine",
                f"the source of this pack is in the crate {name}",
                "install Rust with rustup",
            )
        with steps.step(f"fetch the crate {name}"):
            project = place / "project"
            (project / "src").mkdir(parents=True)
            (project / "src" / "lib.rs").touch()
            (project / "Cargo.toml").write_text(
                f'[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n'
                f'[dependencies]\n{name} = "={version}"\n[workspace]\n',
                encoding="utf-8",
            )
            steps.run([cargo, "vendor", "--quiet", "--versioned-dirs", place / "vendor"], cwd=project, fix=FIX)
            found = place / "vendor" / f"{name}-{version}"
            package = json.loads((found / ".cargo-checksum.json").read_text(encoding="utf-8"))["package"]
            if package != sha256:
                raise Failure(
                    f"the crate {name} is not the pinned one",
                    f"its sha256 is {package}, not {sha256}",
                    "do not use this registry",
                )
            found.rename(place / "source")
            shutil.rmtree(project)
            shutil.rmtree(place / "vendor")

    key = hashlib.sha256(f"{name} {version} {sha256}".encode()).hexdigest()
    return cache.entry(f"crate-{key}", make) / "source"
