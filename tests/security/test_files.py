"""Attacks on the host's file system from inside a grant: floods, giants, depths, races, and numbers of files."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Limits, Policy
from security.guest import CREAT, DIRECTORY, FD_AT, LAST, READ, ROOT_FD, WRITE, call, guest, inventory, opened, read
from security.isolated import Sandbox, close_workers, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from security.conftest import Attack

pytestmark = pytest.mark.usefixtures("isolation")

BADF, EXIST, INVAL, MFILE, NOTEMPTY = 8, 20, 28, 33, 55

IMPORTS = """
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
"""


def looping(body: str, times: int, texts: str = "data/file.txt") -> bytes:
    """Do the same so many times; the text is at 64, its length what it is, the last descriptor at 32."""
    return f"""
    (module {IMPORTS}
      (memory (export "memory") 1)
      (data (i32.const 64) "{texts}")
      (func $open-file (param $flags i32) (result i32)
        (call $open (i32.const 3) (i32.const 1) (i32.const 64) (i32.const {len(texts)}) (local.get $flags)
          (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 32)))
      (func (export "_start") (local $n i32)
        (loop $again
          {body}
          (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {times}))))))
    """.encode()


def test_twenty_thousand_open_files_are_a_limit(house: Path, descriptors: Callable[[], int]) -> None:
    """A guest that opens and never closes is told no, and what it holds goes with it."""
    program = looping(
        f"(if (i32.eq (call $open-file (i32.const 0)) (i32.const {MFILE})) (then (call $exit (i32.const 33))))", 20_000
    )
    sandbox = Sandbox(program, policy=Policy(dirs=[Dir(house / "granted", at="/data")]))
    sandbox.run()
    before = descriptors()

    results = [sandbox.run() for _ in range(5)]

    assert {("exited", MFILE)} == {(result.outcome, result.exit_code) for result in results}
    assert "open_files" in {denial.kind for denial in results[0].denials}
    assert descriptors() <= before


def test_renumbering_in_a_loop_leaks_nothing(house: Path, descriptors: Callable[[], int]) -> None:
    """A descriptor moved onto another closes that one: twenty thousand times, within a limit of eight."""
    program = looping(
        """
        (if (call $open-file (i32.const 0)) (then (call $exit (i32.const 101))))
        (i32.store (i32.const 36) (i32.load (i32.const 32)))
        (if (call $open-file (i32.const 0)) (then (call $exit (i32.const 102))))
        (if (call $renumber (i32.load (i32.const 32)) (i32.load (i32.const 36))) (then (call $exit (i32.const 103))))
        (if (i32.eqz (call $close (i32.load (i32.const 32)))) (then (call $exit (i32.const 104))))
        (if (call $close (i32.load (i32.const 36))) (then (call $exit (i32.const 105))))
        """,
        20_000,
    )
    policy = Policy(dirs=[Dir(house / "granted", at="/data")], limits=Limits(open_files=8))
    sandbox = Sandbox(program, policy=policy)
    sandbox.run()
    before = descriptors()

    result = sandbox.run()

    assert ("exited", 0) == (result.outcome, result.exit_code)
    assert descriptors() <= before


def test_renumbering_to_where_nothing_is_is_an_error_number(attack: Attack, house: Path) -> None:
    """Numbers that were never given cannot be taken, however large, and the table is not made that large."""
    attacked = attack(
        opened("data/file.txt"),
        *(call("fd_renumber", LAST, number) for number in (1000, 2**31 - 1, 2**31, 2**32 - 1)),
        *(call("fd_renumber", number, LAST) for number in (1000, 2**31 - 1, 2**31, 2**32 - 1)),
        read(),
        dirs=[Dir(house / "granted", at="/data")],
    )

    assert [0, *[BADF] * 8, 0] == attacked.errnos


def test_streams_renumbered_onto_files_reach_no_descriptor_of_ours(attack: Attack, house: Path) -> None:
    """Output moved over a granted file, and a file over output: both are the guest's own business."""
    before = inventory(house)

    attacked = attack(
        opened("data/file.txt"),
        call("fd_renumber", LAST, 2),
        call("fd_write", 2, 520, 1, 528),
        call("fd_renumber", 2, 0),
        call("fd_read", 0, 520, 1, 528),
        dirs=[Dir(house / "granted", at="/data")],
    )

    assert [0, 0, BADF, 0, 0] == attacked.errnos
    assert before == inventory(house)


DEEPER = """
  (if (call $mkdir (i32.load (i32.const 32)) (i32.const 67) (i32.const 1)) (then (call $exit (i32.const 101))))
  (i32.store (i32.const 36) (i32.load (i32.const 32)))
  (if (call $open (i32.load (i32.const 36)) (i32.const 0) (i32.const 67) (i32.const 1) (i32.const 2)
        (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 32))
    (then (call $exit (i32.const 102))))
  (if (i32.gt_u (i32.load (i32.const 36)) (i32.const 3)) (then (drop (call $close (i32.load (i32.const 36))))))
"""


def test_tree_as_deep_as_it_gets_ends_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories in directories in the private /tmp: an error number at some depth, and all of it goes."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    first = "(if (i32.eqz (local.get $n)) (then (drop (call $open-file (i32.const 2)))))"
    program = looping(first + DEEPER, 10_000, texts="tmp")

    result = run(program, policy=Policy(tmp=True, limits=Limits(wall="20s")))

    assert "exited" == result.outcome
    close_workers()
    assert [] == [name for name in os.listdir(tmp_path) if name.startswith("ringfence")]


