"""Attacks with grants that overlap, and with a host that changes things under a grant while the guest runs."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Literal

import pytest

from ringfence import Dir, Policy, PolicyError
from security.guest import (
    CREAT,
    DIRECTORY,
    FD_AT,
    LAST,
    READ,
    ROOT_FD,
    TRUNC,
    WRITE,
    call,
    guest,
    inventory,
    opened,
    read,
)
from security.isolated import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from security.conftest import Attack

    Mode = Literal["ro", "rw", "overlay"]

pytestmark = pytest.mark.usefixtures("isolation")

MODES: tuple[Mode, ...] = ("ro", "rw", "overlay")
CROSSINGS = {
    "rename out": call("path_rename", ROOT_FD, "data/sub/deep.txt", ROOT_FD, "data/moved"),
    "rename in": call("path_rename", ROOT_FD, "data/file.txt", ROOT_FD, "data/sub/moved"),
    "rename onto": call("path_rename", ROOT_FD, "data/sub/deep.txt", ROOT_FD, "data/file.txt"),
    "rename the grant": call("path_rename", ROOT_FD, "data/sub", ROOT_FD, "data/moved"),
    "remove the grant": call("path_remove_directory", ROOT_FD, "data/sub"),
    "hard link in": call("path_link", ROOT_FD, 0, "data/file.txt", ROOT_FD, "data/sub/alias"),
    "hard link out": call("path_link", ROOT_FD, 0, "data/sub/deep.txt", ROOT_FD, "data/alias"),
    "up by name": opened("data/sub/../file.txt", oflags=TRUNC, rights=WRITE),
    "up by a detour": opened("data/sub/../sub/../file.txt", oflags=TRUNC, rights=WRITE),
    "up and new": opened("data/sub/../new.txt", oflags=CREAT, rights=WRITE),
}


@pytest.mark.parametrize("crossing", CROSSINGS.values(), ids=CROSSINGS.keys())
@pytest.mark.parametrize("outer", ["ro", "overlay"])
def test_what_may_be_written_inside_opens_nothing_around_it(
    attack: Attack, house: Path, outer: Mode, crossing: object
) -> None:
    """`rw` inside another grant: no rename, no link and no way up takes the right to write along to the host."""
    granted = house / "granted"
    before = inventory(house)

    attack(
        crossing,  # type: ignore[arg-type]
        opened("data/sub", oflags=DIRECTORY),
        call("path_open", LAST, 1, "../file.txt", TRUNC, WRITE, WRITE, 0, FD_AT),
        dirs=[Dir(granted, at="/data", mode=outer), Dir(granted / "sub", at="/data/sub", mode="rw")],
    )

    assert before == inventory(house)


@pytest.mark.parametrize("outer", ["ro", "overlay"])
def test_link_in_what_may_be_written_does_not_write_around_it(attack: Attack, house: Path, outer: Mode) -> None:
    """A link that the guest makes in the inner grant leads no further than that."""
    granted = house / "granted"
    before = granted.joinpath("file.txt").stat()

    attacked = attack(
        call("path_symlink", "../file.txt", ROOT_FD, "data/sub/up"),
        opened("data/sub/up", oflags=TRUNC, rights=WRITE),
        call("path_filestat_set_times", ROOT_FD, 1, "data/sub/up", 1, 1, 5),
        call("path_link", ROOT_FD, 1, "data/sub/up", ROOT_FD, "data/sub/alias"),
        dirs=[Dir(granted, at="/data", mode=outer), Dir(granted / "sub", at="/data/sub", mode="rw")],
    )

    after = granted.joinpath("file.txt").stat()
    assert 0 == attacked.errnos[0]
    assert 0 not in attacked.errnos[1:]
    assert (before.st_mtime_ns, before.st_size, 1) == (after.st_mtime_ns, after.st_size, after.st_nlink)


@pytest.mark.parametrize("inner", ["ro", "overlay"])
@pytest.mark.parametrize("at", ["/data/sub", "/elsewhere"])
def test_what_may_only_be_read_cannot_lie_in_what_may_be_written(house: Path, inner: Mode, at: str) -> None:
    """The outer grant would write what the inner one keeps: refused when the policy is made."""
    granted = house / "granted"
    with pytest.raises(PolicyError, match="one host tree"):
        Policy(dirs=[Dir(granted, at="/data", mode="rw"), Dir(granted / "sub", at=at, mode=inner)])


@pytest.mark.parametrize("other", ["ro", "overlay"])
def test_one_tree_granted_twice_has_no_way_from_one_to_the_other(attack: Attack, house: Path, other: Mode) -> None:
    """What is written in one overlay is in no other view of the same directory, and cannot be moved there."""
    granted = house / "granted"
    before = inventory(house)

    attacked = attack(
        opened("a/new.txt", oflags=CREAT, rights=WRITE),
        opened("b/new.txt"),
        call("path_rename", ROOT_FD, "a/new.txt", ROOT_FD, "b/new.txt"),
        call("path_link", ROOT_FD, 0, "a/file.txt", ROOT_FD, "b/alias"),
        call("path_rename", ROOT_FD, "b/file.txt", ROOT_FD, "a/file.txt"),
        call("path_unlink_file", ROOT_FD, "a/file.txt"),
        opened("b/file.txt"),
        dirs=[Dir(granted, at="/a", mode="overlay"), Dir(granted, at="/b", mode=other)],
    )

    assert [True, False, False, False, False, True, True] == [errno == 0 for errno in attacked.errnos]
    assert before == inventory(house)


def removed(granted: Path) -> None:
    """Take away what the guest saw."""
    shutil.rmtree(granted / "sub")
    (granted / "file.txt").unlink()


def linked(granted: Path) -> None:
    """Put links that lead out in its place."""
    removed(granted)
    (granted / "sub").symlink_to("../outside")
    (granted / "file.txt").symlink_to("../secret.txt")


def linked_by_full_name(granted: Path) -> None:
    """The same with absolute links."""
    removed(granted)
    (granted / "sub").symlink_to(granted.parent / "outside")
    (granted / "file.txt").symlink_to(granted.parent / "secret.txt")


def piped(granted: Path) -> None:
    """Put pipes in its place, which nobody ever opens."""
    removed(granted)
    os.mkfifo(granted / "sub")
    os.mkfifo(granted / "file.txt")


def swapped(granted: Path) -> None:
    """Move the whole directory away, and a link to another in its place."""
    granted.rename(granted.parent / "kept")
    granted.symlink_to("outside")


@pytest.mark.parametrize("change", [removed, linked, linked_by_full_name, piped, swapped])
@pytest.mark.parametrize("mode", MODES)
def test_host_that_changes_things_under_a_running_guest_leads_it_nowhere(
    house: Path, mode: Mode, change: Callable[[Path], None]
) -> None:
    """Whatever took the place of what it saw, the guest goes on, gets no secret and waits for nothing."""
    look = [
        opened("data/file.txt"),
        opened("data/sub/deep.txt"),
        opened("data/secret.txt"),
        opened("data/sub/secret.txt"),
    ]
    told = call("fd_read", 0, 520, 1, 528)
    write = opened("data/sub/new.txt", oflags=CREAT, rights=READ | WRITE)
    sandbox = Sandbox(
        guest(opened("data/sub", oflags=DIRECTORY), *look[:2], told, *look, write, opened("data/file.txt"), read()),
        policy=Policy(dirs=[Dir(house / "granted", at="/data", mode=mode)]),
    )
    process = sandbox.start(stdin="pipe", stdout="pipe")
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        assert b"00\n" * 3 == b"".join(process.stdout.readline() for _ in range(3))
        change(house / "granted")
        process.stdin.write(b"x")
        process.stdin.close()
        # To its end, which comes with the guest's and not with what is left of the result.
        errnos = [int(line) for line in process.stdout.read().split()]
    result = process.wait()

    assert "exited" == result.outcome
    assert 8 == len(errnos)
    assert [0, 0] != errnos[3:5]
    assert 8 == len(errnos)
    assert b"SECRET" not in result.stderr
    assert ["secret.txt"] == os.listdir(house / "outside")
