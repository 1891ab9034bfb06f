# ruff: noqa: INP001
"""Builds the plugins of this example with `ringfence build`, once: what was built is kept beside the tools."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from programs.builders import LOCK, NODE, packages, tools

HERE = Path(__file__).resolve().parent


def built(plugin: Path) -> Path:
    """Give the component of a plugin: built now, or the last time that it was the same."""
    locks = [LOCK, NODE / "package-lock.json"]
    sources = [HERE / "plugins" / "plugin.wit", *sorted(part for part in plugin.iterdir() if part.is_file())]
    key = hashlib.sha256(b"\0".join(part.read_bytes() for part in [*sources, *locks])).hexdigest()[:12]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringfence" / "programs"
    kept = base / f"markdown-{plugin.name}-{key}.wasm"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=_made(base)) as scratch:
            place = Path(scratch) / plugin.name
            place.mkdir()
            for source in sources:
                shutil.copy(source, place)
            environment = dict(os.environ)
            if 'language = "javascript"' in (place / "plugin.toml").read_text(encoding="utf-8"):
                (place / "node_modules").symlink_to(packages())
            else:
                environment |= tools()
            command = [sys.executable, "-m", "ringfence", "build", str(place)]
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - words of ours
            (place / "plugin.wasm").replace(kept)
    return kept


def _made(base: Path) -> Path:
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    return base
