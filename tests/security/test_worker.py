"""Guests in workers: what they meet there, and what is left when a worker dies."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Dir, HostError, Limits, Policy, PolicyError, Sandbox, arun
from security.held import children, kernel_text
from waiting import late, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfence import Result


def workers(parent: int | None = None) -> list[int]:
    """Give the processes of our workers that live; what a dead one was started with is no longer told."""
    found = children("self" if parent is None else parent)
    return [child for child in found if "worker_child" in kernel_text(Path(f"/proc/{child}/cmdline"))]


def walled() -> set[int]:
    """Give the workers that are bound: one that is only started ahead has no wall yet."""
    return {worker for worker in workers() if "Seccomp:\t2\n" in kernel_text(Path(f"/proc/{worker}/status"))}


@pytest.fixture(autouse=True)
def no_workers_left() -> Iterator[None]:
    """Begin and end without workers."""
    from ringfence._engine import core

    core.close_workers()
    yield
    core.close_workers()
    assert [] == workers()


def told(result: Result) -> tuple[object, ...]:
    """Give what must not depend on where a guest ran."""
    denials = [(denial.kind, denial.what, denial.count) for denial in result.denials]
    usage = (result.usage.memory_bytes, result.usage.output_bytes, result.usage.fuel)
    return (
        (result.outcome, result.exit_code, result.limit, result.trap, result.backtrace, result.truncated),
        (result.stdout, result.stderr, denials, usage),
    )


PROGRAMS: list[tuple[str, list[str], dict[str, Any]]] = [
    ("hello.wat", [], {}),
    ("cat.wat", [], {"input": b"x" * 300_000}),
    ("exit_code.wat", ["7"], {}),
    ("exit_code.wat", ["4294967295"], {}),
    ("trap_unreachable.wat", [], {}),
    ("print_arguments.wat", ["a", "", "ä\n"], {}),
    ("print_file.wat", ["/etc/passwd"], {}),
    ("print_file.wat", ["/data/file"], {}),
    ("print_file.wat", ["/etc/\x1b[2Jx"], {"policy": {"on_denied": "stop"}}),
    ("write_file.wat", ["/data/new"], {}),
    ("write_file.wat", ["/tmp/new"], {"policy": {"tmp": True}}),  # noqa: S108 - the guest's own
    ("grow_memory.wat", [], {"policy": {"limits": Limits(memory="4MiB")}}),
    ("flood_stdout.wat", [], {"policy": {"limits": Limits(output="100KiB")}}),
    ("spin_forever.wat", [], {"policy": {"limits": Limits(fuel=100_000)}}),
]


@pytest.mark.parametrize("isolation", ["process", "worker"])
@pytest.mark.parametrize(("guest", "args", "call"), PROGRAMS)
def test_result_is_that_of_a_run_in_process(
    guest: str, args: list[str], call: dict[str, Any], isolation: Any, guests: Path, house: Path
) -> None:
    """Where a guest runs changes nothing of its result."""
    (house / "granted" / "file").write_text("granted\n", encoding="utf-8")
    policy = Policy(dirs=[Dir(house / "granted", at="/data")], env={"A": "b"}, **call.get("policy", {}))
    here, there = (
        Sandbox(guests / guest, policy=policy, isolation=where).run(args, input=call.get("input"))
        for where in ("wasm", isolation)
    )

    assert told(here) == told(there)


def test_streams_are_the_callers(guests: Path, tmp_path: Path) -> None:
    """Files, functions and pipes work as they do in process."""
    sandbox = Sandbox(guests / "cat.wat", isolation="worker")
    pieces: list[bytes] = []
    (tmp_path / "in").write_bytes(b"from a file")
    with (tmp_path / "in").open("rb") as stdin, (tmp_path / "out").open("wb") as stdout:
        sandbox.run(stdin=stdin, stdout=stdout).check()
    sandbox.run(input=b"to a function", stdout=pieces.append).check()
    with sandbox.start() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"through pipes")
        process.stdin.close()
        piped = process.stdout.read()

    assert (b"from a file", b"to a function") == ((tmp_path / "out").read_bytes(), b"".join(pieces))
    assert b"through pipes" == piped


FILL = """(module (memory (export "memory") 49152) (func (export "_start")
  (loop $again (memory.fill (i32.const 0) (i32.const 1) (i32.const -1073741824)) (br $again))))"""


def test_bulk_operation_of_gigabytes_ends_in_time() -> None:
    """One instruction that runs for seconds looks at no clock; its worker is killed, and the next run works."""
    policy = Policy(limits=Limits(wall="300ms", memory="3GiB"))
    sandbox = Sandbox(FILL.encode(), policy=policy, isolation="worker")
    started = time.monotonic()
    result = sandbox.run()

    assert ("limited", "wall") == (result.outcome, result.limit)
    assert time.monotonic() - started < 0.3 + 2 * late()  # the first of which is the start of the worker
    assert result.usage.wall_seconds < 0.3 + late()
    started = time.monotonic()
    assert "wall" == sandbox.run().limit
    assert time.monotonic() - started < 0.3 + 2 * late()


SAYING = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 49152)
  (data (i32.const 0) "\\08\\00\\00\\00\\04\\00\\00\\00said")
  (func $say (param $stream i32) (drop (call $write (local.get $stream) (i32.const 0) (i32.const 1) (i32.const 32))))
  (func (export "_start") (call $say (i32.const 1)) (call $say (i32.const 2)) (call $say (i32.const 1))
    (loop $again (memory.fill (i32.const 0) (i32.const 1) (i32.const -1073741824)) (br $again))))"""


