"""
Run modules of CPython's own tests, and say line by line how each test ended.

    judged.py FOLDER WORK MODULE... < SKIPPED

It runs in the sandbox and in a native Python of the same version alike. FOLDER holds the package `test`, WORK is an
empty folder; SKIPPED is a JSON list of tests that are not to be run. Each line that counts begins with a mark, for tests print too.
"""

import json
import os
import sys
import types
import unittest

MARK = "\x1e"
# Parts of CPython's build that no distribution of it has are left out of the pack; these modules need one for some of
# their tests, and would be skipped whole.
STAND_INS = {
    "test.test_bytes": "_testlimitedcapi",
    "test.test_class": "_testinternalcapi",
    "test.test_traceback": "_testinternalcapi",
}


def tell(*said):
    """Write one line that counts, past whatever a test has made of `sys.stdout`."""
    rest = ("\n" + MARK + json.dumps(said) + "\n").encode("utf-8", "backslashreplace")
    while rest:
        rest = rest[os.write(1, rest) :]


class Told(unittest.TestResult):
    """Tells the beginning and the end of each test."""

    def startTest(self, test):
        super().startTest(test)
        self.outcome, self.why = "passed", ""
        tell("start", test.id())

    def stopTest(self, test):
        super().stopTest(test)
        tell("end", test.id(), self.outcome, self.why)

    def wrong(self, outcome, test, error):
        why = last_line(error[1])
        if isinstance(error[1], ModuleNotFoundError) and (error[1].name or "").startswith("_test"):
            outcome = "skipped"
        if isinstance(test, unittest.suite._ErrorHolder):
            tell("end", test.id(), outcome, why)
        else:
            self.outcome, self.why = outcome, why

    def addError(self, test, err):
        self.wrong("failed", test, err)

    def addFailure(self, test, err):
        self.wrong("failed", test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.wrong("failed", test, err)

    def addSkip(self, test, reason):
        if isinstance(test, unittest.suite._ErrorHolder):
            tell("end", test.id(), "skipped", reason)
        elif self.outcome != "failed":
            # A skipped subtest leaves the test passed, as in unittest.
            self.outcome, self.why = ("passed", "") if hasattr(test, "test_case") else ("skipped", reason)

    def addUnexpectedSuccess(self, test):
        self.outcome, self.why = "failed", "unexpected success"


def last_line(error):
    """Give what an exception says, in one line."""
    said = f"{type(error).__name__}: {error}".strip().splitlines()
    return said[0][:300] if said else type(error).__name__


def cases(suite):
    """Give the cases of a suite, however deep."""
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from cases(each)
        else:
            yield each


class StandIn(types.ModuleType):
    """A module whose functions skip the test that calls them."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*_args, **_options):
            raise unittest.SkipTest(f"requires {self.__name__}")

        return absent


def widen(name, support):
    """Run more than CPython itself does on WASI: it skips whole modules where some of it works here."""
    if name.startswith(("test.test_asyncio.", "test.test_asyncgen")):
        support.requires_working_socket = lambda **_: None
    if name in STAND_INS:
        sys.modules[STAND_INS[name]] = StandIn(STAND_INS[name])
        support.has_no_debug_ranges = lambda: False


def judge(name, skipped):
    """Run one module."""
    from test import support

    if sys.platform == "wasi":
        widen(name, support)
    try:
        suite = unittest.defaultTestLoader.loadTestsFromName(name)
    except unittest.SkipTest as skip:
        return tell("end", name, "skipped", str(skip))
    chosen = unittest.TestSuite(each for each in cases(suite) if each.id() not in skipped)
    result = Told()
    chosen.run(result)
    support.gc_collect()
    return tell("done", name)


def main():
    """Run what the command line names."""
    folder, work, *names = sys.argv[1:]
    skipped = set(json.load(sys.stdin))
    os.chdir(work)
    sys.path.insert(0, folder)
    from test import support

    # As `python -m test` without `-u`: none of what takes long, or needs a network or a screen.
    support.use_resources = {}
    support.verbose = False
    for name in names:
        judge(name, skipped)


if __name__ == "__main__":
    main()
