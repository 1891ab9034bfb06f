"""The check that our wasmtime is the newest patch of its line, with a registry that says what the test wants."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "patches.py"
LOCK = "".join(f'[[package]]\nname = "{crate}"\nversion = "48.0.8"\n\n' for crate in ("wasmtime", "wasmtime-wasi"))


@pytest.mark.parametrize(
    ("cargo", "exit_code", "says"),
    [
        ("echo 'version: 48.0.8 (latest 51.0.0)'", 0, "wasmtime-wasi 48.0.8: the newest 48.0.x"),
        ("echo 'version: 48.0.10 (latest 51.0.0)'", 1, "wasmtime-wasi 48.0.8: 48.0.10 is out"),
        ("echo 'version: 48.0.7'", 0, "wasmtime-wasi 48.0.8: the newest 48.0.x"),
        ("exit 101", 0, "wasmtime-wasi 48.0.8: the registry could not be asked for the newest 48.0.x"),
        ("echo nonsense", 0, "wasmtime-wasi 48.0.8: the registry could not be asked for the newest 48.0.x"),
    ],
    ids=["newest", "behind", "withdrawn", "offline", "nonsense"],
)
def test_newer_patch_is_a_failure_and_an_unknown_one_is_told(
    cargo: str, exit_code: int, says: str, tmp_path: Path
) -> None:
    """Being behind fails, with the line to write; a registry that cannot be asked does not."""
    (tmp_path / "tools").mkdir()
    tool = shutil.copy(TOOL, tmp_path / "tools")
    (tmp_path / "Cargo.lock").write_text(LOCK, encoding="utf-8")
    stand_in = tmp_path / "bin" / "cargo"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!/bin/sh\n{cargo}\n", encoding="utf-8")
    stand_in.chmod(0o755)
    path = f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"

    ended = subprocess.run(
        [sys.executable, tool], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )

    assert (exit_code, says) == (ended.returncode, ended.stdout.splitlines()[-1])
    assert ("write `=48.0.10` in Cargo.toml" in ended.stderr) == (exit_code == 1)
