"""The command line of Python, judged by the same version of CPython on this machine."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from languages.conftest import Interpreter

# The first of them compiles the pack.
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled")]

SCRIPTS: dict[str, str | bytes] = {
    "argv.py": "import sys\nprint(sys.argv, __name__, __file__, __spec__, sys.path[0], sorted(globals()))\n",
    "raises.py": "def f(x):\n    return 1 / x\n\n\n"
    "try:\n    f(0)\nexcept ZeroDivisionError as error:\n    raise KeyError('k') from error\n",
    "group.py": "raise ExceptionGroup('many', [ValueError('a'), TypeError('b')])\n",
    "notes.py": "error = ValueError('a')\nerror.add_note('and more')\nraise error\n",
    "library.py": "import json\njson.loads('{')\n",
    "syntax.py": "print('not printed')\nif True\n    pass\n",
    "indent.py": "print(1)\n  x = 2\n",
    "bytes.py": b"# \xff\nprint(1)\n",
    "latin.py": b"# coding: latin-1\nprint(len('\xe9'), '\xe9' == chr(233))\n",
    "mark.py": b"\xef\xbb\xbfprint('after a mark')\n1 / 0\n",
    "nul.py": b"x = 1\n\0y = 2\n",
    "skip.py": "not python at all\nprint('second line', __file__)\n",
    "open.py": "file = open(__file__ + '.out', 'w')\nfile.write('kept')\nprint('end')\n",
    "delete.py": "class A:\n    def __del__(self):\n        print('deleted')\n\n\na = A()\nprint('end')\n",
    "atexit.py": "import atexit, sys\natexit.register(print, 'first')\natexit.register(print, 'last')\nsys.exit(3)\n",
    "exits.py": "import atexit\natexit.register(lambda: 1 / 0)\nprint('end')\n",
    "module.py": "import sys\nprint(__name__, sys.argv[1:], __spec__.name)\nraise OSError(None, 'gone')\n",
    "random.py": "value = 'mine'\n",
    "shadow.py": "import random\nprint(random.value)\n",
    "neighbour.py": "import argv\n",
    "missing.py": "import no_such_module\n",
    "package/__init__.py": "",
    "package/__main__.py": "import sys\nprint('package', __package__, sys.argv[1:])\n",
    "folder/__main__.py": "import sys, beside\nprint('folder', sys.argv[1:], beside.x, sys.path[0])\n",
    "folder/beside.py": "x = 5\n",
    "empty/nothing.txt": "",
}
CODE = [
    "import sys; print(sys.argv, sys.orig_argv[1:], __name__, sorted(globals()), sys.path[0] == '')",
    "1/0",
    "def f(:",
    "import sys; sys.exit(3)",
    "import sys; sys.exit('message')",
    "import sys; sys.exit(256)",
    "import sys; sys.exit(-1)",
    "import sys; sys.exit(None)",
    "import sys; sys.exit(True)",
    "import sys; sys.exit(1.5)",
    "import sys; sys.exit(2 ** 70)",
    "import sys; sys.exit((1, 2))",
    "raise SystemExit",
    "raise SystemExit(7)",
    "exit(4)",
    "import os; os._exit(5)",
    "raise KeyboardInterrupt",
    "raise Exception",
    "raise BaseException('b')",
    "import sys; sys.stdout.close()",
    "import sys; print('o'); print('e', file=sys.stderr); print(sys.stdout.encoding, sys.stdin.encoding)",
    "import sys; sys.excepthook = lambda *a: print('hook', a[0].__name__); 1/0",
    "import sys; print(sys.flags.optimize, __debug__, sys.flags.isolated, sys.flags.safe_path, sys.flags.no_site)",
    "import os; print(os.environ.get('A'), os.environ['HOME'], len(os.environ) > 2)",
    "import os; os.environ['B'] = 'b'; print(os.getenv('B'), os.path.exists('/no/such'))",
    "print(input()); print(input())",
    "import sys; print(sys.stdin.read(), sys.stdin.buffer.read())",
    "print('\\u00e9\\U0001f600')",
    "print('\\ud800')",
    "import warnings; warnings.warn('w', DeprecationWarning)",
    "import traceback\ntry:\n    [][1]\nexcept IndexError:\n    traceback.print_exc()",
    "def f(n): return f(n + 1)\nf(0)",
    "x: int = 1; print(__annotations__)",
    "assert False, 'why'",
    "print(type(help), type(copyright), type(quit))",
    "name",
    "import sys; print(sys.version.split()[0], sys.implementation.name, sys.maxunicode, sys.byteorder)",
]
LINES: list[list[str]] = [
    ["-c"],
    ["-Z"],
    ["--nope"],
    ["-V"],
    ["--version"],
    ["-O", "-c", "assert False; print(__debug__)"],
    ["-OO", "-c", "def f(): 'doc'\nprint(f.__doc__)"],
    ["-W", "error", "-c", "import warnings; warnings.warn('w')"],
    ["-W", "nonsense", "-c", "print(1)"],
    ["-W"],
    ["-b", "-c", "print(str(b'a'))"],
    ["-bb", "-c", "print(str(b'a'))"],
    ["-X", "dev", "-c", "import sys; print(sys.flags.dev_mode, sys._xoptions)"],
    ["-Xa=b", "-X", "c", "-c", "import sys; print(sys._xoptions)"],
    ["-I", "-c", "import sys; print(sys.flags.isolated, sys.flags.ignore_environment, '' in sys.path)"],
    ["-P", "-c", "import sys; print('' in sys.path, sys.flags.safe_path)"],
    ["-uc", "print(1)", "-c", "2"],
    ["-sSEBqdv", "-c", "print(1)"][1:],
    ["-m", "json.tool"],
    ["-m", "no_such_module"],
    ["-m", "base64", "-t"],
    ["-", "a", "b"],
    [],
    ["--", "OWN/argv.py", "-x", "--", "y"],
    ["OWN/no_such.py"],
    ["OWN/empty"],
    ["OWN/folder", "a", "-b"],
    ["OWN/archive", "a"],
    ["-x", "OWN/skip.py"],
    ["-m", "module", "z"],
    ["-m", "package", "a"],
    ["-Im", "module"],
    *([f"OWN/{name}", "a", "b c", "é"] for name in sorted(SCRIPTS) if "/" not in name and name != "skip.py"),
]
STDIN = b'{"a": [1, 2]}\n'


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Write the scripts."""
    for name, text in SCRIPTS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("__main__.py", "import sys\nprint('archive', sys.argv[1:])\n1 / 0\n")
    return tmp_path


@pytest.mark.parametrize("code", CODE)
def test_code_does_what_it_does_natively(code: str, python: Interpreter, native: Interpreter) -> None:
    """Exit code, output and traceback are the same."""
    env = {"A": "é"}

    assert native("-c", code, "x", input=STDIN, env=env) == python("-c", code, "x", input=STDIN, env=env)


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_command_line_does_what_it_does_natively(
    line: list[str], own: Path, python: Interpreter, native: Interpreter
) -> None:
    """Options, files, modules, folders, archives, standard input, and every wrong use."""
    args = [word.replace("OWN", str(own)) for word in line]
    env = {"PYTHONPATH": str(own)}
    expected, found = (
        each(*args, input=STDIN if "json.tool" in line else b"print(1)\n1 / 0\n", env=env) for each in (native, python)
    )

    assert expected == found
    if "open.py" in str(line):
        assert "kept" == (own / "open.py.out").read_text(encoding="utf-8")
