"""Sandboxes."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, GuestExited, Limits, LoadError, Policy, PolicyError, Sandbox
from waiting import late

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from conftest import SandboxFactory


def test_guest_gets_its_name_and_arguments(sandbox: SandboxFactory) -> None:
    """Argument 0 is the program's file name without directories; the others are as given."""
    assert b"print_arguments.wat\0a\0b c\0" == sandbox("print_arguments.wat", "a", "b c").stdout


def test_arguments_may_be_paths(guests: Path) -> None:
    """Paths are arguments like text."""
    assert b"print_arguments.wat\0/data/x\0" == Sandbox(guests / "print_arguments.wat").run([Path("/data/x")]).stdout


def test_one_text_is_not_a_list_of_arguments(guests: Path) -> None:
    """A text is not taken apart into letters."""
    with pytest.raises(TypeError, match=r"write `\['a b'\]`"):
        Sandbox(guests / "print_arguments.wat").run("a b")


@pytest.mark.parametrize("argument", ["a\0b", "a\udcff"])
def test_argument_that_would_not_arrive_is_refused(guests: Path, argument: str) -> None:
    """An argument that would be cut short or garbled at the guest is an error at the host."""
    with pytest.raises(PolicyError, match="an argument cannot be handed to the guest"):
        Sandbox(guests / "print_arguments.wat").run([argument])


