"""Interfaces compared, and plugins that are reloaded."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from plugins.resources import COUNTERS
from plugins.typed import Echo
from ringfence import LoadError, Plugin

RENDERER = Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat"
STORE = {"app:host/store": {"get": lambda _: None}}


def echoes(*types: object) -> bytes:
    """Write a plugin that gives back values of these types."""
    return Echo(*types).wat


def adder(more: str = "", bits: int = 32, second: str = "b", exported: str = "add") -> bytes:
    """Write a plugin that adds, and something more."""
    return f"""(component
      (core module $m
        (func (export "add") (param i{bits} i{bits}) (result i{bits})
          (i{bits}.add (i{bits}.const {len(more)}) (i{bits}.add (local.get 0) (local.get 1)))))
      (core instance $i (instantiate $m))
      (func (export "{exported}") (param "a" s{bits}) (param "{second}" s{bits}) (result s{bits})
        (canon lift (core func $i "add")))
      {more})""".encode()


def test_plugin_goes_on_with_new_code() -> None:
    """Under the names that it had; what is more is there too."""
    with Plugin(adder()) as plugin:
        plugin.add(1, 2)
        more = '(func (export "more") (result u32) (canon lift (core func $n "more")))'
        core = '(core module $n (func (export "more") (result i32) (i32.const 7)))(core instance $n (instantiate $n))'
        plugin.reload(adder(core + more))

        assert 3 + len(core + more) == plugin.add(1, 2)
        assert 7 == plugin.exports.more()
        assert 2 == plugin.usage.calls


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (adder(bits=64), r"`add: func\(a: s32, b: s32\) -> s32` has become `add: func\(a: s64, b: s64\) -> s64`"),
        (adder(second="c"), "has become"),
        (adder(exported="sum"), r"`add: func\(a: s32, b: s32\) -> s32` is gone"),
        (adder('(import "x:y/z" (instance (export "f" (func))))'), "`x:y/z: f: func\\(\\)` is missing"),
        (b"(module)", "add: func.* is gone"),
        (b"(component", "cannot compile"),
    ],
)
def test_code_that_does_not_fit_is_refused_and_the_old_one_goes_on(program: bytes, why: str) -> None:
    """Each difference is named."""
    with Plugin(adder()) as plugin:
        with pytest.raises(LoadError, match=why):
            plugin.reload(program)

        assert 3 == plugin.add(1, 2)


def test_type_that_has_changed_is_named() -> None:
    """Though the functions that have it are named by it alone."""
    other = RENDERER.read_bytes().replace(b'(field "url" string)', b'(field "uri" string)')
    assert other != RENDERER.read_bytes()
    with (
        Plugin(RENDERER, imports=STORE) as plugin,
        pytest.raises(LoadError, match=r"the type `.*content.*link` is another one"),
    ):
        plugin.reload(other)


def test_classes_stay_what_they_were() -> None:
    """A record of before is one of afterwards."""
    with Plugin(RENDERER, imports=STORE) as plugin:
        page = plugin.exports.content.parse("see http://a")
        plugin.reload(RENDERER)
        content = plugin.exports.content

        assert page == content.parse("see http://a")
        assert isinstance(page, content.Page)
        assert isinstance(page.links[0], content.Link)


@pytest.mark.parametrize(
    "program",
    [COUNTERS, echoes(("fixed", "u8", 5), ("fixed", "string", 2)), echoes(("list", ("record", [("a", "u8")])))],
)
def test_plugin_of_any_types_fits_itself(program: bytes) -> None:
    """With resources and lists of fixed length: their numbers are none of types."""
    with Plugin(program, stub=True) as plugin:
        plugin.reload(program)
        assert plugin.poisoned is None


@pytest.mark.parametrize(("old", "new"), [(5, 6), (1, 0)])
def test_length_of_a_list_is_part_of_its_type(old: int, new: int) -> None:
    """Whatever numbers types have."""
    program = b"""(component
      (core module $m (func (export "f") (param i32 i32 i32 i32 i32 i32)))
      (core instance $i (instantiate $m))
      (func (export "f") (param "v" (list u8 6)) (canon lift (core func $i "f"))))"""

    def of(length: int) -> bytes:
        core = b"(param" + b" i32" * length + b")" if length else b""
        made = program.replace(b"(param i32 i32 i32 i32 i32 i32)", core)
        return made.replace(b"(list u8 6)", f"(list u8 {length})".encode())

    with Plugin(of(max(old, 1))) as plugin, pytest.raises(LoadError, match=r"has become|list"):
        plugin.reload(of(new))


def test_resource_that_has_become_another_is_named() -> None:
    """By its name, though it is the first as before."""
    other = COUNTERS.replace(b'(export $counter "counter"', b'(export $counter "abacus"')
    other = other.replace(b"[constructor]counter", b"[constructor]abacus").replace(b"]counter.", b"]abacus.")
    with Plugin(COUNTERS) as plugin, pytest.raises(LoadError, match=r"the type `.*counter` is gone"):
        plugin.reload(other)


def test_call_that_is_under_way_ends_on_the_old_one() -> None:
    """And the next one is the new one's."""
    asked, go_on = threading.Event(), threading.Event()

    def ask(number: int) -> int:
        asked.set()
        go_on.wait(30)
        return number

    program = b"""(component
      (import "ask" (func $ask (param "n" s32) (result s32)))
      (core func $ask (canon lower (func $ask)))
      (core module $m (import "host" "ask" (func $ask (param i32) (result i32)))
        (func (export "ask") (param i32) (result i32) (i32.add (i32.const 1) (call $ask (local.get 0)))))
      (core instance $i (instantiate $m (with "host" (instance (export "ask" (func $ask))))))
      (func (export "ask") (param "n" s32) (result s32) (canon lift (core func $i "ask"))))"""
    answers: list[int] = []
    with Plugin(program, imports={"ask": ask}) as plugin:
        thread = threading.Thread(target=lambda: answers.append(plugin.ask(1)))
        thread.start()
        assert asked.wait(30)
        plugin.reload(program.replace(b"(i32.const 1)", b"(i32.const 100)"))
        go_on.set()
        thread.join()

        assert [2] == answers
        assert 101 == plugin.ask(1)


def test_import_that_is_no_longer_wanted_is_no_obstacle() -> None:
    """What was given may be more than what is imported."""
    importing = adder('(import "log" (func))')
    with Plugin(importing, imports={"log": lambda: None}) as plugin:
        plugin.reload(adder())

        assert 3 == plugin.add(1, 2)
