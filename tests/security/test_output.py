"""Attacks on whoever reads a guest's output: floods, and text that takes over a terminal or forges a log."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Limits, Policy, Result
from security.isolated import run
from waiting import late

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command
    from security.conftest import Measure

pytestmark = pytest.mark.usefixtures("isolation")

KIB = 1024


def flood(fd: int, length: int, *, offsets: int = 1) -> str:
    """Write to a descriptor for ever: so many bytes a call, in so many pieces."""
    pieces = "".join(
        f"(i32.store (i32.const {8192 + 8 * n}) (i32.const 65536))"
        f"(i32.store (i32.const {8196 + 8 * n}) (i32.const {length}))"
        for n in range(offsets)
    )
    return f"""
    (module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 40)
      (func (export "_start")
        {pieces}
        (memory.fill (i32.const 65536) (i32.const 65) (i32.const {length}))
        (loop $again
          (drop (call $write (i32.const {fd}) (i32.const 8192) (i32.const {offsets}) (i32.const 8)))
          (br $again))))
    """


FLOODS = {
    "stdout": flood(1, 65536),
    "stderr": flood(2, 65536),
    "one byte at a time": flood(1, 1),
    "2 MiB at a time": flood(1, 2 << 20),
    "400 pieces at a time": flood(1, 65536, offsets=400),
}


@pytest.mark.parametrize("program", FLOODS.values(), ids=FLOODS.keys())
def test_flood_ends_at_its_limit(measured: Measure, program: str) -> None:
    """Both streams count into one total, in pieces of any size, and the host holds no more than that."""
    ended = measured(program, output="256KiB", wall="5s")

    assert ("limited", "output") == (ended.outcome, ended.limit)
    assert ended.peak_bytes < 64 << 20


def test_what_was_written_up_to_the_limit_is_kept() -> None:
    """A flood is cut, and says so: never silently, never past the limit."""
    result = run(FLOODS["stdout"].encode(), policy=Policy(limits=Limits(output="100KiB")))

    assert result.truncated
    assert b"A" * 100 * KIB == result.stdout


def test_both_streams_share_one_limit() -> None:
    """Half of the limit on each stream is the whole of it."""
    program = flood(1, 1000).replace(
        "(br $again)", "(drop (call $write (i32.const 2) (i32.const 8192) (i32.const 1) (i32.const 8))) (br $again)"
    )

    result = run(program.encode(), policy=Policy(limits=Limits(output="10KiB")))

    assert ("limited", "output") == (result.outcome, result.limit)
    assert 10 * KIB == len(result.stdout) + len(result.stderr)


@pytest.mark.parametrize("sink", ["discard", "file", "callable", "inherit"])
def test_no_sink_escapes_the_limit(tmp_path: Path, sink: str, ringfence: Command) -> None:
    """Output that is not kept counts the same: to a file, to nowhere, to a function, to our own stdout."""
    policy = Policy(limits=Limits(output="64KiB"))
    got: list[bytes] = []
    if sink == "inherit":
        file = tmp_path / "flood.wat"
        file.write_text(FLOODS["stdout"])
        ended = ringfence("run", "--output", "64KiB", file)
        assert (124, 64 * KIB) == (ended.exit_code, len(ended.stdout))
        return
    if sink == "file":
        with (tmp_path / "out").open("wb") as file_sink:
            result = run(FLOODS["stdout"].encode(), policy=policy, stdout=file_sink)
        got.append((tmp_path / "out").read_bytes())
    elif sink == "callable":
        result = run(FLOODS["stdout"].encode(), policy=policy, stdout=got.append)
    else:
        result = run(FLOODS["stdout"].encode(), policy=policy, stdout="discard")
        got.append(b"A" * 64 * KIB)

    assert ("limited", "output") == (result.outcome, result.limit)
    assert 64 * KIB == sum(map(len, got))


def test_reader_that_does_not_read_holds_only_until_the_deadline() -> None:
    """A full pipe makes the guest wait, and waiting is time on the clock."""
    read_end, write_end = os.pipe()
    try:
        result = run(FLOODS["stdout"].encode(), policy=Policy(limits=Limits(wall="500ms")), stdout=write_end)
    finally:
        os.close(read_end)
        os.close(write_end)

    assert ("limited", "wall") == (result.outcome, result.limit)
    assert result.usage.wall_seconds < 0.5 + late()


def test_reader_that_went_away_does_not_kill_the_host() -> None:
    """A broken pipe is the guest's error number, not our SIGPIPE."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        result = run(FLOODS["stdout"].encode(), policy=Policy(limits=Limits(wall="500ms")), stdout=write_end)
    finally:
        os.close(write_end)

    assert result.outcome in {"exited", "limited", "trapped"}


