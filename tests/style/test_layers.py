"""Imports go one way."""

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "ringfence"


def imports(file: Path) -> set[str]:
    """Name everything a file imports, wherever in it, by the last part too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {part for name in node.names for part in name.name.split(".")}
        elif isinstance(node, ast.ImportFrom):
            found |= {*(node.module or "").split("."), *(name.name for name in node.names)}
    return found


def packages(file: Path) -> set[str]:
    """Name the packages that a file imports, but those that it stands in."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    found = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    found |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in found}


def test_only_the_engine_imports_the_native_module() -> None:
    """`_engine.py` is the one door to `_core`; import-linter cannot see a compiled module."""
    importers = {file.name for file in PACKAGE.rglob("*.py") if "_core" in imports(file)}

    assert {"_engine.py"} == importers


def test_layers_hold() -> None:
    """A layer imports only from layers below it, and every module is in one."""
    ended = subprocess.run(
        [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == ended.returncode, ended.stdout + ended.stderr


def test_core_crate_knows_no_python() -> None:
    """The core can be embedded where there is no Python: nothing in it depends on PyO3."""
    manifest = (ROOT / "crates" / "ringfence" / "Cargo.toml").read_text(encoding="utf-8")

    assert "wasmtime" in manifest
    assert "pyo3" not in manifest


def test_tests_import_only_what_their_lock_installs() -> None:
    """A venv may hold more, installed by hand; a machine that never saw the project has no more."""
    lock = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    locked = {"ringfence", *re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)}
    installed = packages_distributions()
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    found = {name: installed[name] for file in files for name in packages(file) & installed.keys()}

    assert {"pytest", "hypothesis"} <= found.keys()
    assert {} == {name: among for name, among in found.items() if not locked & {one.lower() for one in among}}
