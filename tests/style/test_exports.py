"""Public names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ringfence
from ringfence import errors

PACKAGE = Path(ringfence.__file__).parent
ROOMS = sorted(file for file in PACKAGE.glob("_*.py") if not file.name.startswith("__"))

# Public by name, private by place: what the modules share among themselves.
INTERNAL = {
    "AFunction",
    "AResource",
    "Between",
    "Borrowed",
    "Cells",
    "Classes",
    "Drain",
    "Exports",
    "Feed",
    "Functions",
    "Kind",
    "Measured",
    "Method",
    "NoText",
    "NotebookMagics",
    "Origin",
    "Profile",
    "Pump",
    "Resource",
    "Returned",
    "Room",
    "Rooms",
    "Row",
    "Runnable",
    "Running",
    "SavedFile",
    "Shapes",
    "Spelling",
    "Streams",
    "TextCall",
    "Toolbox",
    "Unusable",
    "Value",
    "Wave",
    "WaveError",
    "abandoned",
    "about",
    "answer",
    "attach",
    "audit",
    "bindings",
    "blocks",
    "build",
    "camel",
    "check_policy",
    "check_wider",
    "checked",
    "class_in",
    "classes_of",
    "cleaned",
    "close_all",
    "close_at_exit",
    "compiled",
    "described",
    "differences",
    "escaped",
    "failed",
    "failure",
    "files",
    "follow",
    "found",
    "function_classes",
    "function_source",
    "functions_of",
    "given_for",
    "given_mapping",
    "headed",
    "inside",
    "is_async",
    "items",
    "kept",
    "kind_of",
    "language_of",
    "load",
    "loaded",
    "marked",
    "matches",
    "measured",
    "measuring",
    "member",
    "of_flags",
    "of_float",
    "of_record",
    "of_variant",
    "of_wrapper",
    "on_thread",
    "one_of",
    "pack_program",
    "pytest_addoption",
    "pytest_configure",
    "pytest_runtest_makereport",
    "quote",
    "raised",
    "read_call",
    "rebuilt",
    "refusal",
    "refuse_closed",
    "remade",
    "reopened",
    "result_schema",
    "runnable_of",
    "sandbox",
    "sandbox_policy",
    "sandbox_session",
    "saved_policy",
    "seconds",
    "serve_http",
    "serve_stdio",
    "shares",
    "short",
    "size",
    "snake",
    "spare",
    "spelled",
    "to_float",
    "to_program",
    "to_size",
    "to_whole",
    "unescaped",
    "unpack",
    "unzip",
    "upper",
    "waiting",
    "with_pumps",
    "without_first",
    "without_instance",
}


def public_definitions(file: Path) -> set[str]:
    """Name the classes and functions of a file that do not start with an underscore."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")}


def test_all_equals_reality() -> None:
    """What the private modules define for users is what `__all__` names, and each name leads there."""
    defined = set().union(*map(public_definitions, ROOMS)) - INTERNAL

    assert sorted(defined | set(errors.__all__)) == ringfence.__all__
    assert ringfence.__all__ == [getattr(ringfence, name).__name__ for name in ringfence.__all__]


def test_dir_shows_every_name() -> None:
    """Completion in a shell finds names that are not loaded yet."""
    assert set(ringfence.__all__) <= set(dir(ringfence))


def test_other_names_do_not_exist() -> None:
    """A typing error is an AttributeError, as in any module."""
    with pytest.raises(AttributeError, match="has no attribute 'Sandobx'"):
        _ = ringfence.Sandobx  # type: ignore[attr-defined]


def test_importing_the_package_loads_nothing_else() -> None:
    """`import ringfence` costs next to nothing: no native module, nothing of the standard library."""
    code = "import sys; before = set(sys.modules); import ringfence; print(*sorted(set(sys.modules) - before))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert ["ringfence"] == loaded.split()


@pytest.mark.parametrize("slow", ["asyncio", "dataclasses", "difflib", "inspect", "pathlib", "threading", "typing"])
def test_running_a_program_loads_nothing_slow(slow: str, guests: Path) -> None:
    """`ringfence run` stays away from modules that cost milliseconds."""
    code = (
        "import sys; before = set(sys.modules); from ringfence.cli import main;"
        f"main(['run', {str(guests / 'hello.wat')!r}]); print(*set(sys.modules) - before, file=sys.stderr)"
    )

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()

    assert "ringfence._sandbox" in loaded
    assert slow not in loaded


def test_running_a_script_loads_nothing_slow(shout: Path) -> None:
    """A language is found and its script read without what finds packages elsewhere, which costs 25 ms."""
    (shout.parent / "a.shout").write_text("hello", encoding="utf-8")
    code = (
        "import sys; before = set(sys.modules); from ringfence.cli import main;"
        f"main(['run', {str(shout.parent / 'a.shout')!r}]); print(*set(sys.modules) - before, file=sys.stderr)"
    )

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()

    assert "ringfence.languages._pick" in loaded
    assert not {"importlib.metadata", "inspect", "pathlib", "subprocess", "tomllib"} & set(loaded)