def test_output_before_a_worker_was_killed_is_kept(guests: Path) -> None:
    """What a run said is told, though its worker cannot tell it any more; and never by another run."""
    policy = Policy(limits=Limits(wall="300ms", memory="3GiB"))
    sandbox = Sandbox(SAYING.encode(), policy=policy, isolation="worker")
    for _ in range(2):
        result = sandbox.run()
        assert ("limited", "wall", b"saidsaid", b"said") == (result.outcome, result.limit, result.stdout, result.stderr)
        assert 12 == result.usage.output_bytes
    cut = sandbox.run(limits=Limits(output=6))
    assert ("output", b"said", b"sa") == (cut.limit, cut.stdout, cut.stderr)
    spin = Sandbox(guests / "spin_forever.wat", policy=policy, isolation="worker")
    assert b"" == spin.run(limits=Limits(wall="50ms")).stdout


def test_changes_of_a_killed_worker_are_not_known() -> None:
    """Nobody can tell what its guest had written: to ask is an error, and never an empty list."""
    policy = Policy(dirs=[Dir.memory(at="/scratch")], limits=Limits(wall="300ms", memory="3GiB"))
    result = Sandbox(FILL.encode(), policy=policy, isolation="worker").run()

    assert "wall" == result.limit
    for told in (result, pickle.loads(pickle.dumps(result))):
        with pytest.raises(HostError, match="what the run changed is not known"):
            list(told.changes)
    assert json.loads(result.json())["changes"] is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGTERM])
def test_worker_killed_from_outside_is_a_crash_and_the_next_run_works(guests: Path, number: signal.Signals) -> None:
    """A worker that dies in the middle of a run takes nothing but that run along."""
    sandbox = Sandbox(guests / "spin_forever.wat", isolation="worker")
    assert "wall" == sandbox.run(limits=Limits(wall="50ms")).limit

    def kill() -> None:
        for worker in workers():
            os.kill(worker, number)

    killer = threading.Timer(0.3, kill)
    killer.start()
    started = time.monotonic()
    result = sandbox.run(limits=Limits(wall="20s"))
    killer.join()

    assert "crashed" == result.outcome
    assert result.trap is not None
    assert f"signal {number.value}" in result.trap
    assert time.monotonic() - started < late(2)
    assert "wall" == sandbox.run(limits=Limits(wall="50ms")).limit


