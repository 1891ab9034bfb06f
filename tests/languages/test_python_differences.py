"""The page of differences from native Python says what is so: its tables are run as they stand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ringfence import Limits, Policy, run

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "python-differences.md"
ROWS = re.findall(r"^\| [^|]*\| `([^|`]+)` \| `([^|`]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
# Evaluates each snippet; a name that is not there is a module.
PROGRAM = """
import importlib, json, sys

class Names(dict):
    def __missing__(self, name):
        try:
            return importlib.import_module(name)
        except ImportError:
            raise KeyError(name) from None

def outcome(snippet):
    names = Names()
    try:
        import concurrent.futures
        if snippet.startswith("import "):
            exec(snippet, {}, names)
            return "imported"
        return repr(eval(snippet, {}, names))
    except Exception as error:
        return f"{type(error).__name__}: {error}"

print(json.dumps([outcome(snippet) for snippet in json.loads(sys.argv[1])]))
"""

# The first run of the pack compiles it.
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled")]
POLICY = Policy(limits=Limits(wall="60s"))


def test_tables_of_differences_are_what_a_script_gets() -> None:
    """Every row with a snippet shows what it gives, to the letter."""
    assert len(ROWS) > 30

    got = json.loads(
        run(code=PROGRAM, args=[json.dumps([row[0] for row in ROWS])], language="python", policy=POLICY).check().text
    )

    assert dict(ROWS) == dict(zip((row[0] for row in ROWS), got, strict=True))


def test_hashes_are_the_same_in_every_run_and_random_numbers_are_not() -> None:
    """The snapshot fixes the seed of hashes; `random` and `uuid` are made fresh."""
    code = "import random, uuid\nprint(hash('ringfence'))\nprint(random.random(), uuid.uuid4())"

    first, second = (run(code=code, language="python", policy=POLICY).check().text.split() for _ in range(2))

    assert first[0] == second[0]
    assert not set(first[1:]) & set(second[1:])


def test_asyncio_waits_and_times_out_on_one_thread() -> None:
    """Timers, timeouts and task groups work without threads."""
    code = """\
import asyncio

async def main():
    try:
        await asyncio.wait_for(asyncio.sleep(60), 0.01)
    except TimeoutError:
        print("timeout")
    async with asyncio.TaskGroup() as group:
        for n in 2, 1:
            group.create_task(asyncio.sleep(n / 100)).add_done_callback(lambda _, n=n: print(n))

asyncio.run(main())
"""
    result = run(code=code, language="python", policy=POLICY).check()

    assert ["timeout", "1", "2"] == result.text.split()


def test_warnings_name_the_line_that_imports_and_not_our_importer() -> None:
    """A module of the library that warns at its import blames the program, as natively."""
    result = run(code="import sre_parse\n", language="python", policy=POLICY).check()

    assert "<string>:1: DeprecationWarning: module 'sre_parse' is deprecated" in result.stderr.decode()


def test_processor_time_begins_with_the_run() -> None:
    """It is not what the builder of the snapshot had used."""
    code = "import time\na = time.process_time()\nsum(range(10**6))\nprint(0 <= a <= time.process_time() < 60)"

    assert "True\n" == run(code=code, language="python", policy=POLICY).check().text
