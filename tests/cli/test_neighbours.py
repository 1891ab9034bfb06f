"""The hint after a script that failed to import what lies beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Dir, Policy, Result
from ringfence._engine import core
from ringfence._source import Runnable, runnable_of
from ringfence.cli._neighbours import header_hint, neighbour_hint

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("shout")

TEXT = "import os\nfrom helper import thing\nprint('util')\n"


def ended(*denials: tuple[str, str], exit_code: int = 1) -> Result:
    """Make the result of a run that was refused these."""
    usage: Any = (0.5, 0.25, 65536, 6, None)
    entries = [(kind, what, 1, float(at)) for at, (kind, what) in enumerate(denials)]
    return Result(core.Result("exited", exit_code, b"", b"", None, None, None, False, usage, entries))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory with a script and its neighbours, and go there."""
    desk = tmp_path / "desk"
    (desk / "sub").mkdir(parents=True)
    for place in (desk, desk / "sub"):
        (place / "main.shout").write_text(TEXT, encoding="utf-8")
        for name in ("helper.shout", "util.shout", "os.txt"):
            (place / name).touch()
    monkeypatch.chdir(desk)
    return desk


def script(path: str) -> Runnable:
    """Pick the script."""
    return runnable_of(path, None, None)


def test_neighbour_is_named_with_its_directory(desk: Path) -> None:
    """The directory is named as the script's path has it, so that the guest finds it where it looks."""
    start = "`helper.shout` lies beside the script, which is handed in alone, and the policy does not grant it: add "
    absolute = str(desk / "main.shout")

    assert f"{start}`--dir .`, or leave it so" == neighbour_hint(ended(), Policy(), script("main.shout"))
    assert f"{start}`--dir sub`, or leave it so" == neighbour_hint(ended(), Policy(), script("sub/main.shout"))
    assert f"{start}`--dir {desk}`, or leave it so" == neighbour_hint(ended(), Policy(), script(absolute))


def test_directory_above_is_named_with_its_place(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest has no directory above its own: what the script's directory is there is written out."""
    monkeypatch.chdir(desk / "sub")

    assert "add `--dir ..:/`, or" in str(neighbour_hint(ended(), Policy(), script("../main.shout")))


def test_refusal_beside_the_script_leads_here_too(desk: Path) -> None:
    """But one of something else is what the run more likely failed of."""
    del desk
    there = script("sub/main.shout")

    assert neighbour_hint(ended(("read", "/sub/helper.shout")), Policy(), there)
    assert neighbour_hint(ended(("read", "/sub")), Policy(), there)
    assert neighbour_hint(ended(("read", "/etc/passwd")), Policy(), there) is None


def test_no_hint_where_it_would_not_help(desk: Path) -> None:
    """A run that went well, a directory that is granted, no neighbour of such a name, code, and programs."""
    granted = Policy(dirs=[Dir(desk / "sub", at="/sub")])

    assert neighbour_hint(ended(exit_code=0), Policy(), script("main.shout")) is None
    assert neighbour_hint(ended(), granted, script("sub/main.shout")) is None
    assert neighbour_hint(ended(), Policy(), runnable_of(None, "import helper", "shout")) is None
    (desk / "helper.shout").unlink()
    assert neighbour_hint(ended(), Policy(), script("main.shout")) is None


def test_header_beside_the_script_is_named_with_its_flag(desk: Path) -> None:
    """By what the compiler said; nothing where it is not there, or it said something else."""
    (desk / "sub" / "x.h").touch()
    words = "sub/a.c:1:10: fatal error: 'x.h' file not found\n"
    hint = header_hint(words, "sub/a.c")

    assert hint is not None
    assert "add `--source sub/x.h`, or `--dir sub`" in hint
    assert "`--dir ../desk/sub:/source`" in (header_hint(words, "../desk/sub/a.c") or "")
    for said, path in ((words, "a.c"), (words, None), ("error: 'x.h'", "sub/a.c"), ("", "sub/a.c")):
        assert header_hint(said, path) is None
    assert header_hint("fatal error: '../../../etc/passwd\n' file not found", "sub/a.c") is None