@pytest.mark.parametrize("size", [1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_sparse_giant_takes_no_room(attack: Attack, tmp_path: Path, size: int) -> None:
    """A size without bytes is a number: the host's disk is not filled, and reading it moves what fits the guest."""
    attacked = attack(
        opened("data/giant", oflags=CREAT, rights=READ | WRITE),
        call("fd_filestat_set_size", LAST, size if size < 1 << 63 else size - (1 << 64)),
        call("fd_allocate", LAST, 0, size if size < 1 << 63 else size - (1 << 64)),
        read(),
        dirs=[Dir(tmp_path, at="/data", mode="rw")],
    )

    assert "exited" == attacked.result.outcome
    assert (tmp_path / "giant").stat().st_blocks < 1024


def test_times_of_what_was_granted_to_read_stay(attack: Attack, house: Path) -> None:
    """Setting a timestamp is a write, through a descriptor, by name, through a link, or on the directory itself."""
    (house / "granted" / "link").symlink_to("file.txt")
    before = inventory(house)

    attacked = attack(
        opened("data/file.txt"),
        call("fd_filestat_set_times", LAST, 1, 1, 5),
        call("fd_filestat_set_times", LAST, 0, 0, 10),
        opened("data", oflags=DIRECTORY),
        call("fd_filestat_set_times", LAST, 1, 1, 5),
        *(call("path_filestat_set_times", ROOT_FD, 1, name, 1, 1, 5) for name in ("data", "data/sub", "data/link")),
        *(call("path_filestat_set_times", ROOT_FD, 0, name, 1, 1, 5) for name in ("data/link", "data/file.txt")),
        dirs=[Dir(house / "granted", at="/data")],
    )

    assert [0, 3] == [index for index, errno in enumerate(attacked.errnos) if errno == 0]
    assert before == inventory(house)


RENAMING = """
  (drop (call $rename (i32.const 3) (i32.const 64) (i32.const 9) (i32.const 3) (i32.const 73) (i32.const 9)))
  (drop (call $rename (i32.const 3) (i32.const 73) (i32.const 9) (i32.const 3) (i32.const 64) (i32.const 9)))
  (drop (call $rename (i32.const 3) (i32.const 82) (i32.const 9) (i32.const 3) (i32.const 73) (i32.const 9)))
  (drop (call $rename (i32.const 3) (i32.const 73) (i32.const 9) (i32.const 3) (i32.const 82) (i32.const 9)))
"""
CLIMBING = """
  (if (i32.eqz (call $open (i32.const 3) (i32.const 1) (i32.const 64) (i32.const 20) (i32.const 0)
        (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 32)))
    (then (call $exit (i32.const 101))))
"""


def test_two_guests_that_race_each_other_do_not_get_out(house: Path) -> None:
    """One renames a directory and a link onto a name all the time, the other opens a secret through that name."""
    granted = house / "granted"
    (granted / "real").mkdir()
    (granted / "link").symlink_to("../outside")
    policy = Policy(dirs=[Dir(granted, at="/data", mode="rw")], limits=Limits(wall="20s"))
    renaming = Sandbox(looping(RENAMING, 1 << 30, texts="data/realdata/flipdata/link"), policy=policy)
    climbing = Sandbox(looping(CLIMBING, 50_000, texts="data/flip/secret.txt"), policy=policy)
    process = renaming.start()
    try:
        result = climbing.run()
    finally:
        process.kill()
        process.wait()

    assert ("exited", 0) == (result.outcome, result.exit_code)


def test_directory_moved_out_while_it_is_open_gives_no_way_up(house: Path) -> None:
    """A directory that the host moves elsewhere while a guest holds it: `..` from there leads nowhere."""
    granted = house / "granted"
    ended = threading.Event()

    def move() -> None:
        while not ended.is_set():
            (granted / "sub").rename(house / "outside" / "sub")
            (house / "outside" / "sub").rename(granted / "sub")

    calls = [
        opened("data/sub", oflags=DIRECTORY),
        *[call("path_open", LAST, 1, "../secret.txt", 0, READ, READ, 0, FD_AT)] * 3,
        *[call("path_open", ROOT_FD, 1, "data/sub/../secret.txt", 0, READ, READ, 0, FD_AT)] * 3,
    ]
    sandbox = Sandbox(guest(*calls, read()), policy=Policy(dirs=[Dir(granted, at="/data")]))
    moving = threading.Thread(target=move)
    moving.start()
    try:
        results = [sandbox.run() for _ in range(300)]
    finally:
        ended.set()
        moving.join()

    assert not [result for result in results if b"SECRET" in result.stderr]
    assert not [result for result in results if "00" in result.text.split()[1:7]]


def test_directory_behind_a_link_that_leads_out_is_not_removed(attack: Attack, house: Path) -> None:
    """A slash asks for what the link leads to: that is refused as any way out, and nothing is removed."""
    (house / "granted" / "out").symlink_to("..")
    before = inventory(house)

    attacked = attack(
        call("path_remove_directory", ROOT_FD, "data/out/"), dirs=[Dir(house / "granted", at="/data", mode="rw")]
    )

    assert [63] == attacked.errnos  # perm
    assert before == inventory(house)
