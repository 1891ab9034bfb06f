"""`ringfence run`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from keyboard import interrupted
from ringfence import Result

if TYPE_CHECKING:
    from conftest import Command


def test_output_is_the_guests(ringfence: Command) -> None:
    """A run that ends well adds nothing of ours."""
    assert "exit: 0\n--- stdout\nhello, world\n--- stderr\n" == str(ringfence("run", "guests/hello.wat"))


def test_input_is_streamed(ringfence: Command) -> None:
    """More than a pipe holds goes through."""
    text = "0123456789abcdef" * 8 * 1024

    assert text == ringfence("run", "guests/cat.wat", input=text.encode()).stdout


def test_arguments_after_the_program_are_its_own(ringfence: Command) -> None:
    """Even `--help` is; argument 0 is the name without directories."""
    ended = ringfence("run", "guests/print_arguments.wat", "--help", "-x", "")

    assert "print_arguments.wat\0--help\0-x\0\0" == ended.stdout


def test_hint_for_a_connection_is_true(ringfence: Command, dial_program: Path) -> None:
    """Running it as the hint says connects."""
    import shlex
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        refused = ringfence("run", dial_program, "each", address)
        hint = ringfence("run", dial_program, "tcp", address, "hello").stderr.splitlines()[-1]
        flags = shlex.split(hint.split("add `", 1)[1].split("`, or", 1)[0])
        granted = ringfence("run", *flags, dial_program, "each", address)

    assert f"{address}: PermissionDenied\n" == refused.stdout
    assert (0, f"{address}: connected\n", "") == (granted.exit_code, granted.stdout, granted.stderr)


@pytest.mark.parametrize(("code", "passed"), [(0, 0), (7, 7), (256, 255)])
def test_exit_code_passes_through(ringfence: Command, code: int, passed: int) -> None:
    """The guest's own code, silently; above 255 it is 255."""
    assert f"exit: {passed}\n--- stdout\n--- stderr\n" == str(ringfence("run", "guests/exit_code.wat", code))


def test_wall_limit_is_124(ringfence: Command) -> None:
    """A guest that never ends is stopped, and the flag that gives it longer is named."""
    ended = ringfence("run", "--wall", "200ms", "guests/spin_forever.wat")

    assert (124, "") == (ended.exit_code, ended.stdout)
    error, hint = ended.stderr.splitlines()
    assert error.startswith("error: the guest was stopped at its wall limit: it was still running after 2")
    assert "hint: the limit was 200ms, raise it with `--wall 400ms`, or leave it so" == hint


def test_memory_limit_is_124(ringfence: Command) -> None:
    """A guest that dies of too little memory says so in our words."""
    ended = ringfence("run", "--memory", "4MiB", "guests/grow_memory.wat")

    assert (124, "") == (ended.exit_code, ended.stdout)
    assert ended.stderr.startswith("error: the guest was stopped at its memory limit: ")
    assert "hint: the limit was 4MiB, raise it with `--memory 8MiB`, or leave it so\n" in ended.stderr


def test_output_limit_is_124(ringfence: Command) -> None:
    """A flood is cut at its limit; what was written up to there has been streamed."""
    ended = ringfence("run", "--output", "1KiB", "guests/flood_stdout.wat")

    assert (124, 1024) == (ended.exit_code, len(ended.stdout))
    assert (
        "error: the guest was stopped at its output limit: it had written 1 KiB\n"
        "hint: the limit was 1KiB, raise it with `--output 2KiB`, or leave it so\n"
    ) == ended.stderr


def test_trap_is_134(ringfence: Command) -> None:
    """A trap is the program's defect: there is nothing to grant."""
    expected = """\
exit: 134
--- stdout
--- stderr
error: the guest trapped: unreachable
"""
    assert expected == str(ringfence("run", "guests/trap_unreachable.wat"))


def test_refused_read_hints_at_its_flag(ringfence: Command) -> None:
    """A run that was refused something and failed tells which flag would have granted it."""
    expected = """\
exit: 1
--- stdout
--- stderr
hint: the guest was refused a read of `/etc/passwd`, the policy grants nothing: add `--dir /etc:/etc`, or leave it so
"""
    assert expected == str(ringfence("run", "guests/print_file.wat", "/etc/passwd"))


def test_hint_for_a_read_is_true(ringfence: Command) -> None:
    """What the hint names lets the guest read."""
    assert (
        Path("/etc/passwd").read_text(encoding="utf-8")
        == ringfence("run", "--dir", "/etc:/etc", "guests/print_file.wat", "/etc/passwd").stdout
    )


