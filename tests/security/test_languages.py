"""Attacks in the words of a language, on all that its library could reach: files, net, processes, itself, limits."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Dir, Limits, Policy
from security.isolated import run, run_code

if TYPE_CHECKING:
    from ringfence import Result

pytestmark = pytest.mark.usefixtures("isolation", "compiled")

QUICK = Limits(wall="2s")


def python(code: str, *, limits: Limits = QUICK, **policy: Any) -> Result:
    """Run Python, then see that the next run is as if this one had never been."""
    result = run_code(code, "python", policy=Policy(limits=limits, **policy))
    after = run_code("import sys, os; print(len(os.listdir('/')), sys.argv)", "python", policy=Policy(limits=limits))
    assert ("exited", 0, b"0 ['-c']\n", b"") == (after.outcome, after.exit_code, after.stdout, after.stderr)
    return result


def raised(result: Result) -> str:
    """Name the exception that ended it, as the last line of its traceback does."""
    assert ("exited", 1) == (result.outcome, result.exit_code), result.stderr
    return result.stderr.decode().splitlines()[-1].partition(":")[0]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/self/mem",
        "/dev/zero",
        "/sys/kernel",
        "../../../../../../etc/passwd",
        "/./../etc/passwd",
        "//etc//passwd",
        "/usr/lib/python3.13/os.py",
    ],
)
def test_python_reads_no_file_that_was_not_granted(path: str) -> None:
    """Each is an ordinary exception, and told as a denial."""
    result = python(f"open({path!r})")

    assert raised(result) in {"FileNotFoundError", "PermissionError"}
    assert "read" in {denial.kind for denial in result.denials}


def test_python_writes_no_file_that_was_not_granted(tmp_path: Path) -> None:
    """By no function that would make, move or change one."""
    (tmp_path / "kept").write_text("kept", encoding="utf-8")
    code = """
import os, shutil, sqlite3, tempfile
refused = 0
for act in (
    lambda: open("/data/new", "w"), lambda: open("/data/kept", "a"), lambda: os.remove("/data/kept"),
    lambda: os.rename("/data/kept", "/data/other"), lambda: os.mkdir("/data/dir"), lambda: os.symlink("/", "/data/l"),
    lambda: os.truncate("/data/kept", 0), lambda: os.utime("/data/kept"), lambda: shutil.rmtree("/data"),
    lambda: sqlite3.connect("/data/db").execute("create table t (x)"), lambda: tempfile.mkstemp(),
    lambda: open("/x", "w"),
):
    try:
        act()
    except (OSError, sqlite3.Error):
        refused += 1
print(refused)
"""
    result = python(code, dirs=[Dir(tmp_path, at="/data")])

    assert (b"12\n", b"") == (result.stdout, result.stderr)
    assert ["kept"] == os.listdir(tmp_path)
    assert "kept" == (tmp_path / "kept").read_text(encoding="utf-8")


def test_python_sees_no_variable_and_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ours nor the names of user, machine and directories."""
    monkeypatch.setenv("API_TOKEN", "s3cr3t")
    code = """
import os, sys, platform, getpass
print(dict(os.environ), os.getcwd(), sys.argv, os.listdir("/"), sys.flags.isolated)
print(platform.node(), os.path.expanduser("~"), sys.executable, *sys.path)
"""
    result = python(code)
    seen = result.text + result.stderr.decode()

    assert "{} / ['-c'] [] " in seen
    for secret in ("s3cr3t", str(Path.home()), os.uname().nodename, str(Path.cwd())):
        assert secret not in seen


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', 80))",
        "import socket; socket.socket().connect(('127.0.0.1', 80))",
        "import socket; socket.socket().bind(('127.0.0.1', 0))",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1/')",
        "import http.client; http.client.HTTPConnection('127.0.0.1').request('GET', '/')",
        "import asyncio; asyncio.run(asyncio.open_connection('127.0.0.1', 80))",
        "import socket; socket.fromfd(3, socket.AF_INET, socket.SOCK_STREAM).connect(('127.0.0.1', 80))",
    ],
)
def test_python_reaches_nobody(code: str) -> None:
    """Every way to the network ends in an exception."""
    assert raised(python(code)) in {"OSError", "urllib.error.URLError", "AttributeError", "PermissionError"} | {
        "socket.gaierror",
        "ConnectionRefusedError",
    }


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.system('touch /tmp/escaped')",
        "import os; os.popen('id').read()",
        "import os; os.fork()",
        "import os; os.execv('/bin/sh', ['sh'])",
        "import os; os.posix_spawn('/bin/sh', ['sh'], {})",
        "import os; os.kill(1, 9)",
        "import subprocess; subprocess.run(['id'])",
        "import multiprocessing as m; m.Process(target=print).start()",
        "import threading; threading.Thread(target=print).start()",
        "import _thread; _thread.start_new_thread(print, ())",
        "from concurrent.futures import ThreadPoolExecutor as T; T().submit(print).result()",
        "import ctypes; ctypes.CDLL(None).system(b'id')",
        "import _ctypes",
        "import mmap; mmap.mmap(-1, 4096)",
        "import resource",
        "import importlib.machinery as m; m.ExtensionFileLoader('x', '/x').create_module(m.ModuleSpec('x', 0))",
    ],
)
def test_python_starts_no_process_and_no_thread_and_calls_no_native_code(code: str) -> None:
    """The functions are not there, or say that there is no such thing."""
    before = threading.active_count()

    assert raised(python(code)) in {
        "AttributeError",
        "OSError",
        "RuntimeError",
        "ModuleNotFoundError",
        "ImportError",
        "NotImplementedError",
        "TypeError",
    }
    assert before >= threading.active_count() - 1
    assert not Path("/tmp/escaped").exists()  # noqa: S108


