"""Changes of a run on their way to the host: somebody kills us, somebody else writes, the guest lies."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ringfence import Conflict, Dir, HostError, Limits, Policy, PolicyError, Result
from security.guest import CREAT, DIRECTORY, FD_AT, LAST, READ, ROOT_FD, WRITE, call, guest, inventory, opened
from security.isolated import Sandbox, close_workers, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from security.guest import Call

pytestmark = pytest.mark.usefixtures("isolation")

GUESTS = Path(__file__).parents[2] / "crates" / "guests"


def written(path: str, grant: Dir) -> Result:
    """Let a guest write a file."""
    return run(GUESTS / "write_file.wat", [path], policy=Policy(dirs=[grant])).check()


def acted(grant: Dir, *calls: Call) -> Result:
    """Let a guest make calls that all are answered."""
    result = run(guest(*calls), policy=Policy(dirs=[grant]))
    assert {"00"} == set(result.text.split()) or {"0"} == set(result.text.split()), result.text
    return result


def test_guest_writes_nothing_to_the_host_until_it_is_applied(house: Path) -> None:
    """Every way to change something, under an overlay; the list is of what is different."""
    before = inventory(house)
    result = acted(
        Dir(house / "granted", at="/data", mode="overlay"),
        opened("data/new.txt", oflags=CREAT, rights=READ | WRITE),
        call("fd_filestat_set_size", LAST, 5),
        call("path_create_directory", ROOT_FD, "data/dir"),
        call("path_rename", ROOT_FD, "data/sub", ROOT_FD, "data/dir/moved"),
        call("path_link", ROOT_FD, 0, "data/new.txt", ROOT_FD, "data/second.txt"),
        call("path_symlink", "file.txt", ROOT_FD, "data/link"),
        call("path_unlink_file", ROOT_FD, "data/file.txt"),
    )

    assert before == inventory(house)
    assert [
        ("added", "/data/dir"),
        ("added", "/data/dir/moved"),
        ("added", "/data/dir/moved/deep.txt"),
        ("deleted", "/data/file.txt"),
        ("added", "/data/link"),
        ("added", "/data/new.txt"),
        ("added", "/data/second.txt"),
        ("deleted", "/data/sub"),
        ("deleted", "/data/sub/deep.txt"),
    ] == [(change.act, change.path) for change in result.changes]
    assert b"granted\n" == result.files["/data/dir/moved/deep.txt"]
    assert "file.txt" == result.changes.target("/data/link")
    with pytest.raises(KeyError):
        result.changes.target("/data/new.txt")
    assert 9 == result.changes.apply()
    assert "granted\n" == (house / "granted" / "dir" / "moved" / "deep.txt").read_text()
    assert "file.txt" == str((house / "granted" / "link").readlink())
    assert b"\0" * 5 == (house / "granted" / "second.txt").read_bytes()
    assert not (house / "granted" / "sub").exists()


def test_link_that_leads_out_is_not_applied(house: Path) -> None:
    """A guest cannot have us plant a door for the next program of the host."""
    result = acted(
        Dir(house / "granted", at="/data", mode="overlay"), call("path_symlink", "../secret.txt", ROOT_FD, "data/door")
    )
    with pytest.raises(PolicyError, match="may lead out"):
        result.changes.apply()

    assert not os.path.lexists(house / "granted" / "door")


def test_directory_that_became_a_link_is_not_followed(house: Path) -> None:
    """What the host put in the way since the run leads nowhere."""
    result = written("/data/sub/deep.txt", Dir(house / "granted", at="/data", mode="overlay"))
    (house / "granted" / "sub").rename(house / "kept")
    (house / "granted" / "sub").symlink_to("../outside")
    with pytest.raises(Conflict):
        result.changes.apply()
    with pytest.raises(HostError):
        result.changes.apply(overwrite=True)

    assert ["secret.txt"] == os.listdir(house / "outside")


def test_granted_file_is_applied_as_a_file_in_a_directory_is(house: Path) -> None:
    """In place, with its permissions and without set-id bits, and with nothing left beside it."""
    file = house / "granted" / "file.txt"
    file.chmod(0o4750)
    result = written("/in.txt", Dir(file, at="/in.txt", mode="overlay"))

    assert "granted\n" == file.read_text()
    assert [("modified", "/in.txt", 8, 7)] == [
        (change.act, change.path, change.size_before, change.size) for change in result.changes
    ]
    assert 1 == result.changes.apply()
    assert ("written", 0o750) == (file.read_text(), stat.S_IMODE(file.stat().st_mode))
    assert ["file.txt", "sub"] == sorted(os.listdir(house / "granted"))
    assert 0 == result.changes.apply()


def replace(file: Path) -> None:
    """Save as editors do."""
    (file.parent / "other").write_text("by somebody else")
    (file.parent / "other").rename(file)


def link(file: Path) -> None:
    """Put a link in its place."""
    file.unlink()
    file.symlink_to("../secret.txt")


@pytest.mark.parametrize("change", [lambda file: file.write_text("by somebody else"), replace, link, Path.unlink])
def test_granted_file_that_the_host_changed_is_a_conflict(house: Path, change: Callable[[Path], None]) -> None:
    """Written, replaced, gone, or become a link, which is not followed even when it is overwritten."""
    file = house / "granted" / "file.txt"
    result = written("/in.txt", Dir(file, at="/in.txt", mode="overlay"))
    change(file)
    before = inventory(house)
    with pytest.raises(Conflict, match=r"/in\.txt"):
        result.changes.apply()

    assert before == inventory(house)
    assert 1 == result.changes.apply(overwrite=True)
    assert "written" == file.read_text()
    assert not file.is_symlink()
    assert "SECRET\n" == (house / "secret.txt").read_text()


def test_directory_around_a_granted_file_swapped_for_a_link_leads_nowhere(house: Path) -> None:
    """Its directory was opened when the policy was made; another in its place gets nothing."""
    result = written("/in.txt", Dir(house / "granted" / "file.txt", at="/in.txt", mode="overlay"))
    (house / "granted").rename(house / "kept")
    (house / "outside" / "file.txt").write_text("not theirs")
    (house / "granted").symlink_to("outside")

    assert 1 == result.changes.apply()
    assert "not theirs" == (house / "outside" / "file.txt").read_text()
    assert "written" == (house / "kept" / "file.txt").read_text()


def test_changes_of_each_run_are_its_own(house: Path) -> None:
    """One sandbox, one worker: what a run wrote is not in the next, and stays readable while others run."""
    sandbox = Sandbox(
        GUESTS / "write_file.wat", policy=Policy(dirs=[Dir(house / "granted", at="/data", mode="overlay")])
    )
    results = [sandbox.run([f"/data/{number}"]).check() for number in range(5)]

    assert [[f"/data/{number}"] for number in range(5)] == [[*result.files] for result in results]
    assert {b"written"} == {result.files[path] for result in results for path in result.files}


def test_nothing_of_a_run_stays_on_the_disk(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Private bytes go with their result, and what a worker has with the worker."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    grants = [Dir(house / "granted", at="/data", mode="overlay"), Dir.memory({"a": b"x"}, at="/in")]
    for path in ("/data/new.txt", "/in/a"):
        result = run(GUESTS / "write_file.wat", [path], policy=Policy(dirs=grants)).check()
        assert [path] == [*result.files]
        del result
    close_workers()

    assert [] == os.listdir(scratch)


def test_memory_takes_every_change_and_reaches_no_host(house: Path) -> None:
    """A tree of bytes is written, moved and removed like any other, and begins anew with each run."""
    before = inventory(house)
    grant = Dir.memory({"file.txt": "granted\n", "sub/deep.txt": "granted\n"}, at="/data")
    for _ in range(2):
        result = acted(
            grant,
            opened("data/file.txt", rights=READ | WRITE),
            call("fd_filestat_set_size", LAST, 5),
            call("path_rename", ROOT_FD, "data/sub", ROOT_FD, "data/moved"),
            opened("data/moved", oflags=DIRECTORY),
            call("path_open", LAST, 1, "new", CREAT, WRITE, WRITE, 0, FD_AT),
        )
        assert [
            ("modified", "/data/file.txt"),
            ("added", "/data/moved"),
            ("added", "/data/moved/deep.txt"),
            ("added", "/data/moved/new"),
            ("deleted", "/data/sub"),
            ("deleted", "/data/sub/deep.txt"),
        ] == [(change.act, change.path) for change in result.changes]
        assert (b"grant", b"granted\n") == (result.files["/data/file.txt"], result.files["/data/moved/deep.txt"])

    assert before == inventory(house)


def test_nothing_writes_to_memory_that_is_only_read() -> None:
    """Every call that changes something is refused, and told."""
    result = run(
        guest(
            opened("data/file.txt", rights=WRITE),
            opened("data/new.txt", oflags=CREAT, rights=WRITE),
            call("path_create_directory", ROOT_FD, "data/dir"),
            call("path_rename", ROOT_FD, "data/file.txt", ROOT_FD, "data/other.txt"),
            call("path_link", ROOT_FD, 0, "data/file.txt", ROOT_FD, "data/other.txt"),
            call("path_symlink", "file.txt", ROOT_FD, "data/link"),
            call("path_unlink_file", ROOT_FD, "data/file.txt"),
            call("path_filestat_set_times", ROOT_FD, 1, "data/file.txt", 1, 1, 5),
            opened("data/file.txt"),
            call("fd_filestat_set_size", LAST, 0),
            call("fd_filestat_set_times", LAST, 1, 1, 5),
            opened("data", oflags=DIRECTORY),
            call("fd_filestat_set_times", LAST, 1, 1, 5),
        ),
        policy=Policy(dirs=[Dir.memory({"file.txt": "granted\n"}, at="/data", mode="ro")]),
    )

    assert [8, 11] == [index for index, errno in enumerate(result.text.split()) if int(errno) == 0]
    assert {"write"} == {denial.kind for denial in result.denials}
    assert [] == list(result.changes)


def test_totals_hold_in_memory_and_under_an_overlay(house: Path) -> None:
    """Bytes and names that are too many are refused with what a full disk gives, and noted."""
    for grant in (Dir.memory({"a": b"x" * 10}, at="/data"), Dir(house / "granted", at="/data", mode="overlay")):
        calls = (
            opened("data/new", oflags=CREAT, rights=WRITE),
            call("fd_filestat_set_size", LAST, 1 << 30),
            opened("data/other", oflags=CREAT, rights=WRITE),
        )
        policy = Policy(dirs=[grant], limits=Limits(disk=100, files=1))
        result = run(guest(*calls), policy=policy)

        assert [0, 51, 51] == [int(errno) for errno in result.text.split()]
        assert {"disk", "files"} == {denial.kind for denial in result.denials}


def test_paths_that_are_too_long_or_too_deep_are_refused_and_noted(tmp_path: Path) -> None:
    """Names of 255 bytes, paths of 4096, and 1024 names one below the other, whatever is granted."""
    for grant in (
        Dir(tmp_path, at="/data"),
        Dir(tmp_path, at="/data", mode="rw"),
        Dir(tmp_path, at="/data", mode="overlay"),
        Dir.memory(at="/data"),
    ):
        calls = (
            opened("data/" + "x" * 256),
            opened("data/" + "x/" * 2046),
            opened("data/" + "x/" * 1024),
            opened("data/" + "x" * 255),
        )
        result = run(guest(*calls), policy=Policy(dirs=[grant]))

        assert [37, 37, 37, 44] == [int(errno) for errno in result.text.split()], grant
        assert ["path"] * 3 == [denial.kind for denial in result.denials]
