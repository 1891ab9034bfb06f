"""Hints for a path that was refused."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from ringfence import Denial, Dir, Policy
from ringfence.cli._dirs import to_dir
from ringfence.cli._paths import path_hint

if TYPE_CHECKING:
    from pathlib import Path

TMP = "/tmp"  # noqa: S108 - the guest's


def hint(kind: str, what: str, *before: tuple[str, str], policy: Policy | None = None) -> str | None:
    """Give the hint for the last of some denials."""
    denials = [Denial(kind, what, 1, float(at)) for at, (kind, what) in enumerate((*before, (kind, what)))]
    return path_hint(denials[-1], policy or Policy(), denials)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand where there are a folder and a file."""
    (tmp_path / "data").mkdir()
    for name in ("input.csv", "data/n.db", "data/c:d", "e:f"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "what", "flag"),
    [
        ("read", "/etc/passwd", "--dir /etc:/etc"),
        ("write", "/etc/new", "--dir /etc:/etc:rw"),
        ("read", "/input.csv", "--dir input.csv:/input.csv"),
        ("write", "/input.csv", "--dir input.csv:/input.csv:rw"),
        ("read", "/data/n.db", "--dir data:/data"),
        ("write", "/data/new", "--dir data:/data:rw"),
        ("write", "/new.db", "--dir .:/:rw"),
    ],
)
def test_what_the_host_has_is_granted(kind: str, what: str, flag: str) -> None:
    """Its directory, or alone where that is the whole of the host; named as it is here."""
    assert f"add `{flag}`" == hint(kind, what)


@pytest.mark.parametrize("what", ["/nope", "/data/nope", "/nope/x", "/etc/nope"])
def test_what_the_host_does_not_have_has_a_place_to_fill_in(what: str) -> None:
    """It may lie elsewhere."""
    assert hint("read", what) == "grant its directory with `--dir HOST:GUEST`"
    if what == "/nope/x":
        assert hint("write", what) == "grant its directory with `--dir HOST:GUEST:rw`"


@pytest.mark.parametrize("what", ["/socket.so", "/node:fs", "/dev/nope", "/dev/null", "/dev"])
def test_what_no_flag_lets_read_has_no_hint(what: str) -> None:
    """A loader looked for a module, or nothing there is granted."""
    assert hint("read", what) is None


@pytest.mark.parametrize("what", ["/dev/a/x", "/dev/new"])
def test_what_no_flag_lets_write_has_no_hint(what: str) -> None:
    """Nothing there is granted."""
    assert hint("write", what) is None


@pytest.mark.parametrize(
    ("kind", "what", "before"),
    [
        ("write", "/ab12", [("write", f"{TMP}/ab12"), ("write", "/var{TMP}/ab12")]),
        ("write", "/ab12", [("read", TMP)]),
        ("write", f"{TMP}/ab12", []),
        ("read", TMP, []),
        ("read", f"{TMP}/nope", []),
    ],
)
def test_temporary_file_is_granted_by_its_own_flag(kind: str, what: str, before: list[tuple[str, str]]) -> None:
    """Where there is no `/tmp`, interpreters try to make it at the root in the end."""
    assert "add `--tmp`" == hint(kind, what, *before)
    assert hint(kind, what, *before, policy=Policy(tmp=True)) is None


def test_file_of_the_host_that_is_temporary_is_granted_alone(here: Path) -> None:
    """`--tmp` is an empty one; and nobody is shown the whole of ours."""
    import tempfile

    with tempfile.NamedTemporaryFile(dir=TMP) as file:
        assert f"add `--dir {file.name}:{file.name}`" == hint("read", file.name), here


def test_journal_beside_a_database_needs_the_directory(here: Path) -> None:
    """That of a file that is granted alone, and never the whole of where the command stands."""
    alone = Policy(dirs=[Dir("data/n.db", at="/n.db", mode="rw")])
    deeper = Policy(dirs=[Dir("data/n.db", at="/x/y.db", mode="rw")])
    words = "which is granted alone: grant the directory"

    assert f"it lies beside `/n.db`, {words}, `--dir {here}/data:/data:rw`, and say `/data/n.db`" == hint(
        "write", "/n.db-journal", policy=alone
    )
    assert f"it lies beside `/x/y.db`, {words}, `--dir {here}/data:/x:rw`, and say `/x/n.db`" == hint(
        "write", "/x/y.db-wal", policy=deeper
    )


@pytest.mark.parametrize(("what", "host", "at"), [("/data/c:d", "data", "/data"), ("/e:f", "e:f", "/e:f")])
def test_pasted_flag_is_read_as_what_it_says(what: str, host: str, at: str) -> None:
    """A colon in a path is told from the colons of the flag by the mode."""
    [_, flag] = shlex.split(str(hint("read", what)).partition("`")[2].rstrip("`"))

    assert (host, at, "ro") == ((read := to_dir(flag)).host, read.at, read.mode)


def test_path_that_no_flag_can_say_has_a_place_to_fill_in(here: Path) -> None:
    """What looks like the colon before the guest's path."""
    (here / "a:").mkdir()
    (here / "a:" / "b").mkdir()
    (here / "a:" / "b" / "c").touch()

    assert "grant its directory with `--dir HOST:GUEST`" == hint("read", "/a:/b/c")


@pytest.mark.parametrize("folder", ["x; rm -rf ~", "$(reboot)", "`reboot`", "a'b"])
def test_pasted_hint_runs_nothing_the_guest_chose(here: Path, folder: str) -> None:
    """A path is quoted for a shell: the guest wrote it, a person may paste it."""
    (here / folder).mkdir()
    (here / folder / "y").touch()
    pasted = str(hint("read", f"/{folder}/y")).split("add `", 1)[1].removesuffix("`")

    assert ["--dir", f"{folder}:/{folder}"] == shlex.split(pasted)
