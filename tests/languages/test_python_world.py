"""What Python finds inside: its library, its limits, and what a sandbox does not have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Limits, Policy, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

# The first of them compiles the pack.
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled")]

DEEP = {
    "calls": "def f(n): return f(n + 1)\nf(0)",
    "many calls allowed": "import sys\nsys.setrecursionlimit(10 ** 6)\ndef f(n): return n and f(n - 1)\nf(200_000)",
    "getattr": "class A:\n    def __getattr__(self, name): return getattr(self, name + 'x')\nA().q",
    "repr": "x = []\nfor _ in range(100_000): x = [x]\nrepr(x)",
    "repr of a class": "class A:\n    def __repr__(self): return repr([self])\nrepr(A())",
    "eq": "class A:\n    def __eq__(self, other): return [self] == [other]\nA() == A()",
    "sorted": "def f(): return sorted([1], key=lambda x: f())\nf()",
    "json text": "import json\njson.loads('[' * 100_000 + ']' * 100_000)",
    "json values": "import json\nx = []\nfor _ in range(100_000): x = [x]\njson.dumps(x)",
    "pickle": "import pickle\nx = []\nfor _ in range(100_000): x = [x]\npickle.dumps(x)",
    "deepcopy": "import copy\nx = []\nfor _ in range(100_000): x = [x]\ncopy.deepcopy(x)",
    "150 brackets": "assert eval('(' * 150 + '1' + ')' * 150) == 1",
    "10,000 brackets": "eval('(' * 10_000 + '1' + ')' * 10_000)",
    "20,000 signs": "eval('-' * 20_000 + '1')",
    "20,000 sums": "eval('+'.join(['1'] * 20_000))",
    "100 blocks": "exec(''.join(' ' * n + 'if 1:\\n' for n in range(100)) + ' ' * 100 + 'pass')",
    "regular expression": "import re\nre.compile('(' * 5_000 + ')' * 5_000)",
    "ast": "import ast\nast.literal_eval('[' * 5_000 + ']' * 5_000)",
    "isinstance": "x = int\nfor _ in range(100_000): x = (x, str)\nisinstance(b'', x)",
    "hash": "x = ()\nfor _ in range(10_000): x = (x,)\nhash(x)",
    "finally": "def f():\n    try: f()\n    finally: print(end='')\nf()",
    "generators": "def f(): yield from f()\nlist(f())",
    "operators": "class A:\n    def __add__(self, other): return self + other\nA() + 1",
    "xml": "import xml.etree.ElementTree as E\nx = E.fromstring('<a>' * 50_000 + '</a>' * 50_000)\nE.tostring(x)",
}


@pytest.mark.parametrize("code", DEEP.values(), ids=DEEP)
def test_deep_recursion_is_an_exception_and_never_a_trap(code: str, bare: Sandbox) -> None:
    """`RecursionError`, or the parser's `MemoryError` and `SyntaxError`; and the program goes on."""
    program = (
        f"try:\n    exec({code!r}, {{}})\n"
        "except (RecursionError, MemoryError, SyntaxError) as error:\n    print(type(error).__name__)\nprint('on')"
    )
    result = bare.run(["-c", program])

    assert ("exited", 0, True) == (result.outcome, result.exit_code, result.stdout.endswith(b"on\n")), result


def test_150_brackets_are_no_trouble(bare: Sandbox) -> None:
    """As natively: the parser's limit is the same."""
    assert b"1\n" == bare.run(["-c", "print(eval('(' * 150 + '1' + ')' * 150))"]).stdout


def test_random_numbers_differ_in_every_run(bare: Sandbox) -> None:
    """Of `random`, `uuid`, `secrets`, `os.urandom`, SQLite, and names of temporary files."""
    code = (
        "import random, uuid, secrets, os, sqlite3, tempfile, hashlib\n"
        "print(random.random(), uuid.uuid4(), uuid.uuid1(), secrets.token_hex(), os.urandom(8).hex(),\n"
        "      sqlite3.connect(':memory:').execute('select random()').fetchone()[0],\n"
        "      next(tempfile._get_candidate_names()), random.SystemRandom().random(), random.Random().random())"
    )
    runs = [bare.run(["-c", code]).stdout.split() for _ in range(2)]

    assert [9, 9] == list(map(len, runs))
    assert [True] * 9 == [first != second for first, second in zip(*runs, strict=True)]


def test_clocks_are_those_of_the_run(bare: Sandbox) -> None:
    """Not those of the day the snapshot was made."""
    code = "import time, logging; print(time.time(), time.monotonic(), logging._startTime / 1e9)"
    import time

    now, monotonic, logging_start = bare.run(["-c", code]).stdout.split()

    assert 0 <= float(monotonic) < 60  # it begins with the run, and is coarse
    assert abs(time.time() - float(now)) < 60
    assert abs(time.time() - float(logging_start)) < 60