def test_refused_write_hints_at_the_mode(ringfence: Command, tmp_path: Path) -> None:
    """A directory granted for reading is named again with `:rw`, and that lets the guest write."""
    (tmp_path / "data").mkdir()

    refused = ringfence("run", "--dir", "data", "guests/write_file.wat", "/data/out")
    assert (
        "hint: the guest was refused a write of `/data/out`, the policy grants only `/data`: "
        f"grant it as `--dir {tmp_path}/data:/data:rw`, or leave it so\n"
    ) == refused.stderr

    granted = ringfence("run", "--dir", f"{tmp_path}/data:/data:rw", "guests/write_file.wat", "/data/out")
    assert (0, "written") == (granted.exit_code, (tmp_path / "data" / "out").read_text(encoding="utf-8"))


def test_policy_that_stops_is_126(ringfence: Command) -> None:
    """A run ended by its policy has a code of its own."""
    expected = """\
exit: 126
--- stdout
--- stderr
error: the guest was ended by its policy: it was refused a read of `/etc/passwd`
hint: the guest was refused a read of `/etc/passwd`, the policy grants nothing: add `--dir /etc:/etc`, or leave it so
"""
    assert expected == str(ringfence("run", "--on-denied", "stop", "guests/print_file.wat", "/etc/passwd"))


def test_missing_program_is_127(ringfence: Command) -> None:
    """There is no such program: three parts, no traceback."""
    ended = ringfence("run", "no-such.wasm")

    assert (127, "") == (ended.exit_code, ended.stdout)
    assert ended.stderr.startswith("error: ")
    assert "no-such.wasm" in ended.stderr
    assert "\nhint: " in ended.stderr


@pytest.mark.parametrize("flags", [("--wall", "5 parsecs"), ("--memory", "64MB"), ("--dir", "no-such-place")])
def test_wrong_grant_is_2(ringfence: Command, flags: tuple[str, ...]) -> None:
    """A flag that cannot be meant is refused before anything runs."""
    ended = ringfence("run", *flags, "guests/hello.wat")

    assert (2, "") == (ended.exit_code, ended.stdout)
    assert ended.stderr.startswith("error: ")
    assert "\nhint: " in ended.stderr


def test_other_file_is_2(ringfence: Command, tmp_path: Path) -> None:
    """What is not a program is refused with its reason."""
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    ended = ringfence("run", "notes.txt")

    assert (2, "") == (ended.exit_code, ended.stdout)
    assert "notes.txt" in ended.stderr


def test_json_is_the_result(ringfence: Command) -> None:
    """`--json` captures the guest's output and prints the whole result, in the published shape."""
    ended = ringfence("run", "--json", "guests/exit_code.wat", 3)
    document = json.loads(ended.stdout)

    jsonschema.Draft202012Validator(json.loads(Result.schema())).validate(document)
    assert (3, "exited", 3, "") == (ended.exit_code, document["outcome"], document["exit_code"], ended.stderr)


def test_json_tells_our_error_from_a_guests_code(ringfence: Command) -> None:
    """An error before the run is JSON too, with its stable code."""
    ended = ringfence("run", "--json", "no-such.wasm")

    assert (127, "program-not-found") == (ended.exit_code, json.loads(ended.stdout)["error"]["code"])


def test_escape_codes_of_a_name_do_not_reach_the_terminal(ringfence: Command) -> None:
    """A path the guest chose is escaped in what we say about it."""
    ended = ringfence("run", "guests/print_file.wat", "/etc/\x1b[2Jx")

    assert "\x1b" not in ended.stderr
    assert "1b" in ended.stderr


CATCHES = """
import time
try:
    print("ready", flush=True)
    while True: time.sleep(0.01)
except KeyboardInterrupt:
    print("caught")
{then}
"""


@pytest.mark.skipif(importlib.util.find_spec("ringfence_language_python") is None, reason="no Python pack")
@pytest.mark.timeout(300)  # the pack may have to be compiled
@pytest.mark.parametrize(("then", "code"), [("", 0), ("raise SystemExit(7)", 7), ("raise", 130)])
def test_ctrl_c_that_the_guest_caught_is_its_own_affair(compiled: Path, then: str, code: int) -> None:
    """It exits as it says, like a native Python; one that does not catch it exits with 130."""
    assert compiled.is_dir()
    program = CATCHES.format(then=f"    {then}" if then else "")

    assert (code, "caught\n") == interrupted("run", "--language", "python", "-c", program)[:2]