def test_workers_killed_between_runs_are_not_missed(guests: Path) -> None:
    """A worker that died while it was free is replaced before a run is given to it."""
    sandbox = Sandbox(guests / "hello.wat", isolation="worker")
    for _ in range(5):
        assert sandbox.run().ok
        for worker in workers():
            descriptor = os.pidfd_open(worker)
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            # Only now nothing of it is left: the list of its arguments is gone before its socket is.
            assert select.select([descriptor], [], [], 10)[0]
            os.close(descriptor)


def test_worker_serves_one_policy_and_one_tenant_only(guests: Path) -> None:
    """Runs of the same policy and tenant share a worker; a change of either is another process."""

    def used(**options: Any) -> set[int]:
        before = walled()
        sandbox = Sandbox(guests / "hello.wat", isolation="worker", **options)
        assert sandbox.run().ok
        assert sandbox.run().ok
        return walled() - before

    policy = Policy(env={"A": "1"})
    assert 1 == len(used(policy=policy))
    assert 0 == len(used(policy=Policy(env={"A": "1"})))
    assert 1 == len(used(policy=policy, tenant="one"))
    assert 0 == len(used(policy=policy, tenant="one"))
    assert 1 == len(used(policy=policy, tenant="two"))
    assert 1 == len(used(policy=Policy(env={"A": "2"})))


