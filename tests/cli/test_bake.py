"""`ringfence bake`: one script, made into a program once, and run by the wasmtime command."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Command, Ended

SCRIPT = '''\
"""Do what its first argument says."""
import asyncio
import os
import sys

import shop


def main(act, *rest):
    if act == "hello":
        print("hello", *rest, sys.stdin.read(), os.environ.get("NAME"), __name__)
    elif act == "library":
        import decimal, email.message, html.parser, sqlite3, statistics, tomllib, unittest.mock, zoneinfo
        from importlib.resources import files
        print(decimal.Decimal("0.1") * 3, sqlite3.connect(":memory:").execute("select 6 * 7").fetchone())
        print(statistics.mean([1, 2]), files("shop").joinpath("prices.txt").read_text().strip())
    elif act == "wait":
        async def gathered():
            await asyncio.sleep(0.01)
            return await asyncio.gather(*(asyncio.sleep(0, number) for number in range(3)))
        print(asyncio.run(gathered()))
    elif act == "random":
        import random, uuid
        print(random.random(), uuid.uuid4())
    elif act == "exit":
        print("before", flush=True)
        sys.exit({"0": 0, "7": 7}.get(rest[0], rest[0]))
    elif act == "raise":
        shop.fail()
    elif act == "seen":
        print(shop.SEEN)


if __name__ == "__main__":
    main(*sys.argv[1:])
'''
# What is imported is run while the program is made: it looks around.
SHOP = """\
import os
SEEN = {"variables": sorted(os.environ), "files": []}
for path in ("/etc/passwd", "/proc/self/environ", "/tmp", "/root", "/home"):
    try:
        SEEN["files"] += [path] if os.stat(path) else []
    except OSError:
        pass


def fail():
    raise LookupError("no such tea")
"""


@pytest.fixture(scope="module")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bake the script once; compile it for the wasmtime command, once."""
    for module in ("componentize_py", "wasmtime_cli"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"there is no `{module}`: pip install -r requirements/dev.txt")
    folder = tmp_path_factory.mktemp("baked")
    folder.joinpath("app.py").write_text(SCRIPT)
    package = folder / "shop"
    package.mkdir()
    package.joinpath("__init__.py").write_text(SHOP)
    package.joinpath("prices.txt").write_text("tea 3\n")
    command = [sys.executable, "-m", "ringfence", "bake", "--json", "--include", "shop", "app.py"]
    made = subprocess.run(
        command, cwd=folder, env={**os.environ, "API_TOKEN": "s3cr3t"}, capture_output=True, text=True, check=False
    )
    assert (0, "") == (made.returncode, made.stderr)
    document = json.loads(made.stdout)
    assert ("app.wasm", (folder / "app.wasm").stat().st_size) == (document["program"], document["bytes"])
    assert ["app.py", "app.wasm", "shop"] == sorted(entry.name for entry in folder.iterdir())

    spec = importlib.util.find_spec("wasmtime_cli")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    # pip leaves it without the right to be executed.
    wasmtime = folder / "wasmtime"
    shutil.copyfile(Path(spec.submodule_search_locations[0]) / "wasmtime", wasmtime)
    wasmtime.chmod(0o700)
    subprocess.run([wasmtime, "compile", "app.wasm", "-o", "app.cwasm"], cwd=folder, check=True)
    return folder


@pytest.fixture
def run(baked: Path) -> Callable[..., Ended]:
    """Run it on the wasmtime command, with nothing granted."""
    from conftest import Ended

    def run(*args: str, input: bytes = b"") -> Ended:
        words: list[str | Path] = [
            baked / "wasmtime",
            "run",
            "--allow-precompiled",
            "--env",
            "NAME=tea",
            "app.cwasm",
            *args,
        ]
        ended = subprocess.run(words, cwd=baked, input=input, capture_output=True, check=False)
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return run


def test_program_has_arguments_input_and_variables(run: Callable[..., Ended]) -> None:
    """And it is `__main__`, as the script is."""
    assert came_to(0, "hello a b c in tea __main__\n") == str(run("hello", "a b", "c", input=b"in"))


def test_whole_library_and_files_of_packages_are_inside(run: Callable[..., Ended]) -> None:
    """What was not imported when it was made is imported when it runs, with no directory granted."""
    assert came_to(0, "0.3 (42,)\n1.5 tea 3\n") == str(run("library"))


def test_event_loop_runs(run: Callable[..., Ended]) -> None:
    """Asyncio does without the sockets that it would wake itself by."""
    assert came_to(0, "[0, 1, 2]\n") == str(run("wait"))


def test_random_numbers_are_drawn_anew(run: Callable[..., Ended]) -> None:
    """No state of a generator is baked in."""
    assert run("random").stdout != run("random").stdout


def test_exit_codes_are_those_that_wasi_has(run: Callable[..., Ended]) -> None:
    """0 is 0, and anything else 1; a text goes to standard error."""
    assert came_to(0, "before\n") == str(run("exit", "0"))
    assert came_to(1, "before\n") == str(run("exit", "7"))
    assert came_to(1, "before\n", "no tea\n") == str(run("exit", "no tea"))


def test_traceback_has_the_scripts_lines_and_none_of_ours(run: Callable[..., Ended]) -> None:
    """Of the script, and of what it imports."""
    ended = run("raise")

    assert 1 == ended.exit_code
    assert "    main(*sys.argv[1:])\n" in ended.stderr
    assert '    raise LookupError("no such tea")\nLookupError: no such tea\n' in ended.stderr
    assert "ringfence_baked" not in ended.stderr


