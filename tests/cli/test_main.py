"""From the command line to an exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ringfence.cli import _main
from waiting import late, until

if TYPE_CHECKING:
    from conftest import Command

USAGE = """\
exit: 0
--- stdout
usage: ringfence VERB …

Run any WASI program under one policy: files, variables, clocks and limits, denied unless granted.

verbs:
  run          run a program under a policy
  repl         type into a session of a language, under a policy
  session      list or remove sessions that were saved
  languages    list, check and install the languages that scripts can be in
  mcp          serve sandboxed sessions to agents, as tools of the Model Context Protocol
  inspect      show what a program wants and offers
  new          make a folder to begin a plugin with
  build        build a plugin with the tools of its language
  bindings     write the types of a plugin as a stub, for type checkers
  call         call a function of a plugin
  profile      measure where the time of calls of a plugin goes
  compile      compile a program into the cache
  bake         make a program of a script in Python, for any runtime of WASI 0.2
  cache        show or prune the cache of compiled programs and packages
  policy       check a policy file, or print its schema
  doctor       show what this machine has, and what is missing
  completions  print completions for a shell

`ringfence VERB --help` tells more; `ringfence --version` tells the version.
--- stderr
"""


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_lists_every_verb(ringfence: Command, words: tuple[str, ...]) -> None:
    """Without a verb, the command says what it can do."""
    assert USAGE == str(ringfence(*words))


def test_version_is_told(ringfence: Command) -> None:
    """One line, name and number."""
    assert r"ringfence 0.1.0" == ringfence("--version").stdout.strip()


def test_wrong_verb_leads_to_the_right_one(ringfence: Command) -> None:
    """A typing error names what was probably meant."""
    expected = """\
exit: 2
--- stdout
--- stderr
error: there is no verb `inspct`: the verbs are run, repl, session, languages, mcp, inspect, new, build, bindings, call, profile, compile, bake, cache, policy, doctor, completions
hint: did you mean `ringfence inspect`?
"""  # noqa: E501
    assert expected == str(ringfence("inspct"))


def test_program_without_a_verb_leads_to_run(ringfence: Command) -> None:
    """Who names a file at once wants to run it."""
    assert "hint: did you mean `ringfence run guests/hello.wat`?" in ringfence("guests/hello.wat").stderr


def test_wrong_flag_leads_to_the_right_one(ringfence: Command) -> None:
    """The same for flags; there are no abbreviations to guess wrong."""
    expected = """\
exit: 2
--- stdout
--- stderr
error: unrecognized arguments: --memroy
hint: did you mean `--memory`?
"""
    assert expected == str(ringfence("run", "--memroy", "1MiB", "guests/hello.wat"))


def test_defect_of_ours_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What we did not think of exits with 125, without a traceback unless it is asked for."""

    def fail(_: str) -> None:
        raise LookupError("first\nsecond")

    monkeypatch.setattr(_main, "load", fail)
    monkeypatch.delenv("RINGFENCE_TRACEBACK", raising=False)

    assert 125 == _main.main(["doctor"])
    assert "error: ringfence failed: LookupError: first second\n" in capsys.readouterr().err

    monkeypatch.setenv("RINGFENCE_TRACEBACK", "1")
    with pytest.raises(LookupError):
        _main.main(["doctor"])


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("call", "--json", "module.wat", "nope()"), "usage", 2),
        (("call", "--json", "--host", "x=theirs", "module.wat", "f()"), "usage", 2),
        (("profile", "--json", "--repeat", "0", "module.wat", "f()"), "usage", 2),
        (("run", "--json", "--dir", ":", "module.wat"), "usage", 2),
        (("run", "--json", "--wall", "0", "module.wat"), "policy", 2),
        (("run", "--json", "no-such.wasm"), "program-not-found", 127),
    ],
)
def test_errors_are_json_where_it_is_asked_for(
    ringfence: Command, tmp_path: Path, words: tuple[str, ...], code: str, exit_code: int
) -> None:
    """All of them, and nothing else is said."""
    (tmp_path / "module.wat").write_text('(module (func (export "f")))')
    (tmp_path / "theirs.py").write_text("1/0")
    ended = ringfence(*words)

    assert (exit_code, "") == (ended.exit_code, ended.stderr)
    told = json.loads(ended.stdout)["error"]
    assert (["code", "what", "why", "fix"], code) == ([*told], told["code"])


def test_error_that_cannot_be_written_as_json_is_told_as_text(tmp_path: Path) -> None:
    """Where standard output is full."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "ringfence", "run", "--json", "no-such.wasm"],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            check=False,
        )

    assert (127, 2) == (ended.returncode, len(ended.stderr.splitlines()))
    assert b"error: no such program" in ended.stderr


def test_defect_of_ours_is_json_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With the code of the errors that are ours."""

    def fail(*_: object, **__: object) -> None:
        raise LookupError("mine")

    monkeypatch.setattr("ringfence._program.Program.from_file", fail)
    monkeypatch.delenv("RINGFENCE_TRACEBACK", raising=False)

    assert 125 == _main.main(["inspect", "--json", "module.wat"])
    assert "host" == json.loads(capsys.readouterr().out)["error"]["code"]


def test_ctrl_c_exits_in_time_and_without_a_traceback(guests: Path) -> None:
    """An interrupted run exits with 130 within 100 ms of the signal, saying nothing."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ringfence", "run", guests / "spin_forever.wat"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    threads = Path(f"/proc/{process.pid}/task")
    until(lambda: any("ringfence-tick" in name.read_text(encoding="utf-8") for name in threads.glob("*/comm")))
    time.sleep(0.1)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)

    assert (130, b"", b"") == (process.returncode, out, err)
    assert time.monotonic() - started < late(0.2)


def test_reader_that_has_had_enough_is_no_error(guests: Path) -> None:
    """A closed pipe behind us is silence, not a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "ringfence", "inspect", guests / "hello.wat"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)

    assert (0, b"") == (ended.returncode, ended.stderr)
