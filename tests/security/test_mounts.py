"""Attacks that try to get from a granted directory onto what somebody mounted below it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from ringfence import Dir, HostError, Policy
from security.guest import (
    CREAT,
    DIRECTORY,
    FD_AT,
    LAST,
    READ,
    ROOT_FD,
    TRUNC,
    WRITE,
    Call,
    call,
    guest,
    inventory,
    opened,
    read,
)
from security.isolated import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from security.conftest import Attack

    Mode = Literal["ro", "rw", "overlay"]

HERE = Path(__file__)
GUESTS = HERE.parents[2] / "crates" / "guests"
MODES: tuple[Mode, ...] = ("ro", "rw", "overlay")
PERM = 63


def mounted(kind: list[str], point: Path) -> None:
    """Mount something, or say why that cannot be tried here."""
    done = subprocess.run(["mount", *kind, str(point)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")


@pytest.fixture(params=["bind", "tmpfs", "file"])
def foreign(request: pytest.FixtureRequest, house: Path) -> Iterator[str]:
    """Mount below `granted` what holds `secret.txt`, or a file alone; give the secret's path in the grant."""
    granted = house / "granted"
    if request.param == "file":
        point, path = granted / "secret.txt", "secret.txt"
        point.touch()
        mounted(["--bind", str(house / "secret.txt")], point)
    else:
        point, path = granted / "foreign", "foreign/secret.txt"
        point.mkdir()
        mounted(["-t", "tmpfs", "none"] if request.param == "tmpfs" else ["--bind", str(house / "outside")], point)
        (granted / path).write_text("SECRET\n")
    (granted / "link").symlink_to(path)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(point)], check=True)


def reaching(path: str) -> Iterator[Call]:
    """Every call that takes a path, onto the other mount."""
    for name in (f"data/{path}", "data/link", f"data/sub/../{path}"):
        yield opened(name)
        yield opened(name, rights=READ | WRITE)
        yield opened(name, oflags=CREAT, rights=WRITE)
        yield opened(name, oflags=TRUNC, rights=READ | WRITE)
        yield call("path_filestat_get", ROOT_FD, 1, name, 600)
        yield call("path_filestat_set_times", ROOT_FD, 1, name, 1, 1, 5)
    yield call("path_filestat_get", ROOT_FD, 0, f"data/{path}", 600)
    yield call("path_filestat_set_times", ROOT_FD, 0, f"data/{path}", 1, 1, 5)
    yield call("path_readlink", ROOT_FD, f"data/{path}", 600, 64, 700)
    yield call("path_rename", ROOT_FD, f"data/{path}", ROOT_FD, "data/stolen")
    yield call("path_rename", ROOT_FD, "data/file.txt", ROOT_FD, f"data/{path}")
    yield call("path_link", ROOT_FD, 0, f"data/{path}", ROOT_FD, "data/stolen")
    yield call("path_unlink_file", ROOT_FD, f"data/{path}")
    if "/" in path:
        above = path.partition("/")[0]
        yield opened(f"data/{above}", oflags=DIRECTORY)
        yield opened(f"data/{above}/..", oflags=DIRECTORY)
        yield opened(f"data/{above}/../file.txt")
        yield opened(f"data/{above}/new", oflags=CREAT, rights=WRITE)
        yield call("path_create_directory", ROOT_FD, f"data/{above}/new")
        yield call("path_symlink", "x", ROOT_FD, f"data/{above}/new")
        yield call("path_link", ROOT_FD, 0, "data/file.txt", ROOT_FD, f"data/{above}/new")
        yield call("path_remove_directory", ROOT_FD, f"data/{above}")
        yield call("path_rename", ROOT_FD, f"data/{above}", ROOT_FD, "data/stolen")


@pytest.mark.usefixtures("isolation")
@pytest.mark.parametrize("mode", MODES)
def test_no_call_crosses_into_another_mount(attack: Attack, house: Path, foreign: str, mode: Mode) -> None:
    """A bind mount, another disk or a file mounted alone is no part of the grant around it, by any name."""
    before = inventory(house)
    calls = [*reaching(foreign)]

    attacked = attack(*calls, dirs=[Dir(house / "granted", at="/data", mode=mode)])

    assert 0 not in attacked.errnos
    assert PERM == attacked.errnos[0]
    assert before == inventory(house)
    assert ("read", f"/data/{foreign}") in [(denial.kind, denial.what) for denial in attacked.result.denials]


