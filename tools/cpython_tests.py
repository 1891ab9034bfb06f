#!/usr/bin/env python3
# ruff: noqa: T201
"""
Run CPython's own tests in the sandbox and in a native CPython of the same version, and compare.

    tools/cpython_tests.py                 all modules; writes docs/reference/python-conformance.md
    tools/cpython_tests.py test_json …     those modules; writes nothing

What differs must be in tests/languages/differences.toml, and what is there must differ: else the exit code is 1. The
tests are of the source that the Python pack is built from: fetched on first use, and kept beside the packs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from packs.building.failure import Failure  # noqa: E402

from languages import cpython  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping

    from languages.cpython import Differences, Judged

# So many surprises of a module are shown; `--verbose` shows all.
SHOWN = 12
PAGE = ROOT / "docs" / "reference" / "python-conformance.md"
HEAD = """\
<!-- Written by tools/cpython_tests.py: run it, or change tests/languages/differences.toml. -->
# CPython's own tests, in the sandbox

The `test` package of CPython {version}, from the source that the Python pack is built from, run in the sandbox and in
Debian's CPython of the same version on the same machine. `tools/cpython_tests.py` runs it and fails where a result is
not the one below; the quickest modules are part of the test suite. What the differences mean for programs:
[differences from native Python](../explanation/python-differences.md).

The tests have their own folder as an overlay, which keeps no change, and may write in one other. As in
`python -m test`, those that take long or need a network are left out. CPython itself skips some modules whole on WASI
of which we run what works: `test_argparse`, `test_asyncio`, `test_asyncgen`, `test_bytes`, `test_class`,
`test_marshal`, `test_traceback`, `test_types`.

| {tests} tests of {modules} modules | |
|---|---|
| pass here and natively | {both} |
| fail here only, each explained below | {failed} |
| are skipped here only, for the reasons below | {skipped} |
| are skipped or fail in both | {neither} |
"""
COLUMNS = """
## By module

*here*: passed in the sandbox; *native*: passed natively; *skipped*: here only; *failed*: here only.

| module | tests | here | native | skipped | failed |
|---|---:|---:|---:|---:|---|
"""


def main() -> int:
    """Judge what is named; print what is not as it is known, and write the page if all was run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="modules of CPython's tests (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="modules at one time (default: 2)")
    parser.add_argument("--verbose", action="store_true", help="name each test that is skipped here only")
    arguments = parser.parse_args()
    known = cpython.differences()
    names = arguments.modules or list(known.modules)
    try:
        folder = cpython.place()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 2

    def judge(name: str) -> tuple[str, Judged, float]:
        begun = time.monotonic()
        judged = cpython.Judged(cpython.judge(name, folder / "Lib"), cpython.judge_native(name, folder))
        return name, judged, time.monotonic() - begun

    results: dict[str, Judged] = {}
    wrong: list[str] = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for name, judged, seconds in pool.map(judge, names):
            results[name] = judged
            told = list(known.unexpected(name, judged))
            wrong += told
            shown = told if arguments.verbose else [*told[:SHOWN], *(["…"] if len(told) > SHOWN else [])]
            print(f"{name:<28} {row(judged)}  {seconds:6.1f} s", *shown, sep="\n  ", flush=True)
            if arguments.verbose:
                print(*(f"  skipped: {test}: {why}" for test, why in judged.skipped().items()), sep="\n")
    if not arguments.modules and not wrong:
        PAGE.write_text(page(results, known), encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")
    print(f"{len(wrong)} not as in differences.toml" if wrong else "all as in differences.toml")
    return 1 if wrong else 0


def counts(judged: Judged) -> tuple[int, int, int, int, int]:
    """Count the tests; those passed here, passed natively, skipped here only, failed here only."""
    native = judged.native or {}
    passed = Counter(verdict.outcome for verdict in judged.here.values())["passed"]
    natively = Counter(verdict.outcome for verdict in native.values())["passed"]
    return len(judged.here.keys() | native), passed, natively, len(judged.skipped()), len(judged.failures())


def row(judged: Judged) -> str:
    """Give the counts as a line of the terminal."""
    return "{:5} tests {:5} here {:5} native {:4} skipped {:3} failed".format(*counts(judged))


def page(results: Mapping[str, Judged], known: Differences) -> str:
    """Write the page."""
    rows, failed, skips = [], Counter[str](), Counter[str]()
    total = Counter[str]()
    for name, judged in sorted(results.items()):
        tests, passed, natively, skipped, failures = counts(judged)
        reasons = Counter(known.modules[name].values())
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        rows.append(f"| `{name}` | {tests} | {passed} | {natively} | {skipped or ''} | {told} |\n")
        failed += reasons
        native = judged.native or {}
        both = sum(
            verdict.outcome == "passed" and test in native and native[test].outcome == "passed"
            for test, verdict in judged.here.items()
        )
        total += Counter(
            tests=tests, both=both, failed=failures, skipped=skipped, neither=tests - both - failures - skipped
        )
        for why in judged.skipped().values():
            skips[known.explain_skip(why) or why] += 1
    head = {key: f"{total[key]:,}" for key in ("tests", "both", "failed", "skipped", "neither")}
    parts = [HEAD.format(version=pack_version(), modules=len(results), **head), COLUMNS, *rows]
    parts.append("\n## Why tests fail here only\n\n| reason | tests | |\n|---|---:|---|\n")
    parts += [f"| {reason} | {failed[reason]} | {known.reasons[reason]} |\n" for reason in sorted(known.reasons)]
    for name in sorted(results):
        if known.modules[name]:
            parts.append(f"\n`{name}`: ")
            parts.append(", ".join(f"`{test.partition('.')[2]}` ({why})" for test, why in known.modules[name].items()))
            parts.append("\n")
    parts.append("\n## Why tests are skipped here only\n\n| tests | |\n|---:|---|\n")
    parts += [f"| {count} | {why} |\n" for why, count in skips.most_common()]
    return "".join(parts)


def pack_version() -> str:
    """Give the version of Python that the pack has."""
    from packs.python.interpreter import VERSION

    return VERSION


if __name__ == "__main__":
    sys.exit(main())