def test_python_finds_no_descriptor_of_ours(tmp_path: Path) -> None:
    """Three streams and the root of its files: what this process has open is not there, and cannot be written."""
    code = """
import os
found = []
for number in [*range(200), 1000, 1 << 20, (1 << 31) - 1, -1]:
    try:
        os.fstat(number)
        found.append(number)
        if number > 2:
            os.write(number, b"x")
    except OSError:
        pass
print(found)
"""
    with (tmp_path / "ours").open("w") as ours:
        result = python(code)
        ours.flush()

    assert b"[0, 1, 2, 3]\n" == result.stdout
    assert 0 == (tmp_path / "ours").stat().st_size


def test_raw_writes_and_closed_streams_harm_nobody() -> None:
    """What a program does to its own streams it does to those of this run."""
    result = python("import os; os.write(1, b'raw'); os.write(2, b'err'); os.close(1); os.close(0)")

    assert ("exited", b"raw", b"err") == (result.outcome, result.stdout, result.stderr)


@pytest.mark.parametrize("hold", ["pass", "__import__('time').sleep(9)", "sum(range(10**9))"])
def test_endless_loop_ends_at_the_wall(hold: str) -> None:
    """Whatever it catches, and wherever it waits."""
    loop = f"while True:\n  try:\n    while True: {hold}\n  except BaseException: pass"
    result = python(loop, limits=Limits(wall="500ms"))

    assert ("limited", "wall") == (result.outcome, result.limit)
    assert 1.5 > result.usage.wall_seconds


@pytest.mark.parametrize(
    "code",
    [
        "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
        "x = 3 ** (10 ** 8)",
        "sorted(range(10 ** 8), key=lambda x: -x)",
        "'a' * (10 ** 6) in 'a' * (10 ** 6 - 1) + 'b' or sum(1 for _ in iter(int, 1))",
    ],
    ids=["regex", "power", "sort", "iterator"],
)
def test_work_inside_the_interpreter_ends_too(code: str) -> None:
    """What Python itself could not interrupt is stopped, at its time or its memory."""
    result = python(code, limits=Limits(wall="500ms"))

    assert "limited" == result.outcome or "MemoryError" == raised(result)


def test_flood_of_prints_is_cut() -> None:
    """60 MB are 16: the limit's, and no more is held."""
    result = python("for _ in range(60): print('x' * (1 << 20))", limits=Limits(wall="20s"))

    assert ("limited", "output", True) == (result.outcome, result.limit, result.truncated)
    assert 16 << 20 == len(result.stdout) + len(result.stderr)


@pytest.mark.parametrize(
    ("code", "errors"),
    [
        ("eval('(' * 150 + '1' + ')' * 150)", {"", "MemoryError"}),
        ("eval('(' * 10000 + ')' * 10000)", {"SyntaxError", "MemoryError"}),
        ("eval('[' * 10000 + ']' * 10000)", {"SyntaxError", "MemoryError"}),
        ("eval('-' * 100000 + '1')", {"MemoryError", "RecursionError"}),
        ("eval('1' + '+1' * 100000)", {"MemoryError", "RecursionError"}),
        ("eval('a' + '.b' * 100000)", {"MemoryError", "RecursionError"}),
        ("exec('\\n'.join(' ' * i + 'if 1:' for i in range(150)))", {"IndentationError"}),
        ("def f(): f()\nf()", {"RecursionError"}),
        ("x = []\nfor _ in range(100000): x = [x]\nrepr(x)", {"RecursionError"}),
        ("x = []\nfor _ in range(100000): x = [x]\nimport json; json.dumps(x)", {"RecursionError"}),
        ("import json; json.loads('[' * 100000)", {"RecursionError"}),
        ("import pickle, sys\nx = []\nfor _ in range(100000): x = [x]\npickle.dumps(x)", {"RecursionError"}),
        ("import re; re.compile('(' * 5000 + ')' * 5000)", {"RecursionError"}),
        ("class A:\n  def __getattr__(self, name): return getattr(self, name)\nA().x", {"RecursionError"}),
        ("import copy\nx = []\nfor _ in range(3000): x = [x]\ncopy.deepcopy(x)", {"RecursionError"}),
        ("print(9 ** 9 ** 6)", {"ValueError"}),
        ("1 << (1 << 35)", {"OverflowError", "MemoryError"}),
        ("bytearray(1 << 30)", {"MemoryError"}),
    ],
)
def test_depth_and_size_are_the_languages_usual_exceptions(code: str, errors: set[str]) -> None:
    """Never a trap: the interpreter refuses, and goes on."""
    result = python(code, limits=Limits(wall="20s"))

    if "memory" == result.limit:
        assert "MemoryError" in errors
    else:
        assert ("" if result.ok else raised(result)) in errors