@pytest.mark.usefixtures("isolation")
@pytest.mark.parametrize("mode", MODES)
def test_granted_directory_itself_may_be_any_mount(attack: Attack, house: Path, foreign: str, mode: Mode) -> None:
    """What was granted by itself is reached, also where it hangs in the grant around it."""
    around = Dir(house / "granted", at="/data", mode=mode)
    alone = Dir(house / "granted" / foreign.partition("/")[0], at="/data/" + foreign.partition("/")[0], mode=mode)

    attacked = attack(opened(f"data/{foreign}"), read(), opened("data/link"), dirs=[around, alone])

    assert [0, 0, PERM] == attacked.errnos
    assert b"SECRET" in attacked.seen


@pytest.mark.usefixtures("isolation")
def test_directory_opened_before_it_was_mounted_over_leads_no_further(attack: Attack, house: Path) -> None:
    """A handle that the guest holds resolves on its own mount too: only what is granted by itself is another."""
    (house / "granted" / "sub" / "inner").mkdir()
    mounted(["--bind", str(house / "outside")], house / "granted" / "sub" / "inner")
    try:
        attacked = attack(
            opened("data/sub", oflags=DIRECTORY),
            call("path_open", LAST, 1, "inner/secret.txt", 0, READ, READ, 0, FD_AT),
            call("path_open", LAST, 1, "./inner/../deep.txt", 0, READ, READ, 0, FD_AT),
            call("path_create_directory", LAST, "inner/new"),
            dirs=[Dir(house / "granted", at="/data", mode="rw")],
        )
    finally:
        subprocess.run(["umount", "--lazy", house / "granted" / "sub" / "inner"], check=True)

    assert [0, PERM, PERM, PERM] == attacked.errnos


@pytest.mark.usefixtures("isolation")
def test_changes_are_not_applied_onto_another_mount(house: Path) -> None:
    """What was mounted between the run and `apply` gets nothing, overwriting or not."""
    granted = house / "granted"
    grant = Dir(granted, at="/data", mode="overlay")
    result = run(GUESTS / "write_file.wat", ["/data/sub/deep.txt"], policy=Policy(dirs=[grant])).check()
    (house / "outside" / "deep.txt").write_text("granted\n")
    before = inventory(house / "outside")
    mounted(["--bind", str(house / "outside")], granted / "sub")
    try:
        for overwrite in (False, True):
            with pytest.raises(HostError):
                result.changes.apply(overwrite=overwrite)
        assert before == inventory(house / "outside")
    finally:
        subprocess.run(["umount", "--lazy", granted / "sub"], check=True)

    assert 1 == result.changes.apply()
    assert "written" == (granted / "sub" / "deep.txt").read_text()


@pytest.mark.usefixtures("isolation")
def test_moved_directory_with_a_mount_in_it_takes_nothing_of_it_along(house: Path) -> None:
    """Under an overlay: neither the changes nor the files of the result show what is mounted there."""
    granted = house / "granted"
    (granted / "sub" / "inner").mkdir()
    mounted(["--bind", str(house / "outside")], granted / "sub" / "inner")
    try:
        result = run(
            guest(
                call("path_rename", ROOT_FD, "data/sub", ROOT_FD, "data/moved"), opened("data/moved/inner/secret.txt")
            ),
            policy=Policy(dirs=[Dir(granted, at="/data", mode="overlay")]),
        )
        assert ["0", str(PERM)] == [line.lstrip("0") or "0" for line in result.text.split()]
        assert ["/data/moved/deep.txt"] == [*result.files]
    finally:
        subprocess.run(["umount", "--lazy", granted / "sub" / "inner"], check=True)


def test_attacks_hold_in_a_namespace_of_our_own() -> None:
    """Who may not mount may in a user namespace: there the attacks above are run."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount, or user namespaces")
    ended = subprocess.run(
        [*command, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not namespace", HERE],
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == ended.returncode, ended.stdout[-5000:]
    assert " passed" in ended.stdout
    assert " skipped" not in ended.stdout
