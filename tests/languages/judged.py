"""
Run modules of CPython's own tests, and say line by line how each test ended.

    judged.py FOLDER WORK MODULE... < SKIPPED

It runs in the sandbox and in a native Python of the same version alike. FOLDER holds the package `test`, WORK is an
empty folder; SKIPPED is a JSON list of tests that are not to be run. Each line that counts begins with a mark, for
tests print too.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import types
import unittest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARK = "\x1e"
# Parts of CPython's build that no distribution of it has are left out of the pack; these modules need one for some of
# their tests, and would be skipped whole.
STAND_INS = {
    "test.test_bytes": "_testlimitedcapi",
    "test.test_class": "_testinternalcapi",
    "test.test_types": "_testsinglephase",
}


def tell(*said: str) -> None:
    """Write one line that counts, past whatever a test has made of `sys.stdout`."""
    rest = ("\n" + MARK + json.dumps(said) + "\n").encode("utf-8", "backslashreplace")
    while rest:
        rest = rest[os.write(1, rest) :]


class Told(unittest.TestResult):
    """Tells the beginning and the end of each test; a class that fails or is skipped whole has no beginning."""

    outcome, why = "passed", ""

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        """Begin a test."""
        super().startTest(test)
        self.outcome, self.why = "passed", ""
        tell("start", test.id())

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        """End a test."""
        super().stopTest(test)
        tell("end", test.id(), self.outcome, self.why)

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        """Note an exception."""
        error = err[1]
        if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("_test"):
            self.addSkip(test, f"requires {error.name}")
        else:
            self._end(test, "failed", last_line(error))

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        """Note an assertion that does not hold."""
        self._end(test, "failed", last_line(err[1]))

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:  # noqa: ARG002, N802
        """Note a part of a test."""
        if err is not None:
            self.addError(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        """Note a skipped test; one of which parts were skipped passed, as everywhere."""
        if self.outcome != "failed" and not hasattr(test, "test_case"):
            self._end(test, "skipped", reason)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        """Note a test that passes and should not."""
        self._end(test, "failed", "unexpected success")

    def _end(self, test: Any, outcome: str, why: str) -> None:
        if isinstance(test, unittest.TestCase):
            self.outcome, self.why = outcome, why
        else:
            tell("end", test.id(), outcome, why)


def last_line(error: BaseException) -> str:
    """Give what an exception says, in one line."""
    said = f"{type(error).__name__}: {error}".strip().splitlines()
    return said[0][:300] if said else type(error).__name__


def cases(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Give the cases of a suite, however deep."""
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from cases(each)
        else:
            yield each


class StandIn(types.ModuleType):
    """A module whose functions skip the test that calls them."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        """Give such a function."""
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*_args: object, **_options: object) -> object:
            raise unittest.SkipTest(f"requires {self.__name__}")

        return absent


def widen(name: str, support: Any) -> None:
    """Run more than CPython itself does on WASI: it skips whole modules where some of it works here."""
    if name.startswith(("test.test_asyncio.", "test.test_asyncgen")):
        support.requires_working_socket = lambda **_: None
    if name == "test.test_argparse":
        support.has_subprocess_support = True
    if name in STAND_INS:
        sys.modules[STAND_INS[name]] = StandIn(STAND_INS[name])
    # It asks a part that is left out; the pack has them.
    support.has_no_debug_ranges = lambda: False


def judge(name: str, skipped: set[str], support: Any) -> None:
    """Run one module."""
    tell("module", name)
    if sys.platform == "wasi":
        widen(name, support)
    try:
        suite = unittest.defaultTestLoader.loadTestsFromName(name)
    except unittest.SkipTest as skip:
        tell("end", name, "skipped", str(skip))
    else:
        unittest.TestSuite(each for each in cases(suite) if each.id() not in skipped).run(Told())
    tell("done", name)


def main() -> None:
    """Run what the command line names."""
    folder, work, *names = sys.argv[1:]
    skipped = set(json.load(sys.stdin))
    os.chdir(work)
    sys.path[0] = folder
    support: Any = importlib.import_module("test.support")

    # As `python -m test` without `-u`: none of what takes long, or needs a network or a screen.
    support.use_resources = {}
    support.verbose = 0
    for name in names:
        judge(name, skipped, support)


if __name__ == "__main__":
    main()
