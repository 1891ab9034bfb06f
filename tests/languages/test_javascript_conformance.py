"""The engine's own tests judge the pack: they come with its source, and run in the sandbox."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from ringfence import Dir, Limits, Policy, Sandbox

ROOT = Path(__file__).parents[2]
# What does not pass, and why: docs/explanation/javascript-and-node.md says so too.
ABSENT = {
    "atomics-store-leak.js": "Atomics",
    "bug1301.js": "Atomics",
    "bug1302.js": "Atomics",
    "bug1661.js": "it leaves a rejection that nobody handles, which the engine's own runner does not look at",
    "test_std.js": "std.tmpfile",
    "test_worker.js": "os.Worker",
}
# Names that the engine's own runner adds; the kinds of strings inside the engine are not looked at.
PRELUDE = "globalThis.gc = std.gc; globalThis.qjs = { getStringKind: (n => () => n++)(0) }; "
NO_TESTS = re.compile(r"fixture_|assert\.js|empty\.js|microbench\.js|test_worker_module\.js")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the tests, from the crate that the pack is built from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT), *sys.path])
        from packs.building import registry
        from packs.building.failure import Failure
        from packs.building.steps import Steps
        from packs.javascript import recipe

        steps = Steps("tests", tmp_path_factory.mktemp("log") / "steps.log")
        try:
            crate = registry.crate(recipe.CRATE, recipe.VERSION, recipe.SHA256, steps)
        except Failure as failure:
            pytest.skip(f"the engine's source is not at hand: {failure}")
    copy = tmp_path_factory.mktemp("engine") / "tests"
    shutil.copytree(crate / "embed" / "quickjs" / "tests", copy)
    return copy


@pytest.mark.timeout(300)
def test_engine_passes_its_own_tests_but_for_what_is_absent(suite: Path) -> None:
    """What fails is listed, each with its reason."""
    policy = Policy(dirs=[Dir(suite, at="/tests")], limits=Limits(wall=60))
    javascript = Sandbox(language="javascript", policy=policy)
    failed: dict[str, str] = {}
    files = [file for file in sorted(suite.glob("*.js")) if not NO_TESTS.match(file.name)]
    for file in files:
        text = file.read_text(encoding="utf-8")
        wanted = re.search(r"^negative:\n  phase: \w+\n  type: (\w+)", text, re.MULTILINE)
        if "gc()" in text or "qjs." in text:
            file.write_text(PRELUDE + text, encoding="utf-8")
        result = javascript.run([f"/tests/{file.name}"])
        told = result.stderr.decode()
        if result.exit_code != (1 if wanted else 0) or (wanted and f"{wanted[1]}: " not in told):
            failed[file.name] = f"{result!r} {told[-300:]}"

    assert 92 == len(files)
    assert ABSENT.keys() == failed.keys(), failed