def test_what_is_imported_meanwhile_sees_nothing_of_the_host(run: Callable[..., Ended]) -> None:
    """No variable and no file of whoever bakes it."""
    seen = run("seen").stdout

    assert "'files': []" in seen
    assert "API_TOKEN" not in seen
    assert "PATH'" not in seen.replace("PYTHONPATH'", "")


def test_script_that_cannot_be_baked_says_why(ringfence: Command, tmp_path: Path) -> None:
    """In the words of its own Python, on one line; nothing is left behind."""
    if importlib.util.find_spec("componentize_py") is None:
        pytest.skip("there is no `componentize_py`: pip install -r requirements/dev.txt")
    tmp_path.joinpath("wrong.py").write_text("def f(:\n")

    assert 127 == ringfence("bake", "nowhere.py").exit_code
    tmp_path.joinpath("a.wasm").write_bytes(b"\0asm")
    assert "it is a WebAssembly program already" in ringfence("bake", "a.wasm").stderr
    tmp_path.joinpath("a.js").write_text("1\n")
    told = ringfence("bake", "a.js").stderr
    assert told.startswith("error: `a.js` cannot be baked: its name ends as scripts in `javascript`")
    assert "only Python is baked\nhint: run it: `ringfence run a.js`" in told
    ended = ringfence("bake", "wrong.py")

    assert (2, "") == (ended.exit_code, ended.stdout)
    assert "error: `wrong.py` cannot be baked: SyntaxError: invalid syntax (wrong.py, line 1)\n" in ended.stderr
    assert not tmp_path.joinpath("wrong.wasm").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-o", "-", "app.py"), "error: `-` cannot be written: a program is a file"),
        (("-o", "app.py", "app.py"), "error: `app.py` cannot be written: it is the script itself"),
        (("-o", "./link.py", "app.py"), "error: `link.py` cannot be written: it is the script itself"),
        (("-o", "/dev/null", "app.py"), "error: `/dev/null` cannot be written: there is something else than a file"),
        (("-o", ".", "app.py"), "error: `.` cannot be written: there is something else than a file"),
        (("-o", "no/app.wasm", "app.py"), "error: `no/app.wasm` cannot be written: there is no folder `no`"),
        (("--include", "..", "app.py"), "error: `app.py` cannot be baked: `..` is no module"),
        (("--include", "/", "app.py"), "error: `app.py` cannot be baked: `/` is no module"),
        (("--include", "", "app.py"), "error: `app.py` cannot be baked: `.` is no module"),
        (("--include", "nowhere.py", "app.py"), "error: `app.py` cannot be baked: `nowhere.py` cannot be read"),
    ],
)
def test_wrong_words_are_told_before_anything_is_made(
    ringfence: Command, tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    """Nothing is replaced that is no program: not the script, and no device."""
    if importlib.util.find_spec("componentize_py") is None:
        pytest.skip("there is no `componentize_py`: pip install -r requirements/dev.txt")
    tmp_path.joinpath("app.py").write_text("print(1)\n")
    tmp_path.joinpath("link.py").symlink_to("app.py")

    ended = ringfence("bake", *flags)

    assert (2, "") == (ended.exit_code, ended.stdout)
    assert words in ended.stderr
    assert "print(1)\n" == tmp_path.joinpath("app.py").read_text()
    assert ["app.py", "guests", "link.py"] == sorted(entry.name for entry in tmp_path.iterdir())
    assert not Path("/dev/null").is_file()


def test_script_that_is_ended_by_what_it_imports_says_so(ringfence: Command, tmp_path: Path) -> None:
    """The interpreter is gone then, without a word."""
    if importlib.util.find_spec("componentize_py") is None:
        pytest.skip("there is no `componentize_py`: pip install -r requirements/dev.txt")
    tmp_path.joinpath("ends.py").write_text("import sys\nsys.exit(3)\n")
    tmp_path.joinpath("app.py").write_text("import ends\n")

    ended = ringfence("bake", "--include", "ends.py", "app.py")
    assert (2, "") == (ended.exit_code, ended.stdout)
    assert "`app.py` cannot be baked: it is ended by what it imports" in ended.stderr


def test_exit_codes_are_kept_where_that_is_asked_for(ringfence: Command, baked: Path, tmp_path: Path) -> None:
    """On the wasmtime command without a flag. A program is written where a link leads."""
    tmp_path.joinpath("ends.py").write_text("import sys\nsys.exit(int(sys.argv[1]))\n")
    tmp_path.joinpath("link.wasm").symlink_to("program.wasm")

    assert 0 == ringfence("bake", "--exit-codes", "-o", "link.wasm", "ends.py").exit_code
    assert tmp_path.joinpath("link.wasm").is_symlink()
    program = tmp_path / "program.cwasm"
    subprocess.run([baked / "wasmtime", "compile", tmp_path / "program.wasm", "-o", program], check=True)
    for code, ends_with in ((0, 0), (3, 3), (255, 255), (256, 255), (-1, 255)):
        command: list[str | Path] = [baked / "wasmtime", "run", "--allow-precompiled", program, str(code)]
        assert ends_with == subprocess.run(command, check=False).returncode


def came_to(code: int, stdout: str, stderr: str = "") -> str:
    """Write what a command came to."""
    return f"exit: {code}\n--- stdout\n{stdout}--- stderr\n{stderr}"
