#!/usr/bin/env python3
# ruff: noqa: S603
"""Turn requirements/*.in into locks: exact versions for every Python we support, with hashes, and no index named."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
FLAGS = ["--universal", "--python-version", "3.11", "--generate-hashes", "--quiet", "--upgrade"]
FLAGS += ["--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate"]
# Programs are unpacked, never imported: what they depend on is of no use.
ALONE = {"programs"}


def main() -> int:
    """Resolve with a uv that is thrown away afterwards: no check needs it."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        subprocess.run([f"{directory}/bin/pip", "install", "--quiet", "uv"], check=True)
        for source in sorted(REQUIREMENTS.glob("*.in")):
            flags = [*FLAGS, "--no-deps"] if source.stem in ALONE else FLAGS
            lock = source.with_suffix(".txt")
            subprocess.run([f"{directory}/bin/uv", "pip", "compile", *flags, source, "-o", lock], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