def test_source_nested_ten_thousand_deep_is_refused(tmp_path: Path) -> None:
    """Also as a script, where the driver compiles it."""
    script = tmp_path / "deep.py"
    script.write_text(f"x = {'(' * 10000}1{')' * 10000}\n", encoding="utf-8")
    result = run(script)

    assert raised(result) in {"SyntaxError", "MemoryError"}


def test_recursion_without_a_limit_ends_at_one_of_ours() -> None:
    """A program that lifts its own limit meets those of the policy."""
    result = python("import sys; sys.setrecursionlimit(10 ** 9)\ndef f(): f()\nf()", limits=Limits(wall="10s"))

    assert result.outcome in {"limited", "trapped"} or raised(result) in {"MemoryError", "RecursionError"}


def test_hoard_ends_at_its_memory() -> None:
    """As MemoryError first, which it may catch, and never more than was granted."""
    code = """
hoard = []
try:
    while True:
        hoard.append(bytearray(1 << 20))
except MemoryError:
    print(len(hoard))
"""
    result = python(code, limits=Limits(wall="20s", memory="64MiB"))

    assert 64 > int(result.text)
    assert 64 << 20 >= result.usage.memory_bytes


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("import sys; sys.exit('bye')", 1),
        ("raise SystemExit(300)", 300 & 255),
        ("raise SystemExit(-1)", 255),
        ("raise SystemExit(2 ** 70)", 255),
        ("import sys; sys.excepthook = lambda *_: sys.exit(5)\n1 / 0", 5),
        ("import sys\nclass A:\n  def __del__(self): sys.exit(7)\nA()", 0),
        ("import sys\ntry: sys.exit(1)\nfinally: sys.exit(2)", 2),
        ("import sys\nclass A(str):\n  def __str__(self): sys.exit(9)\nsys.exit(A())", 1),
        ("import os; os._exit(200)", 200),
    ],
)
def test_exits_in_odd_places_are_exits(code: str, exit_code: int) -> None:
    """With the code that CPython gives."""
    result = python(code)

    assert ("exited", exit_code) == (result.outcome, result.exit_code)


@pytest.mark.parametrize(
    "code",
    [
        "import builtins, sys; builtins.open = builtins.compile = builtins.print = None; sys.stdout = None",
        "import sys; sys.modules.clear()",
        "import sys; sys.meta_path.clear(); sys.path_hooks.clear(); sys.path = None",
        "import sys; sys.settrace(lambda *_: 1 / 0)\nx = 1",
        "import sys; sys.excepthook = None\n1 / 0",
        "import gc\nfor o in gc.get_objects():\n  if isinstance(o, dict) and o is not globals(): o.clear()",
        "import sys\nfor m in list(sys.modules.values()):\n  for n in list(vars(m)): setattr(m, n, None)",
        "f = lambda: 0\nf.__code__ = f.__code__.replace(co_code=bytes(range(256)) * 4)\nf()",
        "import atexit, os; atexit.register(os.abort)",
        "import sys; sys.set_asyncgen_hooks(1 / 1) if 0 else sys.addaudithook(lambda *_: 1 / 0)",
    ],
)
def test_program_that_breaks_its_interpreter_breaks_only_that(code: str) -> None:
    """Whatever becomes of it is one of our outcomes, and the next run knows nothing of it."""
    assert python(code).outcome in {"exited", "trapped", "limited"}


def test_random_numbers_are_new_in_every_run() -> None:
    """A snapshot hands nobody the numbers of another; a policy with a seed does."""
    code = "import random, uuid, secrets; print(random.random(), uuid.uuid4(), secrets.token_hex())"
    drawn = [python(code).text.split() for _ in range(3)]

    assert 9 == len({number for run_of_it in drawn for number in run_of_it})


def test_neighbours_of_a_script_are_not_granted_with_it(tmp_path: Path) -> None:
    """Handing in a text opens nothing: neither to import nor to read."""
    (tmp_path / "secret.py").write_text("KEY = 's3cr3t'", encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\nprint(os.path.exists(__file__), sys.path[0] != '')\n"
        "try: print(open(__file__).read())\nexcept OSError: print('refused')\nimport secret",
        encoding="utf-8",
    )
    result = run(script)

    assert "True\nrefused\n" == result.text.partition(" ")[2]
    assert "ModuleNotFoundError" == raised(result)
