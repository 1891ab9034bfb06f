"""The tools that build plugins, as published in package registries: fetched once for each machine, by their locks."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "builders.txt"
NODE = Path(__file__).resolve().parent / "builders"


def tools() -> dict[str, str]:
    """Give the variables under which `ringfence build` finds componentize-py, zig and wasm-tools; fetched at first."""
    place = _kept("builders-python", LOCK, _pip)
    return {"PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(place)}


def packages() -> Path:
    """Give the `node_modules` with componentize-qjs; fetched at first, none of its scripts is run."""
    return _kept("builders-node", NODE / "package-lock.json", _npm) / "node_modules"


def _kept(name: str, lock: Path, fetch: Callable[[Path], None]) -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringfence" / "programs"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Commands that pip writes start the interpreter that installed them: with its environment gone, they do not start.
    key = hashlib.sha256(lock.read_bytes() + sys.executable.encode()).hexdigest()[:12]
    place = base / f"{name}-{key}"
    if not place.exists():
        scratch = Path(tempfile.mkdtemp(dir=base))
        try:
            fetch(scratch)
            if not place.exists():
                scratch.rename(place)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return place


def _pip(scratch: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "--requirement", str(LOCK), "--target", str(scratch)]
    subprocess.run(command, check=True)


def _npm(scratch: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE / name, scratch)
    # Not `npm ci`: it wants the packages of every platform in the lock, of which the registry lacks some.
    subprocess.run(["npm", "install", "--silent", "--ignore-scripts"], cwd=scratch, check=True)
