"""A snapshot: the module after its `rf_init`, so that a run begins where that ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.steps import Steps


def snapshot(reactor: Path, out: Path, packages: Path, steps: Steps) -> None:
    """
    Run `rf_init` by wizer, and write the module as it is then; `rf_start` becomes `_start`.

    There is nothing of this machine in it: no variables, no folders, no terminal, and the driver sees to it that clocks
    and random numbers are made up until the first run.
    """
    wasmtime = packages / "wasmtime_cli" / "wasmtime"
    wasmtime.chmod(0o755)
    with steps.step("snapshot"):
        steps.run([
            wasmtime, "wizer", "-C", "cache=n", "-S", "cli=y",
            "-W", "unknown-imports-trap=y", "-W", "max-wasm-stack=4194304", "-W", "exceptions=y",
            "--init-func", "rf_init", "--rename-func", "_start=rf_start", "--output", out, reactor,
        ])  # fmt: skip
