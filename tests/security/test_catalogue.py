"""The catalogue of what hostile guests try: every kind has tests, every test exists, every attack has its place."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KINDS: list[dict[str, Any]] = tomllib.loads((HERE / "catalogue.toml").read_text(encoding="utf-8"))["kind"]
ATTACKS = ROOT / "crates" / "guests" / "attacks"
# Files whose tests are about the tests.
ABOUT = {"test_catalogue.py"}


def functions(file: Path) -> set[str]:
    """Name the tests of a source file."""
    source = file.read_text(encoding="utf-8")
    if file.suffix == ".rs":
        return set(re.findall(r"#\[test\]\s+(?:#\[[^\]]*\]\s+)*fn (\w+)", source))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)}


@pytest.mark.parametrize("kind", KINDS, ids=[kind["name"] for kind in KINDS])
def test_kind_of_attack_is_held_by_tests_that_exist(kind: dict[str, Any]) -> None:
    """A kind without a test says what it waits for."""
    assert (
        {"name", "tries", "guard", "tests", "guests"}
        <= kind.keys()
        <= {"name", "tries", "guard", "tests", "guests", "pending"}
    )
    assert kind["tests"] or kind["guests"] or kind.get("pending")
    for test in kind["tests"]:
        file, _, function = test.partition("::")
        path = ROOT / file if "/" in file else HERE / file
        assert path.is_file(), test
        assert function in functions(path), test


def test_every_attack_program_has_its_place() -> None:
    """Each program of the manifest stands under exactly one kind."""
    placed = [guest for kind in KINDS for guest in kind["guests"]]

    assert sorted(path.stem for path in ATTACKS.glob("*.wat")) == sorted(placed)


def test_every_file_of_attacks_is_in_the_catalogue() -> None:
    """A file of attacks that no kind names was forgotten here."""
    named = {test.partition("::")[0] for kind in KINDS for test in kind["tests"]}

    assert {path.name for path in HERE.glob("test_*.py")} - ABOUT <= named
