"""
Docs are programs: what a page shows is what happens.

A `console` block is a terminal: lines after `$ ` are run by bash, the rest is all they print, `…` stands for anything.
A `python` block is run as it stands; its lines `#> …` are all it prints. The blocks of a page share one directory,
which has the repository's `crates` and `examples` in it, and one Python namespace. Other blocks are not run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import linecache
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
# What a page needs beside what every other does. Those of `dev` are there wherever the tests are set up.
NEEDS = {
    "bake-a-program.md": ("componentize_py", "dev"),
    "serve-formulas-with-fastapi.md": ("fastapi", "dev"),
    "use-with-dask.md": ("distributed", "dev"),
    "use-with-ray.md": ("ray", "ray"),
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


class Shell:
    """A terminal that remembers its directory and the last exit code, as a reader's does."""

    def __init__(self, directory: Path, scratch: Path) -> None:
        self._directory = directory
        self._scratch = scratch / "directory"
        self._code = 0

    def run(self, command: str) -> str:
        """Run one command and give everything it printed."""
        remember = f"code=$?; pwd > {shlex.quote(str(self._scratch))}; exit $code"
        ended = subprocess.run(
            ["bash", "-c", f"(exit {self._code})\n{command}\n{remember}"],
            cwd=self._directory,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        self._code = ended.returncode
        self._directory = Path(self._scratch.read_text(encoding="utf-8").strip())
        printed = ended.stdout.decode()
        return f"{printed}\n" if printed and not printed.endswith("\n") else printed


def blocks(page: Path) -> Iterator[tuple[str, str, int]]:
    """Give each block that is run: its language, its text and the line it starts at."""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence" and token.info.strip() in {"python", "console"}:
            yield token.info.strip(), token.content, (token.map or [0])[0] + 1


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Give each command of a terminal, and what is printed under it; `> ` continues a command."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        first, *rest = part.splitlines()
        more = 0
        while more < len(rest) and rest[more].startswith(">"):
            more += 1
        command = "\n".join([first, *(line[1:].removeprefix(" ") for line in rest[:more])])
        yield command, "".join(f"{line}\n" for line in rest[more:])


def matches(expected: str, printed: str) -> bool:
    """Compare, `…` standing for anything."""
    return re.fullmatch(".*?".join(map(re.escape, expected.split("…"))), printed, re.DOTALL) is not None


def printed_by(text: str, namespace: dict[str, object], where: str) -> str:
    """Run Python and give what it printed; its functions have source, as those of a file."""
    linecache.cache[where] = (len(text), None, text.splitlines(keepends=True), where)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, where, "exec"), namespace)  # noqa: S102 - they are our own pages
    return printed.getvalue()


@pytest.fixture
def environment() -> Iterator[None]:
    """Put back the variables that a page sets: they are its reader's, and no other test's."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("compiled", "environment")
@pytest.mark.parametrize(
    "page",
    [
        # The compiler of C may have to be compiled itself, once for this machine.
        pytest.param(page, id=str(page.relative_to(ROOT)), marks=[pytest.mark.timeout(600)] * (page.stem == "run-c"))
        for page in PAGES
    ],
)
def test_page_is_true(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Every block of a page does what the page says, from its first to its last."""
    if named := re.fullmatch(r"run-(c|lua|sqlite)", page.stem):
        pytest.importorskip(f"ringfence_language_{named[1]}", reason="NOT TESTED: the language pack is not installed")
        if named[1] == "c":
            request.getfixturevalue("compiled_c")
    module, lock = NEEDS.get(page.name, ("pytest", "dev"))
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"there is no `{module}`: pip install -r requirements/{lock}.txt")
    desk = tmp_path / "clone"
    desk.mkdir()
    for name in ("crates", "examples"):
        (desk / name).symlink_to(ROOT / name)
    monkeypatch.chdir(desk)
    monkeypatch.setenv("TERM", "dumb")
    shell = Shell(desk, tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}

    for language, text, line in blocks(page):
        where = f"{page.relative_to(ROOT)}:{line}"
        if language == "python":
            expected = "".join(f"{shown}\n" for shown in re.findall(r"^ *#> ?(.*)$", text, re.MULTILINE))
            printed = printed_by(text, namespace, where)
            assert matches(expected, printed), f"{where} prints\n{printed}"
            continue
        for command, expected in commands(text):
            printed = shell.run(command)
            assert matches(expected, printed), f"{where}: `{command}` prints\n{printed}"


def test_snippets_are_found() -> None:
    """A reader that finds nothing would pass everything."""
    assert {"python", "console"} == {language for page in PAGES for language, _, _ in blocks(page)}


def test_needs_of_pages_are_pinned() -> None:
    """A page whose need no lock has would be skipped for ever."""
    assert NEEDS.keys() <= {page.name for page in PAGES}
    for module, lock in NEEDS.values():
        assert (
            f"\n{module.replace('_', '-')}=="
            in f"\n{(ROOT / 'requirements' / f'{lock}.txt').read_text(encoding='utf-8')}"
        )