def test_guest_sees_only_granted_variables(sandbox: SandboxFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own environment is not the guest's: variables are set, or handed on by name."""
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("SHARED", "2")

    assert b"" == sandbox("print_environment.wat").stdout
    seen = sandbox("print_environment.wat", env={"SET": "3"}, inherit_env=["SHARED", "NOT_THERE"]).stdout
    assert {b"SET=3", b"SHARED=2"} == set(seen.rstrip(b"\0").split(b"\0"))


def test_guest_reads_what_it_is_granted(sandbox: SandboxFactory, tmp_path: Path) -> None:
    """A granted directory is where the policy says, and nothing else is anywhere."""
    (tmp_path / "file").write_text("content", encoding="utf-8")
    dirs = [Dir(tmp_path, at="/data")]

    assert "content" == sandbox("print_file.wat", "/data/file", dirs=dirs).text
    refused = sandbox("print_file.wat", "/etc/passwd", dirs=dirs)
    assert ("exited", 1) == (refused.outcome, refused.exit_code)
    assert [("read", "/etc/passwd", 1)] == [(denial.kind, denial.what, denial.count) for denial in refused.denials]


def test_guest_writes_only_where_it_may(sandbox: SandboxFactory, tmp_path: Path) -> None:
    """A grant is for reading unless it says otherwise."""
    refused = sandbox("write_file.wat", "/data/file", dirs=[Dir(tmp_path, at="/data")])
    assert (1, ["write"]) == (refused.exit_code, [denial.kind for denial in refused.denials])
    assert not (tmp_path / "file").exists()

    sandbox("write_file.wat", "/data/file", dirs=[Dir(tmp_path, at="/data", mode="rw")]).check()
    assert "written" == (tmp_path / "file").read_text(encoding="utf-8")


def test_policy_can_end_a_run_that_is_refused_something(sandbox: SandboxFactory) -> None:
    """With `on_denied="stop"` the first refusal is the end."""
    result = sandbox("print_file.wat", "/etc/passwd", on_denied="stop")

    assert ("denied", None) == (result.outcome, result.exit_code)


def test_limits_of_a_call_may_narrow(guests: Path) -> None:
    """A call takes less than the policy grants."""
    assert "wall" == Sandbox(guests / "spin_forever.wat").run(limits=Limits(wall="100ms")).limit


def test_limits_of_a_call_may_not_widen(guests: Path) -> None:
    """A call cannot take more than the policy grants."""
    sandbox = Sandbox(guests / "hello.wat", policy=Policy(limits=Limits(wall="1s")))

    with pytest.raises(PolicyError, match="wall"):
        sandbox.run(limits=Limits(wall="2s"))


def test_check_raises_at_the_call(guests: Path) -> None:
    """`check=True` is `.check()`."""
    with pytest.raises(GuestExited):
        Sandbox(guests / "exit_code.wat").run(["1"], check=True)


def test_many_threads_share_a_sandbox(guests: Path) -> None:
    """Runs at the same time do not see each other."""
    sandbox = Sandbox(guests / "cat.wat")
    answers: dict[int, bytes] = {}
    threads = [
        threading.Thread(target=lambda n=n: answers.update({n: sandbox.run(input=b"%d" % n).stdout})) for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {n: b"%d" % n for n in range(16)} == answers


def test_interpreter_goes_on_while_a_guest_runs(guests: Path) -> None:
    """A guest that spins does not hold the interpreter."""
    sandbox = Sandbox(guests / "spin_forever.wat")
    thread = threading.Thread(target=lambda: sandbox.run(limits=Limits(wall="500ms")))
    thread.start()
    count = 0
    while thread.is_alive():
        count += 1

    assert count > 1000


def test_ctrl_c_ends_a_run(guests: Path) -> None:
    """An interrupt is raised within 100 ms, and the guest is gone."""
    sandbox = Sandbox(guests / "spin_forever.wat")
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.2, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        sandbox.run()
    assert time.monotonic() - sent[0] < late(0.3)
    timer.join()


def test_ctrl_c_ends_a_run_with_a_function_for_output(
    guests: Path, nothing_stays: Callable[[], AbstractContextManager[None]]
) -> None:
    """The same when the guest has a thread of its own; nothing is left behind."""
    sandbox = Sandbox(guests / "spin_forever.wat")
    with nothing_stays():  # the thread of the function sees the end of its pipe, and ends by itself
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            sandbox.run(stdout=lambda _: None)
        timer.join()


def test_cancelled_task_ends_its_guest(guests: Path) -> None:
    """Cancelling waits until the guest is gone, within 100 ms, and leaves no thread."""
    sandbox = Sandbox(guests / "spin_forever.wat")

    async def give_up() -> float:
        task = asyncio.create_task(sandbox.arun())
        await asyncio.sleep(0.1)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - started

    before = threading.active_count()
    assert asyncio.run(give_up()) < late(0.3)
    assert before == threading.active_count()


def test_awaited_runs_overlap(guests: Path) -> None:
    """The event loop goes on, and guests wait beside each other."""
    sandbox = Sandbox(guests / "cat.wat")

    async def both() -> list[bytes]:
        results = await asyncio.gather(*(sandbox.arun(input=b"%d" % n) for n in range(8)))
        return [result.stdout for result in results]

    assert [b"%d" % n for n in range(8)] == asyncio.run(both())


def test_unknown_import_is_named(tmp_path: Path) -> None:
    """A program that wants what nobody provides is refused before it runs."""
    odd = tmp_path / "odd.wat"
    odd.write_text('(module (import "env" "launch_missiles" (func)) (func (export "_start")))', encoding="utf-8")

    with pytest.raises(LoadError, match="launch_missiles"):
        Sandbox(odd)


def test_sandbox_shows_its_program(guests: Path) -> None:
    """The repr is for people."""
    assert "<Sandbox 'hello.wat'>" == repr(Sandbox(guests / "hello.wat"))


def test_runs_go_on_from_where_an_export_returned(guests: Path) -> None:
    """What it had computed and read is there; arguments, variables, input and random numbers are each run's own."""
    whole = Sandbox(guests / "prepared.wat", policy=Policy(env={"SET": "1"}))
    prepared = whole.snapshot(after="init", input=b"kept")

    first, second = (prepared.run([arg], input=arg.encode()).stdout.split(b"\0") for arg in ("one", "two"))

    common = [b"1", b"kept", b"cold", b"prepared.wat"]
    assert [*common, b"one", b"", b"SET=1", b"", b"one"] == first[:9]
    assert [*common, b"two", b"", b"SET=1", b"", b"two"] == second[:9]
    assert first[9:] != second[9:]
    assert b"0" == whole.run().stdout.split(b"\0")[0]
    assert f"<Sandbox {whole.program.name!r} after 'init'>" == repr(prepared)


def test_snapshot_is_awaited_and_a_cancelled_task_ends_its_call(guests: Path) -> None:
    """While the event loop goes on."""
    spinning = Sandbox(
        b'(module (memory (export "memory") 1) (func (export "_start")) (func (export "init") (loop (br 0))))'
    )

    async def take() -> bytes:
        prepared = await Sandbox(guests / "prepared.wat").asnapshot(after="init")
        task = asyncio.create_task(spinning.asnapshot(after="init"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return prepared.run().stdout[:1]

    assert b"1" == asyncio.run(take())


def test_snapshot_of_a_snapshot_goes_further(guests: Path) -> None:
    """Each call is captured on top of those before it."""
    once = Sandbox(guests / "prepared.wat").snapshot(after="init")
    twice = once.snapshot(after="init")

    assert [b"1", b"2", b"1"] == [each.run().stdout[:1] for each in (once, twice, once)]


LIBRARY = b"""(module
  (memory (export "memory") 1)
  (func (export "_initialize") (i32.store8 (i32.const 1) (i32.const 1)))
  (func (export "init") (if (i32.load8_u (i32.const 1)) (then (i32.store8 (i32.const 0) (i32.const 1)))))
  (func (export "call") (if (i32.eqz (i32.load8_u (i32.const 0))) (then unreachable))))"""


def test_runs_of_a_library_call_the_export_that_is_named() -> None:
    """A library is set up before it is captured; what its runs call has to be said."""
    library = Sandbox(LIBRARY)
    with pytest.raises(LoadError, match="name the export that they call"):
        library.snapshot(after="init")

    assert library.snapshot(after="init", entry="call").run().ok
    assert "trapped" == library.snapshot(after="_initialize", entry="call").run().outcome


def test_snapshot_needs_exports_that_can_be_called(guests: Path) -> None:
    """Neither what is called once nor what every run calls takes or gives anything."""
    whole = Sandbox(guests / "prepared.wat")
    for after, entry, why in [
        ("no\x1b[2Jne", None, r"`no\\u\{1b\}\[2Jne` is not there"),
        ("memory", None, "`memory` is not a function"),
        ("taking", None, "`taking` is not a function without parameters and results"),
        ("init", "none", "`none` is not there"),
    ]:
        with pytest.raises(LoadError, match=why):
            whole.snapshot(after=after, entry=entry)


def test_call_that_is_captured_has_streams_and_limits(guests: Path) -> None:
    """It is a run as any other, but for what it leaves."""
    pieces: list[bytes] = []
    whole = Sandbox(guests / "prepared.wat")
    called = whole.snapshot(after="_start", args=["a"], stdout=pieces.append)

    assert b"a" == b"".join(pieces).split(b"\0")[3]
    assert b"9" == called.run().stdout[:1]
    with pytest.raises(ValueError, match='"pipe" needs somebody'):
        whole.snapshot(after="_start", stdout="pipe")
    with pytest.raises(PolicyError, match="wall"):
        whole.snapshot(after="init", limits=Limits(wall="1000s"))


def test_started_and_awaited_runs_go_on_from_a_snapshot(guests: Path) -> None:
    """It is a sandbox in every way."""
    prepared = Sandbox(guests / "prepared.wat").snapshot(after="init")

    assert b"1" == asyncio.run(prepared.arun()).stdout[:1]
    assert b"1" == prepared.start(stdin=None, stdout="capture").wait().stdout[:1]