def test_library_is_inside(bare: Sandbox) -> None:
    """Modules, C code among them, with nothing granted; and their work is right."""
    code = """
import asyncio, bz2, decimal, hashlib, json, lzma, sqlite3, zlib, zoneinfo, datetime, unicodedata
db = sqlite3.connect(":memory:")
db.execute("create virtual table t using fts5(x)")
db.execute("insert into t values ('to be or not')")
async def two():
    return await asyncio.gather(asyncio.sleep(0.01, 1), asyncio.sleep(0, 2))
noon = datetime.datetime(2026, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
print(json.dumps([
    asyncio.run(two()),
    bz2.decompress(bz2.compress(b"b" * 100)).decode()[:2],
    lzma.decompress(lzma.compress(b"l" * 100)).decode()[:2],
    zlib.decompress(zlib.compress(b"z" * 100)).decode()[:2],
    str(decimal.Decimal(1) / 7),
    db.execute("select x from t where t match 'not'").fetchall(),
    hashlib.sha256(b"").hexdigest()[:8],
    noon.utcoffset().total_seconds(),
    len(zoneinfo.available_timezones()) > 500,
    unicodedata.name("é"),
]))
"""
    result = bare.run(["-c", code])

    assert [
        [1, 2],
        "bb",
        "ll",
        "zz",
        "0.1428571428571428571428571429",
        [["to be or not"]],
        "e3b0c442",
        7200.0,
        True,
        "LATIN SMALL LETTER E WITH ACUTE",
    ] == json.loads(result.stdout), result


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import ctypes", "ModuleNotFoundError"),
        ("import threading; threading.Thread(target=print).start()", "RuntimeError"),
        ("import subprocess; subprocess.run(['ls'])", "OSError"),
        ("import os; os.fork()", "AttributeError"),
        ("import socket; socket.create_connection(('example.com', 80))", "gaierror"),
        ("import urllib.request; urllib.request.urlopen('http://example.com')", "URLError"),
        ("import tempfile; tempfile.mkdtemp()", "FileNotFoundError"),
        ("open('/etc/passwd')", "FileNotFoundError"),
        ("import no_such_module", "ModuleNotFoundError"),
    ],
)
def test_what_a_sandbox_has_not_fails_as_python_does(code: str, error: str, bare: Sandbox) -> None:
    """With an exception of the usual type, which a program can catch."""
    program = f"try:\n    exec({code!r})\nexcept Exception as error:\n    print(type(error).__name__)"

    assert f"{error}\n".encode() == bare.run(["-c", program]).stdout


def test_memory_limit_is_a_memory_error(bare: Sandbox) -> None:
    """Which a program can catch, and go on."""
    code = "try:\n    x = bytearray(1 << 30)\nexcept MemoryError:\n    print('caught')\nprint(len(list(range(1000))))"
    result = bare.run(["-c", code], limits=Limits(memory="128MiB"))

    assert ("exited", b"caught\n1000\n") == (result.outcome, result.stdout), result


def test_imports_of_the_library_ask_nothing_of_the_host(bare: Sandbox) -> None:
    """So that a refusal that is told has to do with the program."""
    code = (
        "import json, colorsys, xml.dom.minidom, wave, traceback\n"
        "try:\n    json.loads('{')\nexcept ValueError:\n    print('scan_once' in traceback.format_exc())"
    )
    result = bare.run(["-c", code])

    assert (b"True\n", []) == (result.stdout, list(result.denials)), result


def test_a_module_of_the_program_wins_over_one_of_the_library(tmp_path: Path) -> None:
    """As on a disk, also where the snapshot has imported it already."""
    (tmp_path / "queue.py").write_text("mine = 1\n", encoding="utf-8")
    (tmp_path / "main.py").write_text("import queue, json\nprint(queue.mine, json.__name__)\n", encoding="utf-8")
    sandbox = Sandbox(tmp_path / "main.py", policy=Policy(dirs=[Dir(tmp_path, at=str(tmp_path))]))

    assert b"1 json\n" == sandbox.run().stdout


def test_two_runs_share_nothing(bare: Sandbox) -> None:
    """What one leaves in modules, the next does not find."""
    first = bare.run(["-c", "import json, builtins, sys; json.x = builtins.y = 1; sys.path.append('z'); print(1)"])
    second = bare.run(["-c", "import json, builtins, sys; print(hasattr(json, 'x'), hasattr(builtins, 'y'), sys.path)"])

    assert (b"1\n", b"False False ['']\n") == (first.stdout, second.stdout)


def test_python_code_keeps_itself_to_the_limit_of_output(bare: Sandbox) -> None:
    """60 MB of prints end as limited, with what fits."""
    result = bare.run(["-c", "while True: print('x' * 1000)"], limits=Limits(output="1MiB"))

    assert ("limited", "output") == (result.outcome, result.limit)


def test_files_of_two_grants_are_never_one_file(tmp_path: Path) -> None:
    """Guests are not told of devices: numbers alone tell files apart, and `cp` and compilers ask for them."""
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
    # Equal ones may be one: neither can be told from the other by anything that is in it.
    memory = [
        *(Dir.memory(file=at, at=at, mode="ro") for at in ("/a", "/b")),
        *(Dir.memory(file=at, at=at) for at in ("/c", "/d")),
        *(Dir.memory({"sub/file": at}, at=at, mode="ro") for at in ("/e", "/f")),
        *(Dir.memory({"sub/file": at}, at=at) for at in ("/g", "/h")),
    ]
    layers = [Dir(tmp_path / name, at=f"/{name}", mode="overlay") for name in ("left", "right")]
    code = """
import os
for place in ("/left/new", "/right/new", "/g/new", "/h/new"):
    open(place, "w").close()
files = ["/a", "/b", "/c", "/d", *(f"/{at}/sub/file" for at in "efgh"), "/left/new", "/right/new", "/g/new", "/h/new"]
print(len(files), len({(os.stat(file).st_dev, os.stat(file).st_ino) for file in files}))
"""
    result = Sandbox(code=code, language="python", policy=Policy(dirs=[*memory, *layers])).run().check()

    assert "12 12\n" == result.text
