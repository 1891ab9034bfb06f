"""Fixes in the words of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plugins.resources import COUNTERS
from ringfence import Policy
from ringfence.cli._fixes import in_flags
from ringfence.errors import HostError, PluginError

if TYPE_CHECKING:
    from conftest import Command

RENDERER = str(Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat")
MODULE = """(module
  (func $inner unreachable)
  (func (export "trap") (call $inner))
  (func (export "spin") (loop (br 0))))"""


@pytest.mark.parametrize("verb", ["call", "profile"])
def test_limit_of_a_call_is_raised_with_its_flag(ringfence: Command, tmp_path: Path, verb: str) -> None:
    """As that of a run is."""
    (tmp_path / "module.wat").write_text(MODULE)
    ended = ringfence(verb, "--wall", "200ms", "module.wat", "spin()")

    assert 124 == ended.exit_code
    assert "hint: the limit was 200ms, raise it with `--wall 400ms`, or leave it so\n" in ended.stderr


def test_trap_of_a_call_says_where_it_was(ringfence: Command, tmp_path: Path) -> None:
    """There is no `result` to read it from."""
    (tmp_path / "module.wat").write_text(MODULE)
    ended = ringfence("call", "module.wat", "trap()")
    told = json.loads(ringfence("call", "--json", "module.wat", "trap()").stdout)["error"]

    assert 134 == ended.exit_code
    assert "hint: the defect is the program's, at `0: inner`, `1: " in ended.stderr
    assert told["fix"].startswith("the defect is the program's, at `0: inner`")


def test_import_that_nobody_gives_is_given_with_its_flag(ringfence: Command) -> None:
    """To paste."""
    for verb in ("call", "profile"):
        ended = ringfence(verb, RENDERER, 'render("x")')

        assert 2 == ended.exit_code
        assert "hint: give an object with a method for each: `--host app:host/store=store:Store`\n" in ended.stderr


def test_limit_of_loading_is_raised_with_its_flag(ringfence: Command, tmp_path: Path) -> None:
    """Its own words name the policy's."""
    (tmp_path / "counters.wat").write_bytes(COUNTERS)
    ended = ringfence("call", "--memory", "64KiB", "counters.wat", "live()")

    assert "hint: raise `--memory`\n" in ended.stderr
    with pytest.raises(PluginError) as raised, in_flags(Policy()):
        raise PluginError("what", "why", "raise `host_bytes` in the policy's limits")
    assert "raise `--host-bytes`" == raised.value.fix


def test_other_fixes_stay() -> None:
    """They are for everybody."""
    with pytest.raises(HostError) as raised, in_flags(Policy()):
        raise HostError("what", "why", "free some memory")

    assert "free some memory" == raised.value.fix


@pytest.mark.parametrize("verb", ["inspect", "bindings", "compile", "call", "run"])
def test_language_is_asked_for_where_it_can_be_said(ringfence: Command, tmp_path: Path, verb: str) -> None:
    """Only a run takes `--language`."""
    (tmp_path / "notes.txt").write_text("hi")
    ended = ringfence(verb, "notes.txt", *(["f()"] if verb == "call" else []))

    assert 2 == ended.exit_code
    assert "hint: give a `.wasm` or `.wat` program" in ended.stderr
    assert (verb == "run") == ("--language" in ended.stderr)
