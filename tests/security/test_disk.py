"""Attacks on the host's disk: bytes without end, holes, names without end, and files that lost their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Limits, Policy
from security.guest import CREAT, LAST, WRITE, call, opened
from security.isolated import close_workers, run

if TYPE_CHECKING:
    from pathlib import Path

    from security.conftest import Attack

pytestmark = pytest.mark.usefixtures("isolation")

NOSPC = 51
MIB = 1 << 20

# Opens one file of its directory after the other, by numbers, and writes 1 MiB to each until something is refused.
FLOOD = """
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 40)
  (data (i32.const 0) "tmp/00000000")
  (data (i32.const 32) "\\00\\00\\10\\00\\{size}")
  (func $name (param $n i32) (local $at i32)
    (local.set $at (i32.const 12))
    (loop $digit
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
      (br_if $digit (i32.gt_u (local.get $at) (i32.const 4)))))
  (func (export "_start") (local $n i32) (local $errno i32)
    (loop $again
      (call $name (local.get $n))
      (local.set $errno (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 12) (i32.const 1)
        (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 64)))
      (if (local.get $errno) (then (call $exit (local.get $errno))))
      (local.set $errno (call $write (i32.load (i32.const 64)) (i32.const 32) (i32.const 1) (i32.const 68)))
      (if (local.get $errno) (then (call $exit (local.get $errno))))
      {after}
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $again))))
"""
CLOSE = "(drop (call $close (i32.load (i32.const 64))))"
UNLINK = "(drop (call $unlink (i32.const 3) (i32.const 0) (i32.const 12)))"
MIB_EACH, NOTHING_EACH = "00\\00\\10\\00", "00\\00\\00\\00"


def flood(after: str, size: str) -> bytes:
    """Write the guest that floods."""
    return FLOOD.replace("{after}", after).replace("{size}", size).encode()


@pytest.mark.parametrize(
    ("after", "size", "errno"),
    [(CLOSE, MIB_EACH, NOSPC), (CLOSE, NOTHING_EACH, NOSPC), (UNLINK, MIB_EACH, NOSPC)],
    ids=["bytes", "names", "nameless"],
)
def test_disk_fills_up_no_further_than_its_limit(
    after: str, size: str, errno: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest that writes for ever, makes files for ever, or removes what it keeps open, finds the disk full."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    result = run(flood(after, size), policy=Policy(tmp=True, limits=Limits(disk=4 * MIB, files=300)))

    assert ("exited", errno) == (result.outcome, result.exit_code)
    assert {"disk", "files"} & {denial.kind for denial in result.denials}
    close_workers()
    assert [] == list(tmp_path.iterdir())


def test_removing_makes_room_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that removes what it wrote goes on until its time is over: the totals count what is there."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    limits = Limits(disk=2 * MIB, files=2, wall="1s")

    result = run(flood(CLOSE + UNLINK, MIB_EACH), policy=Policy(tmp=True, limits=limits))

    assert ("limited", "wall", ()) == (result.outcome, result.limit, result.denials)


def test_hole_of_a_terabyte_is_a_terabyte(attack: Attack, tmp_path: Path) -> None:
    """A file that is long and empty is refused like one that is full, however its length is made."""
    attacked = attack(
        opened("data/file", oflags=CREAT, rights=WRITE),
        call("fd_filestat_set_size", LAST, 1 << 40),
        call("fd_pwrite", LAST, 520, 1, 1 << 40, 528),
        dirs=[Dir(tmp_path, at="/data", mode="rw")],
    )

    assert [0, NOSPC, NOSPC] == attacked.errnos
    assert 0 == (tmp_path / "file").stat().st_size
    assert [("disk", "/data/file", 2)] == [
        (denial.kind, denial.what, denial.count) for denial in attacked.result.denials
    ]
