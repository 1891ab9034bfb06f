"""Boot code that two packs share: what `python-data` takes from the Python pack is there, though it is built seldom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from packs.python_data.index import folders

PACKS = Path(__file__).parents[2] / "packs"
SHARED, OWN = PACKS / "python" / "guest" / "_ringfence", PACKS / "python_data" / "guest" / "_ringfence"


def module(name: str) -> Path:
    """Tell where a module of the boot code lies: what is the pack's own lies over what is shared."""
    found = [folder / f"{name}.py" for folder in (OWN, SHARED) if (folder / f"{name}.py").exists()]
    assert found, f"python-data imports _ringfence.{name}, which is in neither pack"
    return found[0]


def defined(name: str) -> set[str]:
    """Give the names that a module has once it is imported."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module(name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(each.asname or each.name).partition(".")[0] for each in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


@pytest.mark.parametrize("path", sorted({*OWN.glob("*.py"), *SHARED.glob("*.py")}), ids=lambda path: path.stem)
def test_name_that_boot_code_takes_from_a_module_of_the_boot_code_is_there(path: Path) -> None:
    """Imported, or asked of an imported module; a name that went is found here, and not by a build of minutes."""
    tree = ast.parse(module(path.stem).read_text(encoding="utf-8"))
    modules = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("_ringfence"):
            continue
        _, _, of = str(node.module).partition(".")
        for name in node.names:
            if of:
                assert name.name in defined(of), f"{path}: {name.name} of _ringfence.{of}"
            else:
                modules[name.asname or name.name] = name.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            of = modules[node.value.id]
            assert node.attr in defined(of), f"{path}: {node.attr} of _ringfence.{of}"


def test_folder_without_a_file_of_its_own_is_a_package_too() -> None:
    """As it is on a disk: scikit-learn keeps a part of itself in one."""
    modules = {
        "a": (True, 0, 0, "a/__init__.pyc"),
        "a.b.c": (False, 0, 0, "a/b/c.pyc"),
        "d.e.f": (True, 0, 0, "d/e/f/__init__.pyc"),
        "top": (False, 0, 0, "top.pyc"),
    }

    assert {"a.b": "a/b", "d": "d", "d.e": "d/e"} == folders(modules)
