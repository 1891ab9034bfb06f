"""Every promise names the test that holds it, and that test exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "SPECIFICATION.md"
PROMISES = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("- ")]
PENDING = "test pending"


def held_by(promise: str) -> list[tuple[str, str]]:
    """Give the tests that a promise names, as file and function."""
    return re.findall(r"`([\w./-]+\.(?:py|rs))::(\w+)`", promise)


@cache
def functions(file: Path) -> set[str]:
    """Name the functions of a source file; in Rust, those that are tests."""
    source = file.read_text(encoding="utf-8")
    if file.suffix == ".rs":
        return set(re.findall(r"#\[test\]\s+(?:#\[[^\]]*\]\s+)*fn (\w+)", source))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)}


def test_there_are_promises() -> None:
    """A page that is read wrongly would hold everything."""
    assert len(PROMISES) > 50


@pytest.mark.parametrize("promise", PROMISES)
def test_promise_is_held_by_a_test_that_exists(promise: str) -> None:
    """A promise without a test says so, and no other does."""
    named = held_by(promise)

    assert bool(named) != promise.endswith(f"({PENDING})")
    for file, function in named:
        assert (ROOT / file).is_file(), file
        assert function in functions(ROOT / file), f"{file}::{function}"
