"""Attacks on the limits themselves: around them, below them, all at once, and after them."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Dir, LimitReached, Limits, Policy, PolicyError, WallReached
from security.guest import CREAT, LAST, READ, WRITE, call, opened
from security.isolated import Sandbox, run
from waiting import late

if TYPE_CHECKING:
    from pathlib import Path

    from security.conftest import Attack, Measure

pytestmark = pytest.mark.usefixtures("isolation")

MFILE = 33
SPIN = b'(module (func (export "_start") (loop $again (br $again))))'


@pytest.mark.parametrize(
    ("name", "wider"),
    [
        ("wall", "2s"),
        ("cpu", "2s"),
        ("fuel", 2000),
        ("memory", "2MiB"),
        ("output", 2),
        ("host_bytes", "9GiB"),
        ("open_files", 9),
        ("disk", 9),
        ("files", 9),
        ("connections", 9),
        ("net_bytes", 9),
    ],
)
def test_call_cannot_widen_what_the_policy_limits(guests: Path, name: str, wider: Any) -> None:
    """A limit given at a call may only narrow the policy's."""
    limits = Limits(
        wall="1s",
        cpu="1s",
        fuel=1000,
        memory="1MiB",
        output=1,
        open_files=8,
        disk=8,
        files=8,
        connections=8,
        net_bytes=8,
    )
    sandbox = Sandbox(guests / "hello.wat", policy=Policy(limits=limits))

    with pytest.raises(PolicyError, match=name):
        sandbox.run(limits=Limits(**{name: wider}))


@pytest.mark.parametrize("nonsense", ["-1s", "0s", "nan", "inf", "1e400", "5 s ", "64MB", "0x10", "\u0661s", ""])
@pytest.mark.parametrize("name", ["wall", "memory"])
def test_nonsense_is_no_limit_at_all(name: str, nonsense: str) -> None:
    """Text that is not an amount is refused; it is never read as "unlimited"."""
    with pytest.raises(PolicyError):
        Limits(**{name: nonsense})  # type: ignore[arg-type]


@pytest.mark.parametrize("nonsense", [-1, 0, float("nan"), float("inf"), -0.5])
def test_number_that_is_no_time_is_refused(nonsense: float) -> None:
    """Nor is a number that no clock can reach."""
    with pytest.raises(PolicyError):
        Limits(wall=nonsense)


def test_open_files_are_counted(attack: Attack, tmp_path: Path) -> None:
    """Past the limit the guest gets an error number, and closing one makes room again."""
    (tmp_path / "file").touch()
    open_one = opened("data/file")

    attacked = attack(
        *[open_one] * 12,
        call("fd_close", LAST),
        open_one,
        dirs=[Dir(tmp_path, at="/data")],
        limits=Limits(open_files=8),
    )

    assert 0 == attacked.errnos[0]
    assert MFILE == attacked.errnos[11]
    assert [0, 0] == attacked.errnos[12:]
    assert "open_files" in {denial.kind for denial in attacked.result.denials}


def test_open_files_of_many_guests_do_not_exhaust_the_host(attack: Attack, tmp_path: Path) -> None:
    """What a run opened is closed with it, however it ended."""
    (tmp_path / "file").touch()
    calls = [opened("data/file")] * 40

    for _ in range(60):
        attacked = attack(*calls, dirs=[Dir(tmp_path, at="/data")])

    assert {0} == set(attacked.errnos)


def test_giant_requests_are_cut_to_what_the_host_may_hold(measured: Measure) -> None:
    """A guest that names a size of gigabytes for one call makes the host allocate no more than `host_bytes`."""
    source = """
    (module
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 3000)
      (data (i32.const 0) "\\40\\00\\00\\00\\00\\00\\00\\0b")
      (func (export "_start")
        (drop (call $random (i32.const 64) (i32.const 190000000)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (drop (call $random (i32.const 64) (i32.const -1)))))
    """

    ended = measured(source, output="1MiB", memory="200MiB", host_bytes="8MiB")

    assert ended.outcome in {"limited", "exited", "trapped"}
    assert ended.peak_bytes < (190 + 64 + 64) << 20


