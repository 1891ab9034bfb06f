"""Attacks that look around: variables, arguments, directories, clocks, random numbers, descriptors, sockets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Policy
from security.guest import FD_AT, LAST, READ, ROOT_FD, call, guest, opened
from security.isolated import Sandbox, run

if TYPE_CHECKING:
    from security.conftest import Attack

pytestmark = pytest.mark.usefixtures("isolation")

BADF, NOTSOCK = 8, 57


def test_guest_without_a_grant_sees_no_variable(guests: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of our environment is inherited unless it is named."""
    monkeypatch.setenv("HOST_SECRET", "s3cr3t")

    assert b"" == run(guests / "print_environment.wat").stdout


def test_guest_sees_exactly_the_variables_it_was_given(guests: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were set and those handed on by name, which are taken from us; one we lack is left out."""
    monkeypatch.setenv("HANDED", "on")
    monkeypatch.delenv("MISSING", raising=False)
    policy = Policy(env={"SET": "1"}, inherit_env=["HANDED", "MISSING"])

    seen = run(guests / "print_environment.wat", policy=policy).stdout

    assert {b"SET=1", b"HANDED=on"} == set(seen.split(b"\0")) - {b""}


@pytest.mark.parametrize("how", ["path", "bytes", "link"])
def test_argument_0_tells_no_host_path(guests: Path, tmp_path: Path, how: str) -> None:
    """The guest learns its program's name, never where that lies."""
    (tmp_path / "tool.wat").symlink_to(guests / "print_arguments.wat")
    path = guests / "print_arguments.wat"
    programs: dict[str, Path | bytes] = {"path": path, "bytes": path.read_bytes(), "link": tmp_path / "tool.wat"}

    [name, first, end] = run(programs[how], ["a"]).stdout.split(b"\0")

    assert b"/" not in name
    assert (b"a", b"") == (first, end)


def test_only_the_root_is_preopened(attack: Attack, tmp_path: Path) -> None:
    """One directory, `/`: the guest is not told what was granted, nor where that lies on the host."""
    attacked = attack(
        *(call("fd_prestat_get", number, 2048) for number in range(3, 10)),
        dirs=[Dir(tmp_path, at="/a/b/c"), Dir(Path(__file__), at="/file")],
    )

    assert [0, *[BADF] * 6] == attacked.errnos


def test_listing_the_root_shows_the_grants_and_nothing_else(tmp_path: Path) -> None:
    """What lies beside a grant on the host has no name in the guest."""
    (tmp_path / "granted").mkdir()
    (tmp_path / "beside.txt").touch()
    program = guest(
        opened("."),
        call("fd_readdir", LAST, 1024, 64, 0, 2048),
        opened("deep"),
        call("fd_readdir", LAST, 1024, 64, 0, 2048),
    )
    result = run(program, policy=Policy(dirs=[Dir(tmp_path / "granted", at="/deep/granted")]))

    assert ["00"] * 4 == result.text.split()
    assert b"beside" not in result.stderr


def test_listing_a_directory_outside_is_refused(attack: Attack) -> None:
    """Not even to look: `/etc`, `/proc` and the working directory are not there."""
    attacked = attack(*(opened(name, oflags=2) for name in ("etc", "proc", "home", "root", "dev", "../", "tmp")))

    assert 0 not in attacked.errnos


CLOCK = """
(module
  (import "wasi_snapshot_preview1" "clock_res_get" (func $resolution (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\40\\00\\00\\00\\10\\00\\00\\00")
  (func (export "_start") (local $n i32)
    (loop $again
      (drop (call $resolution (i32.const CLOCK_ID) (i32.const 64)))
      (drop (call $time (i32.const CLOCK_ID) (i64.const 1) (i32.const 72)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 2000))))))
"""


def ticks(clock: str, clock_id: int) -> tuple[int, set[int]]:
    """Read a clock 2,000 times: the resolution it tells, and the remainders of a millisecond it shows."""
    output = run(CLOCK.replace("CLOCK_ID", str(clock_id)).encode(), policy=Policy(clock=clock)).stdout  # type: ignore[arg-type]
    numbers = [int.from_bytes(output[at : at + 8], "little") for at in range(0, len(output), 8)]
    return numbers[0], {number % 1_000_000 for number in numbers[1::2]}


@pytest.mark.parametrize("clock_id", [0, 1])
def test_clock_is_too_coarse_to_time_a_cache_unless_granted(clock_id: int) -> None:
    """Both clocks step by a millisecond; granted precise, they do not."""
    resolution, remainders = ticks("coarse", clock_id)
    assert 1_000_000 == resolution
    assert 1 == len(remainders)

    resolution, remainders = ticks("precise", clock_id)
    assert resolution < 1000
    assert len(remainders) > 100


@pytest.mark.parametrize("clock_id", [2, 3, 99])
def test_processor_clocks_tell_nothing(clock_id: int) -> None:
    """The clocks of processor time are absent, or as coarse as the others."""
    _, remainders = ticks("coarse", clock_id)

    assert len(remainders) == 1


RANDOM = """
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\40\\00\\00\\00\\20\\00\\00\\00")
  (func (export "_start")
    (drop (call $random (i32.const 64) (i32.const 32)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""


def test_random_numbers_are_new_in_every_run() -> None:
    """No state is carried from one run to the next that another guest could guess."""
    sandbox = Sandbox(RANDOM.encode())

    assert 20 == len({sandbox.run().stdout for _ in range(20)})


def test_seeded_random_numbers_are_the_same_and_the_seeds_differ() -> None:
    """A seed repeats a run, and tells nothing about another seed's."""
    first, again, other = (run(RANDOM.encode(), policy=Policy(random=seed)).stdout for seed in (42, 42, 43))

    assert first == again
    assert first != other


def test_no_descriptor_of_ours_is_the_guests(attack: Attack, tmp_path: Path) -> None:
    """A file that we have open is not reachable by its number."""
    (tmp_path / "ours.txt").write_text("SECRET")
    with (tmp_path / "ours.txt").open("rb") as ours:
        os.set_inheritable(ours.fileno(), True)
        attacked = attack(call("fd_read", ours.fileno(), 520, 1, 528), call("fd_seek", ours.fileno(), 0, 0, 2048))

    assert [BADF, BADF] == attacked.errnos
    assert b"SECRET" not in attacked.seen


def test_there_is_no_network(attack: Attack) -> None:
    """Sockets of WASI 0.1 answer that nothing is one."""
    attacked = attack(*(call("sock_accept", number, 0, 2048) for number in (0, 1, 3, 4)))

    assert {BADF, NOTSOCK} >= set(attacked.errnos)


def test_stdin_is_empty_unless_given(guests: Path) -> None:
    """A guest never reads what was meant for us."""
    read_end, write_end = os.pipe()
    os.write(write_end, b"typed by the user")
    kept = os.dup(0)
    try:
        os.dup2(read_end, 0)
        result = run(guests / "cat.wat")
    finally:
        os.dup2(kept, 0)
        for number in (kept, read_end, write_end):
            os.close(number)

    assert ("exited", b"") == (result.outcome, result.stdout)


def test_granted_name_does_not_leak_its_host_path(attack: Attack, tmp_path: Path) -> None:
    """Neither a refusal nor a link's text tells where a grant lies."""
    (tmp_path / "granted").mkdir()
    attacked = attack(
        opened("data/../../x"),
        call("path_open", ROOT_FD, 0, "data/none", 0, READ, READ, 0, FD_AT),
        dirs=[Dir(tmp_path / "granted", at="/data")],
    )

    assert str(tmp_path) not in repr(attacked.result.denials)
    assert 0 not in attacked.errnos
