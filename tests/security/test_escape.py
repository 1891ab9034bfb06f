"""Attacks that try to leave the directories a guest was granted."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from typing import TYPE_CHECKING, Literal

import pytest

from ringfence import Dir, Limits, Policy, PolicyError
from security.guest import (
    ALL,
    CREAT,
    DIRECTORY,
    EXCL,
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
from security.isolated import Sandbox, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from security.conftest import Attack

pytestmark = pytest.mark.usefixtures("isolation")


CLIMBS = [
    "../secret.txt",
    "data/../secret.txt",
    "data/../../secret.txt",
    "data/sub/../../../secret.txt",
    "data/./.././../secret.txt",
    "data//..//..//secret.txt",
    "data/sub/../../../../../../../../../../etc/passwd",
    "data/no-such/../../secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "/data/file.txt",
    "..",
    "../..",
    "data/..\\..\\secret.txt",
    "data/file.txt\x00/../../secret.txt",
    "data/file.txt/../../secret.txt",
]


@pytest.mark.parametrize("path", CLIMBS)
@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_path_that_climbs_reaches_nothing(attack: Attack, house: Path, path: str, mode: str) -> None:
    """`..` and absolute paths never lead above the grant, whichever way it was granted."""
    dirs = [Dir(house / "granted", at="/data", mode=mode)]  # type: ignore[arg-type]

    attacked = attack(opened(path), read(), dirs=dirs)

    assert 0 != attacked.errnos[0]
    assert b"SECRET" not in attacked.seen
    assert b"root:" not in attacked.seen


def test_climbing_is_told(attack: Attack, house: Path) -> None:
    """An absolute path is refused with an error number, counted and named."""
    attacked = attack(opened("/etc/passwd"), opened("/etc/passwd"), dirs=[Dir(house / "granted", at="/data")])

    [denial] = attacked.result.denials
    assert ("read", "/etc/passwd", 2) == (denial.kind, denial.what, denial.count)


PLANTED = {
    "up": "../secret.txt",
    "absolute": "{house}/secret.txt",
    "chain": "up",
    "directory": "..",
    "directory-absolute": "{house}",
    "root": "/",
    "magic": "/proc/self/root",
    "cwd": "/proc/self/cwd",
    "slash": "../outside/",
    "loop": "loop",
}
THROUGH = [
    "data/up",
    "data/absolute",
    "data/chain",
    "data/up/",
    "data/directory/secret.txt",
    "data/directory/outside/secret.txt",
    "data/directory-absolute/secret.txt",
    "data/directory-absolute/../house/secret.txt",
    "data/sub/../directory/secret.txt",
    "data/root/etc/passwd",
    "data/magic/etc/passwd",
    "data/cwd/README.md",
    "data/slash/secret.txt",
    "data/loop",
    "data/loop/secret.txt",
]


def plant(house: Path) -> None:
    """Put links that lead out into the granted directory."""
    for name, target in PLANTED.items():
        (house / "granted" / name).symlink_to(target.format(house=house))


@pytest.mark.parametrize("path", THROUGH)
@pytest.mark.parametrize("oflags", [0, DIRECTORY, CREAT])
def test_link_planted_before_leads_nowhere(attack: Attack, house: Path, path: str, oflags: int) -> None:
    """A link that lay in the directory before the run is not followed out of it."""
    plant(house)
    before = inventory(house)

    attacked = attack(
        opened(path, oflags=oflags, rights=READ | WRITE if oflags == CREAT else READ),
        read(),
        call("path_filestat_get", ROOT_FD, 1, path, 2048),
        dirs=[Dir(house / "granted", at="/data", mode="rw")],
    )

    assert 0 != attacked.errnos[0]
    assert 0 != attacked.errnos[2]
    assert b"SECRET" not in attacked.seen
    assert before == inventory(house)


@pytest.mark.parametrize(
    "target", ["../secret.txt", "{house}/secret.txt", "..", "{house}", "/proc/self/root/etc/passwd"]
)
def test_link_made_during_the_run_leads_nowhere(attack: Attack, house: Path, target: str) -> None:
    """A link that the guest makes itself, where it may write, is not followed out of the grant."""
    target = target.format(house=house)

    attacked = attack(
        call("path_symlink", target, ROOT_FD, "data/made"),
        opened("data/made"),
        read(),
        opened("data/made/secret.txt"),
        read(),
        call("path_symlink", "made", ROOT_FD, "data/again"),
        opened("data/again"),
        read(),
        dirs=[Dir(house / "granted", at="/data", mode="rw")],
    )

    assert 0 != attacked.errnos[1]
    assert 0 != attacked.errnos[3]
    assert 0 != attacked.errnos[6]
    assert b"SECRET" not in attacked.seen


def test_directory_swapped_for_a_link_afterwards_changes_nothing(house: Path) -> None:
    """A policy holds the directory it was made with; what its path leads to later does not count."""
    policy = Policy(dirs=[Dir(house / "granted", at="/data")])
    (house / "granted").rename(house / "moved")
    (house / "granted").symlink_to(house / "outside")

    result = run(guest(opened("data/file.txt"), read(), opened("data/secret.txt"), read()), policy=policy)

    assert [0, 0] == [int(line) for line in result.text.split()][:2]
    assert b"granted" in result.stderr
    assert b"SECRET" not in result.stderr


SWAP = """
(module
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\00\\04\\00\\00\\01\\00\\00\\00")
  (data (i32.const 64) "data/flip/secret.txt")
  (func (export "_start") (local $i i32)
    (loop $again
      (if (i32.eqz (call $open (i32.const 3) (i32.const 1) (i32.const 64) (i32.const 20)
            (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 32)))
        (then
          (drop (call $read (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 8)))
          (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 83)) (then (call $exit (i32.const 101))))
          (drop (call $close (i32.load (i32.const 32))))))
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))))
"""


def test_directory_swapped_for_a_link_all_the_time_is_never_followed(house: Path) -> None:
    """No moment between looking and opening: a race of the host against the guest is never won."""
    granted = house / "granted"
    (granted / "real").mkdir()
    (granted / "real" / "secret.txt").write_text("mine\n")
    (granted / "link").symlink_to(house / "outside")
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            for name in ("real", "link"):
                (granted / name).rename(granted / "flip")
                time.sleep(0)
                (granted / "flip").rename(granted / name)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        result = run(SWAP.encode(), policy=Policy(dirs=[Dir(granted, at="/data")]))
    finally:
        ended.set()
        swapping.join()

    assert ("exited", 0) == (result.outcome, result.exit_code)


TRAILING = ["data/file.txt/", "data/file.txt/.", "data/file.txt//", "data/sub/deep.txt/", "data/sub/deep.txt/.."]


@pytest.mark.parametrize("path", TRAILING)
def test_slash_after_a_file_opens_nothing(attack: Attack, house: Path, path: str) -> None:
    """A name that asks for a directory does not give a file, nor make one."""
    before = inventory(house)
    dirs = [Dir(house / "granted", at="/data", mode="rw")]

    attacked = attack(opened(path), opened(path.replace("file", "new"), oflags=CREAT, rights=READ | WRITE), dirs=dirs)

    assert 0 != attacked.errnos[0]
    assert 0 != attacked.errnos[1]
    assert before == inventory(house)


def changes(name: str) -> Iterator[tuple[str, list[Call]]]:
    """Give every way there is to change a host file or its directory, below a grant of that name."""
    file, sub, new = f"{name}/file.txt", f"{name}/sub", f"{name}/new"
    for label, oflags in {"create": CREAT, "truncate": TRUNC, "create exclusively": CREAT | EXCL}.items():
        yield label, [opened(new if oflags & CREAT else file, oflags=oflags, rights=READ | WRITE)]
    yield "truncate with the right to read", [opened(file, oflags=TRUNC, rights=READ)]
    yield "truncate with no rights", [opened(file, oflags=TRUNC, rights=0)]
    yield "create with the right to read", [opened(new, oflags=CREAT, rights=READ)]
    yield "append", [opened(file, rights=WRITE, flags=1), call("fd_write", LAST, 520, 1, 528)]
    yield "open to write", [opened(file, rights=WRITE)]
    opening = opened(file, rights=READ)
    everything = opened(file, rights=ALL)
    for label, act in {
        "write": call("fd_write", LAST, 520, 1, 528),
        "write at an offset": call("fd_pwrite", LAST, 520, 1, 0, 528),
        "allocate": call("fd_allocate", LAST, 0, 1 << 20),
        "set the size": call("fd_filestat_set_size", LAST, 0),
        "set the times": call("fd_filestat_set_times", LAST, 1, 1, 5),
        "ask for more rights": call("fd_fdstat_set_rights", LAST, ALL, ALL),
    }.items():
        yield f"{label}, opened to read", [opening, act]
        yield f"{label}, opened with all rights", [everything, act]
    yield "append after opening", [opening, call("fd_fdstat_set_flags", LAST, 1), call("fd_write", LAST, 520, 1, 528)]
    yield "set the times by name", [call("path_filestat_set_times", ROOT_FD, 1, file, 1, 1, 5)]
    yield "make a directory", [call("path_create_directory", ROOT_FD, new)]
    yield "remove a directory", [call("path_remove_directory", ROOT_FD, f"{name}/empty")]
    yield "remove a file", [call("path_unlink_file", ROOT_FD, file)]
    yield "rename", [call("path_rename", ROOT_FD, file, ROOT_FD, new)]
    yield "rename a directory", [call("path_rename", ROOT_FD, sub, ROOT_FD, new)]
    yield "link", [call("path_link", ROOT_FD, 0, file, ROOT_FD, new)]
    yield "link to a name", [call("path_symlink", "file.txt", ROOT_FD, new)]
    yield (
        "rename within the open directory",
        [opened(name, oflags=DIRECTORY), call("path_rename", LAST, "file.txt", LAST, "new")],
    )
    yield (
        "create within the open directory",
        [opened(name, oflags=DIRECTORY), call("path_open", LAST, 0, "new", CREAT, ALL, ALL, 0, FD_AT)],
    )


@pytest.mark.parametrize(("label", "calls"), [pytest.param(*entry, id=entry[0]) for entry in changes("data")])
def test_nothing_changes_what_was_granted_to_read(attack: Attack, house: Path, label: str, calls: list[Call]) -> None:
    """Read-only holds against every call that writes, whatever rights the guest claims."""
    (house / "granted" / "empty").mkdir()
    before = inventory(house)

    attacked = attack(*calls, dirs=[Dir(house / "granted", at="/data")])

    assert "exited" == attacked.result.outcome
    assert 0 != attacked.errnos[-1], label
    assert before == inventory(house)


@pytest.mark.parametrize(("label", "calls"), [pytest.param(*entry, id=entry[0]) for entry in changes("data")])
def test_the_same_calls_work_where_writing_was_granted(
    house: Path, attack: Attack, label: str, calls: list[Call]
) -> None:
    """The attacks above are real ones: granted `rw`, most of them change the directory."""
    (house / "granted" / "empty").mkdir()
    before = inventory(house)

    attack(*calls, dirs=[Dir(house / "granted", at="/data", mode="rw")])

    harmless = {"open to write", "ask for more rights, opened to read", "ask for more rights, opened with all rights"}
    refused = {f"{act}, opened to read" for act in ("write", "write at an offset", "set the size", "set the times")}
    unsupported = {"allocate, opened to read", "allocate, opened with all rights", "truncate with no rights"}
    unsupported |= {"truncate with the right to read", "append after opening"}
    assert (before != inventory(house)) or label in harmless | refused | unsupported


CROSSINGS = {
    "hard link": call("path_link", ROOT_FD, 0, "in/file.txt", ROOT_FD, "out/alias"),
    "hard link through a link": call("path_link", ROOT_FD, 1, "in/file.txt", ROOT_FD, "out/alias"),
    "rename out": call("path_rename", ROOT_FD, "in/file.txt", ROOT_FD, "out/file.txt"),
    "rename in": call("path_rename", ROOT_FD, "out/mine.txt", ROOT_FD, "in/file.txt"),
    "rename a directory out": call("path_rename", ROOT_FD, "in/sub", ROOT_FD, "out/sub"),
}


@pytest.mark.parametrize("crossing", CROSSINGS.values(), ids=CROSSINGS.keys())
def test_what_may_be_read_cannot_be_moved_to_where_one_may_write(attack: Attack, house: Path, crossing: Call) -> None:
    """A second name in a writable grant would make a read-only file writable."""
    (house / "out").mkdir()
    (house / "out" / "mine.txt").write_text("mine\n")
    before = inventory(house)

    attacked = attack(
        crossing,
        opened("out/alias", rights=WRITE),
        call("fd_write", LAST, 520, 1, 528),
        dirs=[Dir(house / "granted", at="/in"), Dir(house / "out", at="/out", mode="rw")],
    )

    assert 0 != attacked.errnos[0]
    assert before == inventory(house)


def test_link_in_a_writable_grant_does_not_write_to_a_readable_one(attack: Attack, house: Path) -> None:
    """A symbolic link from one grant to the other is no way to write."""
    (house / "out").mkdir()
    before = inventory(house / "granted")

    attacked = attack(
        call("path_symlink", "../granted/file.txt", ROOT_FD, "out/relative"),
        call("path_symlink", "../in/file.txt", ROOT_FD, "out/as-seen"),
        call("path_symlink", str(house / "granted" / "file.txt"), ROOT_FD, "out/absolute"),
        *(opened(f"out/{name}", oflags=TRUNC, rights=WRITE) for name in ("relative", "as-seen", "absolute")),
        dirs=[Dir(house / "granted", at="/in"), Dir(house / "out", at="/out", mode="rw")],
    )

    assert 0 not in attacked.errnos[3:]
    assert before == inventory(house / "granted")


def test_one_host_tree_cannot_be_granted_both_ways(house: Path) -> None:
    """The same directory read-only and writable is refused, also by another name for it."""
    (house / "alias").symlink_to(house / "granted")

    for other in (house / "granted", house / "alias", house / "granted" / "sub", house):
        with pytest.raises(PolicyError):
            Policy(dirs=[Dir(house / "granted", at="/in"), Dir(other, at="/out", mode="rw")])


def test_granted_file_gives_no_neighbours(attack: Attack, house: Path) -> None:
    """A single file is that file: not its directory, not what replaces its name, not a way up."""
    before = inventory(house)

    attacked = attack(
        opened("one.txt", rights=READ | WRITE),
        opened("sub/deep.txt"),
        opened("one.txt/../secret.txt"),
        call("path_rename", ROOT_FD, "one.txt", ROOT_FD, "two.txt"),
        call("path_unlink_file", ROOT_FD, "one.txt"),
        call("path_link", ROOT_FD, 0, "one.txt", ROOT_FD, "two.txt"),
        opened("two.txt", oflags=CREAT, rights=WRITE),
        dirs=[Dir(house / "granted" / "file.txt", at="/one.txt", mode="rw")],
    )

    assert 0 == attacked.errnos[0]
    assert 0 not in attacked.errnos[1:]
    assert before == inventory(house)


@pytest.mark.parametrize("directory", ["/proc", "/proc/self", "/proc/self/fd", "/sys", "/sys/kernel"])
@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_kernels_own_files_cannot_be_granted(directory: str, mode: Literal["ro", "rw"]) -> None:
    """`/proc/self/mem` is our memory, and a write there is native code: what the kernel makes up is no directory."""
    with pytest.raises(PolicyError):
        Policy(dirs=[Dir(directory, at="/data", mode=mode)])


def test_pipe_in_a_grant_does_not_hold_the_guest(attack: Attack, house: Path) -> None:
    """Opening a FIFO waits for its other end: it is refused instead, and so is a socket."""
    os.mkfifo(house / "granted" / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(house / "granted" / "socket"))

        attacked = attack(
            opened("data/pipe"),
            opened("data/pipe", rights=WRITE),
            opened("data/socket"),
            dirs=[Dir(house / "granted", at="/data", mode="rw")],
            limits=Limits(wall="3s"),
        )

    assert "exited" == attacked.result.outcome
    assert 0 not in attacked.errnos


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/tty", "/dev/mem"])
def test_device_is_not_granted(device: str) -> None:
    """A device is neither a directory nor a file."""
    with pytest.raises(PolicyError):
        Policy(dirs=[Dir(device, at="/device", mode="rw")])


def test_descriptors_nobody_gave_are_not_there(attack: Attack) -> None:
    """Numbers above the root's are closed: nothing of the host's own descriptors shows."""
    numbers = [*range(4, 80), 1000, 2**31 - 1, 2**31, 2**32 - 1]

    attacked = attack(*(call("fd_read", number, 520, 1, 528) for number in numbers))

    assert {8} == set(attacked.errnos)


def test_shuffled_descriptors_do_not_reach_the_host(attack: Attack, house: Path) -> None:
    """Closing and renumbering the streams and the root leaves nothing that was not granted."""
    attacked = attack(
        call("fd_renumber", ROOT_FD, 0),
        call("path_open", 0, 1, "data/../../secret.txt", 0, READ, READ, 0, FD_AT),
        call("fd_close", 0),
        call("path_open", ROOT_FD, 1, "secret.txt", 0, READ, READ, 0, FD_AT),
        read(),
        dirs=[Dir(house / "granted", at="/data")],
    )

    assert 0 not in (attacked.errnos[1], attacked.errnos[3])
    assert b"SECRET" not in attacked.seen


LONG = ["", "x" * 300, "a/" * 3000, "x" * 60000, "data/" + "sub/../" * 600 + "file.txt/x", b"data/\xff\xfe", b"\x00"]


@pytest.mark.parametrize("path", LONG, ids=range(len(LONG)))
def test_impossible_path_is_an_error_number(attack: Attack, house: Path, path: str | bytes) -> None:
    """Empty, overlong, or not text: the guest gets an errno, the host nothing worse."""
    attacked = attack(opened(path), opened("data/file.txt"), read(), dirs=[Dir(house / "granted", at="/data")])

    assert 0 != attacked.errnos[0]
    assert [0, 0] == attacked.errnos[1:]


def test_grant_of_our_own_cache_is_refused(cache: Path, house: Path) -> None:
    """A guest that could write the cache could forge native code; also through a link, and from above."""
    (house / "alias").symlink_to(cache)
    (cache / "inner").mkdir(exist_ok=True)

    for directory in (cache, cache / "inner", house / "alias", cache.parent):
        for mode in ("ro", "rw"):
            with pytest.raises(PolicyError, match="cache"):
                Policy(dirs=[Dir(directory, at="/data", mode=mode)])
    shutil.rmtree(cache / "inner")


def test_private_tmp_is_nobody_elses(attack: Attack) -> None:
    """`/tmp` is empty at the start, gone at the end, and not the host's."""
    first = attack(
        opened("tmp/left.txt", oflags=CREAT, rights=READ | WRITE), call("fd_write", LAST, 520, 1, 528), tmp=True
    )
    second = attack(opened("tmp/left.txt"), opened("tmp/../etc/passwd"), opened("tmp/../../etc/passwd"), tmp=True)

    assert [0, 0] == first.errnos
    assert 0 not in second.errnos


def test_escape_is_refused_while_other_runs_go_on(house: Path) -> None:
    """Eight threads that climb at the same time get nowhere either."""
    sandbox = Sandbox(
        guest(opened("data/../../secret.txt"), read()), policy=Policy(dirs=[Dir(house / "granted", at="/data")])
    )
    results: list[bytes] = []

    def climb() -> None:
        for _ in range(50):
            result = sandbox.run()
            results.append(result.stdout[:2] + result.stderr[:6])

    threads = [threading.Thread(target=climb) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 400 == len(results)
    assert not [seen for seen in results if seen.startswith(b"00") or b"SECRET" in seen]