@pytest.mark.parametrize("count", [2**16, 2**31, 2**32 - 1])
def test_list_of_pieces_without_end_is_an_error_number(attack: Attack, count: int) -> None:
    """A vector of buffers that runs out of memory, or names the same one four billion times, ends quickly."""
    began = time.monotonic()

    attacked = attack(
        call("fd_write", 2, 520, count, 528), call("fd_read", 0, 520, count, 528), limits=Limits(wall="60s")
    )

    assert time.monotonic() - began < late(3)
    assert attacked.result.outcome in {"exited", "limited", "trapped"}


ADDRESSES = [0, 65535, 131071, 131072, 2**31 - 1, 2**31, 2**32 - 64, 2**32 - 1]


@pytest.mark.parametrize("address", ADDRESSES)
def test_pointer_out_of_memory_is_an_error_number(attack: Attack, address: int) -> None:
    """Results written past the end of memory, or wrapping around it, fault the guest and never the host."""
    attacked = attack(
        call("random_get", address, 1 << 20),
        call("fd_filestat_get", 0, address),
        call("fd_prestat_get", 3, address),
        call("fd_write", 2, address, 1, 528),
        call("fd_write", 2, 520, 1, address),
    )

    assert attacked.result.outcome in {"exited", "trapped"}


def test_error_of_a_limit_says_which() -> None:
    """`check` raises a LimitReached that carries the result; for `wall` it is a TimeoutError too."""
    with pytest.raises(WallReached) as reached:
        run(SPIN, policy=Policy(limits=Limits(wall="50ms")), check=True)

    assert isinstance(reached.value, TimeoutError)
    assert isinstance(reached.value, LimitReached)
    assert "wall" == reached.value.result.limit


def test_hundred_loops_at_once_all_end() -> None:
    """Each of a hundred guests that never end, on a thread of its own, is stopped in time."""
    sandbox = Sandbox(SPIN, policy=Policy(limits=Limits(wall="500ms")))
    ended: list[tuple[str, str | None]] = []

    def spin() -> None:
        result = sandbox.run()
        ended.append((result.outcome, result.limit))

    threads = [threading.Thread(target=spin) for _ in range(100)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [("limited", "wall")] * 100 == ended
    assert time.monotonic() - began < late(12)  # most of it is the start of a hundred workers, on two processors


def test_killed_and_cancelled_guests_are_gone_at_once() -> None:
    """`kill()` and a cancelled task end the guest within 100 ms, and the host lives."""
    sandbox = Sandbox(SPIN)
    process = sandbox.start()
    time.sleep(0.1)
    began = time.monotonic()
    process.kill()
    assert "cancelled" == process.wait().outcome
    assert time.monotonic() - began < late(0.2)

    async def cancel() -> float:
        task = asyncio.create_task(sandbox.arun())
        await asyncio.sleep(0.1)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    assert asyncio.run(cancel()) < late(0.2)


def test_every_limit_leaves_a_working_host(guests: Path) -> None:
    """After a guest was stopped at any limit, the same process runs the next one."""
    cases = [
        (guests / "spin_forever.wat", Limits(wall="50ms"), "wall"),
        (guests / "spin_forever.wat", Limits(cpu="50ms"), "cpu"),
        (guests / "spin_forever.wat", Limits(fuel=1000), "fuel"),
        (guests / "grow_memory.wat", Limits(memory="8MiB"), "memory"),
        (guests / "flood_stdout.wat", Limits(output="8KiB"), "output"),
    ]
    for program, limits, name in cases:
        result = run(program, policy=Policy(limits=limits))
        assert ("limited", name) == (result.outcome, result.limit)
        assert b"hello, world\n" == run(guests / "hello.wat").stdout


def test_writing_is_refused_before_it_starts(attack: Attack, tmp_path: Path) -> None:
    """A sparse giant in a writable grant takes no room, and a refused one leaves no file behind."""
    attacked = attack(
        opened("data/sparse", oflags=CREAT, rights=READ | WRITE),
        call("fd_filestat_set_size", LAST, 1 << 62),
        call("fd_pwrite", LAST, 520, 1, (1 << 63) - 1, 528),
        dirs=[Dir(tmp_path, at="/data", mode="rw")],
    )

    assert "exited" == attacked.result.outcome
    assert (tmp_path / "sparse").stat().st_blocks < 1024
