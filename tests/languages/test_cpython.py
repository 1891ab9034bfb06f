"""CPython's own tests judge the Python pack; the quickest of them here, all of them by tools/cpython_tests.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from languages import cpython

if TYPE_CHECKING:
    from pathlib import Path

    from languages.cpython import Differences

PAGE = cpython.HERE.parents[1] / "docs" / "reference" / "python-conformance.md"
KNOWN = cpython.differences()

# The first of them fetches CPython's tests, and compiles the pack.
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("compiled")]


@pytest.fixture(scope="session")
def tests() -> Path:
    """Give the folder that holds the package `test`."""
    return cpython.place() / "Lib"


@pytest.fixture(scope="session")
def known() -> Differences:
    """Give the differences that are known."""
    return KNOWN


@pytest.mark.parametrize("module", KNOWN.fast)
def test_module_of_cpython_ends_as_is_known(tests: Path, known: Differences, module: str) -> None:
    """No test fails but those that are known to, and each of those does."""
    judged = cpython.Judged(cpython.judge(module, tests))

    assert [] == list(known.unexpected(module, judged))
    assert any(verdict.outcome == "passed" for verdict in judged.here.values())


def test_page_shows_every_module_that_is_judged(known: Differences) -> None:
    """The table is of the modules in differences.toml, with the failures that are written there."""
    rows = dict(re.findall(r"^\| `(test_[\w.]+)` \| .* \| ([^|]*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))

    assert sorted(known.modules) == sorted(rows)
    told = {name: sum(map(int, re.findall(r"\d+", failed))) for name, failed in rows.items()}
    assert {name: len(failures) for name, failures in known.modules.items()} == told


def test_quick_modules_are_judged_in_full_too(known: Differences) -> None:
    """What the test suite runs is a part of what the tool runs."""
    assert set(known.fast) < set(known.modules)


def test_failure_that_nobody_knows_is_told(known: Differences) -> None:
    """A regression is named with its test and its reason."""
    judged = cpython.Judged({"test.test_json.A.b": cpython.Verdict("failed", "AssertionError: no")})

    assert ["test_json: test.test_json.A.b fails: AssertionError: no"] == list(known.unexpected("test_json", judged))


def test_failure_that_is_gone_is_told(known: Differences) -> None:
    """An unexpected pass asks for its line to be taken out."""
    module, failures = next((name, failures) for name, failures in known.modules.items() if failures)
    judged = cpython.Judged({f"test.{test}": cpython.Verdict("passed", "") for test in failures})

    told = list(known.unexpected(module, judged))

    assert len(failures) == len(told)
    assert all("known to fail, and does not" in line for line in told)


def test_failure_that_native_python_shares_is_not_the_sandbox_s() -> None:
    """What fails on this machine anyway is no difference."""
    failed = {"test.test_json.A.b": cpython.Verdict("failed", "no")}

    assert {} == cpython.Judged(dict(failed), dict(failed)).failures()


def test_class_that_is_skipped_whole_is_told_as_its_tests() -> None:
    """`setUpClass` that skips stands for each test of the class that runs natively."""
    native = {f"test.test_x.A.{name}": cpython.Verdict("passed", "") for name in "ab"}
    here = {"setUpClass (test.test_x.A)": cpython.Verdict("skipped", "no threads")}

    judged = cpython.Judged(here, native)

    assert dict.fromkeys(native, "no threads") == judged.skipped()
    assert [] == judged.absent()


def test_run_that_ends_early_names_the_test_that_ended_it() -> None:
    """A trap or a limit in the middle of a module is that test's."""
    verdicts: dict[str, cpython.Verdict] = {}
    lines = ['["start", "a"]', '["end", "a", "passed", ""]', '["start", "b"]']

    done = cpython.read(b"".join(cpython.MARK + line.encode() + b"\n" for line in lines), verdicts, "trapped")

    assert not done
    assert {"a": cpython.Verdict("passed", ""), "b": cpython.Verdict("ended", "trapped")} == verdicts
