"""`ringfence call`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

RENDERER = str(Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat")
ADDER = """(component
  (core module $m
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "check") (param i32) (result i32) (local.get 0))
    (func (export "spin") (loop (br 0))))
  (core instance $i (instantiate $m))
  (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add")))
  (func (export "check") (param "a" bool) (result (result)) (canon lift (core func $i "check")))
  (func (export "spin") (canon lift (core func $i "spin"))))"""


def test_result_is_printed_in_wave(ringfence: Command, tmp_path: Path) -> None:
    """Or as JSON, with what it took."""
    (tmp_path / "adder.wat").write_text(ADDER)

    assert "42\n" == ringfence("call", tmp_path / "adder.wat", "add(2, 40)").stdout
    document = json.loads(ringfence("call", "--json", tmp_path / "adder.wat", "add(2, 40)").stdout)
    assert ("add", 42, "42", 1) == (
        *(document[key] for key in ("function", "result", "wave")),
        document["usage"]["calls"],
    )


def test_bad_case_of_a_result_exits_with_1(ringfence: Command, tmp_path: Path) -> None:
    """It is printed like the good one."""
    (tmp_path / "adder.wat").write_text(ADDER)
    ended = [ringfence("call", tmp_path / "adder.wat", f"check({value})") for value in ("false", "true")]

    assert [(0, "ok\n"), (1, "err\n")] == [(call.exit_code, call.stdout) for call in ended]


def test_plugin_is_called_in_a_worker(ringfence: Command, tmp_path: Path) -> None:
    """With the same words as a run."""
    (tmp_path / "adder.wat").write_text(ADDER)

    assert "42\n" == ringfence("call", "--isolation", "worker", tmp_path / "adder.wat", "add(2, 40)").stdout
    module = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
    (tmp_path / "module.wat").write_text(module)
    assert "42\n" == ringfence("call", "--isolation", "worker", tmp_path / "module.wat", "add(2, 40)").stdout


@pytest.mark.parametrize(
    "name", ["content.parse", "app:markdown/content.parse@1.0.0", "app:markdown/content@1.0.0.parse"]
)
def test_function_of_an_interface_is_named_with_its_version_on_either_side(
    ringfence: Command, tmp_path: Path, name: str
) -> None:
    """As WAVE has it, and as components do, which is how errors name it."""
    (tmp_path / "store.py").write_text("def get(name): pass\n")
    ended = ringfence("call", "--host", "app:host/store=store", RENDERER, f'{name}("")')

    assert (1, "err(empty)\n") == (ended.exit_code, ended.stdout)


def test_error_of_a_function_of_the_host_is_told_as_its_own(ringfence: Command, tmp_path: Path) -> None:
    """It is no failure of ours that one would have to report."""
    (tmp_path / "store.py").write_text("def get(name): raise KeyError('mine')\n")
    ended = ringfence("call", "--host", "app:host/store=store", RENDERER, 'render("x")')

    assert (2, "") == (ended.exit_code, ended.stdout)
    assert "a function that `--host` gave it raised KeyError: 'mine'" in ended.stderr
    assert "report it" not in ended.stderr


def test_number_out_of_its_range_is_an_error_of_the_call(ringfence: Command, tmp_path: Path) -> None:
    """And nothing is called."""
    (tmp_path / "adder.wat").write_text(ADDER)
    for number in ("2147483648", "-2147483649", "9" * 5000):
        ended = ringfence("call", tmp_path / "adder.wat", f"add(2, {number})")

        assert (2, "") == (ended.exit_code, ended.stdout)
        assert "is not from -2147483648 to 2147483647, as s32 is" in ended.stderr


def test_call_is_under_the_policy_of_its_flags(ringfence: Command, tmp_path: Path) -> None:
    """And ends as a run would."""
    (tmp_path / "adder.wat").write_text(ADDER)

    assert 124 == ringfence("call", "--wall", "200ms", tmp_path / "adder.wat", "spin()").exit_code


def test_wrong_call_says_what_there_is(ringfence: Command, tmp_path: Path) -> None:
    """As any wrong command line."""
    (tmp_path / "adder.wat").write_text(ADDER)
    ended = ringfence("call", tmp_path / "adder.wat", "add(2, true)")

    assert 2 == ended.exit_code
    assert "expected a number, for s32, not `true`" in ended.stderr
    assert "it is `add: func(a: s32, b: s32) -> s32`" in ended.stderr