def test_writes_to_a_granted_file_do_not_count_as_output(tmp_path: Path) -> None:
    """The limit is on the streams: a file is another matter, and closing stdout gives no new one."""
    program = """
    (module
      (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "\\08\\00\\00\\00\\05\\00\\00\\00after")
      (func (export "_start")
        (drop (call $close (i32.const 1)))
        (call $exit (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))))
    """

    result = run(program.encode(), policy=Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")]))

    assert ("exited", 8) == (result.outcome, result.exit_code)
    assert b"" == result.stdout


ESCAPES = "\\1b]0;owned\\07\\1b[2J\\0d\\0aerror: forged\\0a\\c2\\9b31m\\e2\\80\\ae"
LENGTH = 38
SPEAKERS = {
    "a function's name": f"""
        (module
          (func unreachable)
          (func (export "_start") (call 0))
          (@custom "name" "\\01\\{LENGTH + 3:02x}\\01\\00\\{LENGTH:02x}{ESCAPES}"))
    """,
    "a path": f"""
        (module
          (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 64) "/{ESCAPES}")
          (func (export "_start")
            (call $exit (call $open (i32.const 3) (i32.const 1) (i32.const 64) (i32.const {LENGTH + 1})
              (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 32)))))
    """,
    "an import": f'(module (import "{ESCAPES}" "{ESCAPES}" (func)) (func (export "_start")))',
    "an export": f'(module (func (export "_start")) (func (export "{ESCAPES}")))',
}


def spoken(result: Result) -> str:
    """Give every text of a result that we would print."""
    return f"{result!r} {result.trap} {result.backtrace} {result.denials!r}"


@pytest.mark.parametrize("program", SPEAKERS.values(), ids=SPEAKERS.keys())
@pytest.mark.parametrize("verb", ["run", "inspect"])
def test_guests_text_is_escaped_wherever_we_print_it(
    ringfence: Command, tmp_path: Path, program: str, verb: str
) -> None:
    """No escape code, line break or override that the guest chose reaches a terminal through us."""
    (tmp_path / "speaker.wat").write_text(program)

    ended = ringfence(verb, "speaker.wat")

    for shown in (ended.stdout, ended.stderr):
        assert not [character for character in shown if not character.isprintable() and character != "\n"]
        assert not [line for line in shown.splitlines() if line.startswith("error: forged")]


@pytest.mark.parametrize("name", ["a function's name", "a path"])
def test_text_of_a_result_is_escaped(name: str) -> None:
    """Traps, backtraces and denials carry the guest's words safely, each on its own line."""
    shown = spoken(run(SPEAKERS[name].encode()))

    assert "forged" in shown
    assert not [character for character in shown if not character.isprintable() and character != "\n"]
    assert not [line for line in shown.splitlines() if line.startswith("error: forged")]


def test_output_of_many_runs_at_once_is_not_mixed() -> None:
    """Each run keeps its own output, whoever else writes."""
    programs = {
        letter: flood(1, 100).replace("(i32.const 65) (i32.const 100)", f"(i32.const {ord(letter)}) (i32.const 100)")
        for letter in "ABCD"
    }
    results: dict[str, bytes] = {}

    def write(letter: str) -> None:
        results[letter] = run(programs[letter].encode(), policy=Policy(limits=Limits(output="1MiB"))).stdout

    threads = [threading.Thread(target=write, args=(letter,)) for letter in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {letter: {ord(letter)} for letter in programs} == {letter: set(got) for letter, got in results.items()}


def test_flood_into_a_pipe_nobody_reads_ends_as_a_native_program_would() -> None:
    """
    A guest that does not look at its errors does not write on until its deadline.

    A few failed writes are its to handle; then it ends with the code that a shell tells of SIGPIPE.
    """
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = run(flood(1, KIB).encode(), stdout=writer, policy=Policy(limits=Limits(wall="20s")))
    finally:
        os.close(writer)

    assert ("exited", 141) == (result.outcome, result.exit_code)
    assert result.usage.wall_seconds < 10
