"""Every file has the test its name leads to."""

from pathlib import Path

import pytest

from ringfence.cli._verbs import VERBS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "ringfence"


@pytest.mark.parametrize(
    ("package", "tests"),
    [
        (PACKAGE, "unit"),
        (PACKAGE / "languages", "unit/languages"),
        (PACKAGE / "packages", "unit/packages"),
        (PACKAGE / "shown", "unit/shown"),
        (PACKAGE / "cli", "cli"),
    ],
)
def test_every_module_has_its_test_file(package: Path, tests: str) -> None:
    """`_x.py` has `test_x.py`, and a test file has its module."""
    modules = {file.stem.strip("_") for file in package.glob("*.py") if not file.stem.startswith("__")}
    tested = {file.stem.removeprefix("test_") for file in (ROOT / "tests" / tests).glob("test_*.py")}

    assert modules == tested


def test_every_verb_has_its_file() -> None:
    """The verbs are the files of `cli` without an underscore."""
    assert sorted(VERBS) == sorted(file.stem for file in (PACKAGE / "cli").glob("[a-z]*.py"))
