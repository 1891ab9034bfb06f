"""Imports in plain words."""

from pathlib import Path

import pytest

from ringfence import Policy, Program
from ringfence.cli._permissions import least_policy, permissions


def importing(*imports: str) -> Program:
    """Make a module with these functions of WASI 0.1."""
    lines = "".join(f'(import "wasi_snapshot_preview1" "{name}" (func))' for name in imports)
    return Program.from_bytes(f'(module {lines} (func (export "_start")))'.encode())


def test_imports_are_grouped_by_what_they_allow() -> None:
    """Many functions are few permissions."""
    assert {
        "open and change files": ["path_open", "fd_readdir"],
        "read its variables": ["environ_get"],
        "tell the time": ["clock_time_get"],
    } == permissions(importing("path_open", "environ_get", "fd_readdir", "clock_time_get"))


def test_unknown_import_says_so() -> None:
    """What nobody provides is not hidden among the rest."""
    program = Program.from_bytes(b'(module (import "env" "launch" (func)) (func (export "_start")))')

    assert {"something nobody provides": ["env.launch"]} == permissions(program)


@pytest.mark.parametrize("imports", [(), ("fd_write",), ("path_open", "environ_get", "random_get", "clock_time_get")])
def test_least_policy_is_a_policy_that_grants_nothing(imports: tuple[str, ...], tmp_path: Path) -> None:
    """It can be saved and used as it is; what could be granted stands in comments."""
    text = least_policy(importing(*imports))
    file = tmp_path / "policy.toml"
    file.write_text(text, encoding="utf-8")

    assert Policy() == Policy.from_file(file)


def test_component_is_read_by_its_interfaces() -> None:
    """Interfaces stand in no module, and are told in the same words as functions."""
    names = ("wasi:cli/environment@0.2.0", "acme:tools/launch@1.0.0")
    imports = "".join(f'(import "{name}" (instance))' for name in names)
    program = Program.from_bytes(f"(component {imports})".encode())

    assert {
        "read its arguments and variables": ["wasi:cli/environment@0.2.0"],
        "something nobody provides": ["acme:tools/launch@1.0.0"],
    } == permissions(program)