def test_worker_inherits_no_descriptor_and_no_variable(guests: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All it has is its socket, and nothing on its standard streams."""
    monkeypatch.setenv("HOST_SECRET", "not for guests")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        sandbox = Sandbox(guests / "hello.wat", isolation="process")
        assert sandbox.run().ok

        def is_apart(worker: int) -> bool:
            try:
                links = [str(entry.readlink()) for entry in Path(f"/proc/{worker}/fd").iterdir()]
            except (FileNotFoundError, ProcessLookupError):  # one that it closed just now, or it has gone
                return False
            # Its socket, the journal of its output, and what it opened itself: code, and the map of its own memory.
            own = ("socket:", "/memfd:ringfence-output", "/dev/null", "anon_inode:", f"/proc/{worker}/pagemap")
            inherited = [link for link in links if not link.startswith(own) and not link.endswith(".cwasm")]
            variables = kernel_text(Path(f"/proc/{worker}/environ")).split("\0")
            named = [variable for variable in variables if variable and not variable.startswith("LD_LIBRARY")]
            return not inherited and not named and os.getsid(worker) == worker

        # That of the run is going; the one that was started ahead closes what it was born with as it begins.
        until(lambda: bool(workers()) and all(is_apart(worker) for worker in workers()))
    finally:
        os.close(reader)
        os.close(writer)


def test_worker_behind_the_wall_is_nobodys_to_look_at(guests: Path) -> None:
    """Its seccomp filter is up, it can gain no privilege, and its session is its own."""
    sandbox = Sandbox(guests / "spin_forever.wat", isolation="worker")
    assert "wall" == sandbox.run(limits=Limits(wall="50ms")).limit

    [worker] = walled()
    assert "NoNewPrivs:\t1\n" in Path(f"/proc/{worker}/status").read_text(encoding="ascii")
    assert worker == os.getsid(worker)


LEAVE = """
import sys, os, threading, time
import ringfence
sandbox = ringfence.Sandbox(sys.argv[1], policy=ringfence.Policy(tmp=True), isolation="worker")
sandbox.run(limits=ringfence.Limits(wall="50ms"))
print(os.getpid(), flush=True)
if sys.argv[2] == "running":
    threading.Thread(target=sandbox.run, daemon=True).start()
    time.sleep(0.2)
sys.stdin.read()
"""


@pytest.mark.parametrize("while_", ["idle", "running"])
@pytest.mark.parametrize("killed", [False, True])
def test_end_of_the_interpreter_leaves_no_process(guests: Path, tmp_path: Path, while_: str, killed: bool) -> None:
    """However it ends, its workers end with it; when it ends well, nothing is left in the temporary directory."""
    command = [sys.executable, "-c", LEAVE, str(guests / "spin_forever.wat"), while_]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdin=-1, stdout=-1, env=environment) as host:
        assert host.stdout is not None
        assert host.stdout.readline()
        left = workers(host.pid)
        assert left
        if killed:
            host.kill()
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in left))
    if not killed and while_ == "idle":
        assert [] == list(tmp_path.iterdir())


def test_many_threads_share_the_pool(guests: Path) -> None:
    """Eight threads of runs that end in every way, none of which hangs or gets another's answer."""
    cat = Sandbox(guests / "cat.wat", isolation="worker")
    trap = Sandbox(guests / "trap_unreachable.wat", isolation="worker")
    wrong: list[object] = []

    def work(thread: int) -> None:
        for number in range(40):
            text = b"%d %d" % (thread, number)
            found = cat.run(input=text).stdout
            if found != text:
                wrong.append((text, found))
            if number % 10 == 0 and trap.run().outcome != "trapped":
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong


def test_ctrl_c_ends_a_run_in_a_worker(guests: Path) -> None:
    """The interrupt is raised soon, and the worker is used again or gone."""
    sandbox = Sandbox(guests / "spin_forever.wat", isolation="worker")
    assert "wall" == sandbox.run(limits=Limits(wall="50ms")).limit
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.2, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        sandbox.run()
    assert time.monotonic() - sent[0] < late()
    timer.join()
    assert "wall" == sandbox.run(limits=Limits(wall="50ms")).limit


def test_cancelled_task_ends_its_guest_in_a_worker(guests: Path) -> None:
    """The event loop goes on, and cancelling ends the guest first."""

    async def give_up() -> float:
        results = await asyncio.gather(
            *(arun(guests / "cat.wat", input=b"%d" % number, isolation="worker") for number in range(4))
        )
        assert [b"0", b"1", b"2", b"3"] == [result.stdout for result in results]
        task = asyncio.create_task(Sandbox(guests / "spin_forever.wat", isolation="worker").arun())
        await asyncio.sleep(0.3)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - started

    assert asyncio.run(give_up()) < late()


def test_nothing_is_left_of_the_previous_run_in_a_worker(guests: Path) -> None:
    """What a run put into its private `/tmp` is gone when the next one looks, in the same worker."""
    policy = Policy(tmp=True)
    write, read = (Sandbox(guests / name, policy=policy, isolation="worker") for name in GUESTS_OF_TMP)
    assert write.run(["/tmp/left"]).ok  # noqa: S108 - the guest's own
    assert 0 != read.run(["/tmp/left"]).exit_code  # noqa: S108 - the guest's own


GUESTS_OF_TMP = ("write_file.wat", "print_file.wat")


def test_tenant_without_a_process_is_refused(guests: Path) -> None:
    """In process nothing keeps two tenants apart, so nobody is led to think so."""
    with pytest.raises(PolicyError, match="tenant"):
        Sandbox(guests / "hello.wat", tenant="one")
    with pytest.raises(PolicyError, match="isolation"):
        Sandbox(guests / "hello.wat", isolation="Worker")  # type: ignore[arg-type]


def test_worker_that_cannot_start_is_an_error_and_no_hang(guests: Path) -> None:
    """A broken installation is told, with its reason."""
    code = (
        "import ringfence, sys; from ringfence._engine import core\n"
        "sandbox = ringfence.Sandbox(sys.argv[1])\n"
        "core.set_worker(sys.argv[2:])\n"
        "try: ringfence.run(sys.argv[1], isolation='worker')\n"
        "except ringfence.HostError as error: print(error.what, '|', error.why)"
    )
    for command, why in ((["/nowhere"], "No such file"), (["/bin/true"], "exit code 0"), (["/bin/sleep", "1"], "")):
        ended = subprocess.run(
            [sys.executable, "-c", code, str(guests / "hello.wat"), *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert ended.stdout.startswith("no worker for this run | ")
        assert why in ended.stdout
