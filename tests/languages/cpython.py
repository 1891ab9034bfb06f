"""
CPython's own tests as the judge of the Python pack: where they come from, how they are run, what came of them.

They are of the source that the pack is built from, with its patches. The native Python beside it is Debian's of the
same version: what fails there too is not the sandbox's doing.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packs.building import cache
from packs.building.archive import SUITE, Archive
from packs.building.steps import Steps
from packs.building.toolchain import LOADERS, TRIPLES, architecture, unpack
from packs.python import interpreter

from ringfence import Dir, Limits, Policy, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).parent
GUEST = HERE / "judged.py"
MARK = b"\x1e"
NATIVE = [
    *interpreter.HOST_PYTHON,
    *("libsqlite3-0", "libbz2-1.0", "liblzma5", "libffi8", "libssl3t64", "libuuid1", "libzstd1", "tzdata"),
]
# Under its own name, so that it finds its library, and its tests find it.
WRAPPER = """\
#!/bin/sh
L="{lib}"
exec "$L/{loader}" --library-path "$L" --argv0 "$0" "$0.real" "$@"
"""
VARIABLES = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
LIMITS = Limits(wall="600s", memory="2GiB", output="64MiB", open_files=512, disk="8GiB", files=20_000, compile="300s")
# A module that ends its run is begun again behind that test, so often.
RESTARTS = 5


@dataclass(frozen=True)
class Verdict:
    """How a test ended: passed, skipped, failed, or with the whole run; and why."""

    outcome: str
    why: str

    @property
    def is_bad(self) -> bool:
        """Tell whether it failed, or ended the run."""
        return self.outcome in {"failed", "ended"}


@dataclass
class Judged:
    """
    What came of a module.

    Attributes:
        here: the verdicts in the sandbox, by test.
        native: those of the native Python; None where it was not asked.
    """

    here: dict[str, Verdict]
    native: dict[str, Verdict] | None = None

    def __post_init__(self) -> None:
        """Give a class or module that was skipped or failed whole as its tests."""
        for test, _ in (self.native or {}).items() - self.here.items():
            for whole in (f"setUpClass ({test.rpartition('.')[0]})", test.rpartition(".")[0].rpartition(".")[0]):
                if test not in self.here and whole in self.here:
                    self.here[test] = self.here[whole]
        if self.native:
            self.here = {test: verdict for test, verdict in self.here.items() if test in self.native or verdict.is_bad}

    def failures(self) -> dict[str, str]:
        """Give what fails here and not natively, with why."""
        native = self.native or {}
        return {
            test: verdict.why
            for test, verdict in self.here.items()
            if verdict.is_bad and not (test in native and native[test].is_bad)
        }

    def skipped(self) -> dict[str, str]:
        """Give what is skipped here and not natively, with why."""
        native = self.native or {}
        return {
            test: verdict.why
            for test, verdict in self.here.items()
            if verdict.outcome == "skipped" and test in native and native[test].outcome != "skipped"
        }

    def absent(self) -> list[str]:
        """Give what passes natively, and is not there here."""
        native = self.native or {}
        return sorted(test for test, verdict in native.items() if verdict.outcome == "passed" and test not in self.here)


def place() -> Path:
    """Give the folder with `Lib/test` and the native `python3.13`, fetched and unpacked unless that was done."""

    def make(folder: Path) -> None:
        steps = Steps("judge", cache.directory() / "judge.log")
        archive = Archive(cache.directory() / "archive" / f"{SUITE}-judge", steps)
        arch = architecture()
        with steps.step("fetch CPython's tests"):
            archive.sources(["python3.13"], {"python3.13_": interpreter.PINS["python3.13_"]})
            native = archive.packages(NATIVE)
        with steps.step("unpack, patch"), tempfile.TemporaryDirectory() as scratch:
            source, debian = Path(scratch) / "python", Path(scratch) / "debian"
            interpreter.extract(archive.original("python3.13"), source)
            interpreter.extract(archive.patches("python3.13"), debian, strip=False)
            patches = debian / "debian" / "patches"
            for line in (patches / "series").read_text(encoding="utf-8").splitlines():
                if re.search(interpreter.PATCHES["python3.13"], line):
                    steps.run(["patch", "-p1", "--silent", "--force", "-i", patches / line.split()[0]], cwd=source)
            shutil.move(source / "Lib" / "test", folder / "Lib" / "test")
            unpack(native, folder / "native", steps)
        program = folder / "native" / "usr" / "bin" / "python3.13"
        program.rename(program.with_suffix(".13.real"))
        lib = cache.directory() / key / "native" / "usr" / "lib" / TRIPLES[arch]
        program.write_text(WRAPPER.format(lib=lib, loader=LOADERS[arch]), encoding="utf-8")
        program.chmod(0o755)
        shutil.rmtree(archive.files)

    key = f"judge-{cache.digest(interpreter.VERSION, *interpreter.PINS.values(), *NATIVE, WRAPPER, 'layout 1')}"
    return cache.entry(key, make)


def sandbox(tests: Path, work: Path) -> Sandbox:
    """Give the sandbox that the tests run in: their changes are kept in one folder only."""
    dirs = [Dir(tests, at="/tests", mode="overlay"), Dir(work, at="/tmp", mode="rw")]  # noqa: S108
    policy = Policy(dirs=dirs, env=VARIABLES, limits=LIMITS)
    return Sandbox(GUEST, policy=policy)


def judge(module: str, tests: Path) -> dict[str, Verdict]:
    """Run a module in the sandbox; a test that ends the run is named, and the others are run without it."""
    verdicts: dict[str, Verdict] = {}
    for _ in range(RESTARTS):
        with tempfile.TemporaryDirectory() as work:
            told = json.dumps(sorted(verdicts)).encode()
            result = sandbox(tests, Path(work)).run(["/tests", "/tmp", f"test.{module}"], input=told)  # noqa: S108
        how = f"{result.outcome} {result.limit or result.trap or result.exit_code}"
        if read(result.stdout, verdicts, f"{how}: {result.stderr.decode(errors='replace')[-200:]!r}"):
            break
    return verdicts


def judge_native(module: str, folder: Path) -> dict[str, Verdict]:
    """Run a module in the native Python."""
    verdicts: dict[str, Verdict] = {}
    python = folder / "native" / "usr" / "bin" / "python3.13"
    for _ in range(RESTARTS):
        with tempfile.TemporaryDirectory() as work:
            ended = subprocess.run(
                [python, "-E", GUEST, folder / "Lib", work, f"test.{module}"],
                input=json.dumps(sorted(verdicts)).encode(),
                capture_output=True,
                env={**VARIABLES, "HOME": work},
                check=False,
            )
        if read(ended.stdout, verdicts, f"exited {ended.returncode}"):
            break
    return verdicts


def read(output: bytes, verdicts: dict[str, Verdict], how: str) -> bool:
    """Take the verdicts from what a run wrote; false where it ended too early, and then say in which test."""
    running, done = "", False
    for line in output.split(b"\n"):
        if not line.startswith(MARK):
            continue
        match json.loads(line[1:]):
            case ["start", str(test)]:
                running = test
            case ["end", str(test), str(outcome), str(why)]:
                verdicts[test], running = Verdict(outcome, why), ""
            case ["done", _]:
                done = True
    if not done:
        verdicts[running or "between the tests"] = Verdict("ended", how)
    return done or not running


@dataclass(frozen=True)
class Differences:
    """
    The differences that are known, from differences.toml.

    Attributes:
        modules: the modules that are judged, with the failures that are known: test to the name of its reason.
        reasons: what those names mean.
        skips: patterns of the reasons for which tests are skipped here only, with what that means.
        fast: the modules that the test suite runs.
    """

    modules: Mapping[str, Mapping[str, str]]
    reasons: Mapping[str, str]
    skips: Mapping[str, str]
    fast: tuple[str, ...]

    def explain_skip(self, why: str) -> str | None:
        """Give the explanation of a skip."""
        return next((told for pattern, told in self.skips.items() if re.search(pattern, why)), None)

    def unexpected(self, module: str, judged: Judged) -> Iterator[str]:
        """Tell what is not as it is known."""
        known = {f"test.{test}": why for test, why in self.modules[module].items()}
        failed = judged.failures()
        for test, why in failed.items():
            if test not in known:
                yield f"{module}: {test} fails: {why}"
        for test in known:
            if test not in failed:
                yield f"{module}: {test} is known to fail, and does not: take it out of differences.toml"
        for test, why in judged.skipped().items():
            if self.explain_skip(why) is None:
                yield f"{module}: {test} is skipped here only, and no pattern explains it: {why}"
        for test in judged.absent():
            yield f"{module}: {test} passes natively, and is not there here"


def differences(file: Path = HERE / "differences.toml") -> Differences:
    """Read the differences that are known."""
    told = tomllib.loads(file.read_text(encoding="utf-8"))
    modules = {name: told["failures"].get(name, {}) for name in told["modules"]}
    assert told["failures"].keys() <= modules.keys(), "a failure of a module that is not judged"
    used = {why for failures in modules.values() for why in failures.values()}
    assert used == told["reasons"].keys(), f"reasons: {used ^ told['reasons'].keys()}"
    return Differences(modules, told["reasons"], told["skips"], tuple(told["fast"]))
