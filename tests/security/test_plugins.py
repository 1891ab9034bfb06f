"""Attacks of plugins: on the values that cross, on the calls around them, and on their host by names and types."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import LimitReached, Limits, LoadError, PluginError, Policy, PolicyError, Trapped, WallReached
from security.isolated import Plugin
from waiting import late

if TYPE_CHECKING:
    from collections.abc import Callable

    import ringfence

pytestmark = pytest.mark.usefixtures("isolation")

SHORT = Policy(limits=Limits(wall="300ms"))
# How much longer than its deadline a call may take on a machine that is busy.


def answering(result: str, *words: int, types: str = "", realloc: str = "(i32.const 1024)", after: str = "") -> bytes:
    """
    Write a component whose `f` gives back a value of this type, which is these words at address 1000.

    Its `g` takes text, for which `realloc` says where; `after` is what both do when their result was read.
    """
    data = "".join(f"\\{byte:02x}" for word in words for byte in (word % 2**32).to_bytes(4, "little"))
    return f"""(component
      {types}
      (core module $m
        (memory (export "memory") 1)
        (data (i32.const 1000) "{data}")
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc})
        (func (export "f") (result i32) (i32.const 1000))
        (func (export "after") (param i32) {after})
        (func (export "g") (param i32 i32) (result i32) (i32.const 1000)))
      (core instance $i (instantiate $m))
      (func (export "f") (result {result}) (canon lift (core func $i "f")
        (memory (core memory $i "memory")) (realloc (core func $i "realloc")) (post-return (core func $i "after"))))
      (func (export "g") (param "text" string) (result (tuple u32 u32)) (canon lift (core func $i "g")
        (memory (core memory $i "memory")) (realloc (core func $i "realloc"))
        (post-return (core func $i "after")))))""".encode()


def ends_as_trap(plugin: ringfence.Plugin, call: Callable[[], object]) -> str:
    """Call it: the guest ends, its plugin is poisoned, and begins anew."""
    with pytest.raises(Trapped) as caught:
        call()
    with pytest.raises(PluginError, match="trapped"):
        call()
    plugin.restart()
    return str(caught.value.result.trap)


@pytest.mark.parametrize(
    ("result", "words", "why"),
    [
        ("(option u32)", (2, 0), "case 2 of a type that has 2"),
        ("(option u32)", (-1, 0), "case 255 of a type that has 2"),
        ("(result (error string))", (7, 0, 0), "case 7 of a type that has 2"),
        ("string", (1000, 2**31), "text beyond the end of memory"),
        ("string", (-1, 1), "text beyond the end of memory"),
        ("string", (65535, 2), "text beyond the end of memory"),
        ("string", (1008, 1, 0xFF), "text that is not UTF-8"),
        ("(list u8)", (1000, 2**32 - 1), "a list beyond the end of memory"),
        ("(list u64)", (8, 2**29 + 1), "a list beyond the end of memory"),
        ("(list u64)", (4, 1), "a list that is not aligned"),
        ("(list (tuple string string))", (1000, 2**28), "a list beyond the end of memory"),
        ("(list char)", (1008, 1, 0xD800), "0xd800 is not a character"),
        ("(tuple char u32)", (0x110000, 0), "0x110000 is not a character"),
        ("(list string)", (1008, 1, 2**31, 2**31), "text beyond the end of memory"),
    ],
)
def test_forged_value_is_a_trap(result: str, words: tuple[int, ...], why: str) -> None:
    """Cases that are none, text and lists where no memory is, characters that are none: the host reads none of it."""
    with Plugin(answering(result, *words)) as plugin:
        assert why in ends_as_trap(plugin, plugin.f)


def test_value_that_costs_the_host_more_than_it_may_hold_is_a_limit() -> None:
    """A list of a thousand times the same text is no bomb: each of them costs."""
    pairs = [1008, 4096, *[40_000, 20_000] * 4096]
    policy = Policy(limits=Limits(host_bytes="1MiB"))
    with Plugin(answering("(list string)", *pairs), policy=policy) as plugin:
        with pytest.raises(LimitReached) as caught:
            plugin.f()

        assert "host_bytes" == caught.value.result.limit


@pytest.mark.parametrize(
    ("realloc", "why"),
    [
        ("(i32.const -8)", "beyond end of memory"),
        ("(i32.const 65535)", "beyond end of memory"),
        ("unreachable", "unreachable"),
    ],
)
def test_allocator_that_lies_is_a_trap(realloc: str, why: str) -> None:
    """Whatever it says, nothing is written outside of the guest's memory."""
    with Plugin(answering("u32", realloc=realloc).replace(b"(result u32)", b"(result (tuple u32 u32))")) as plugin:
        assert why in ends_as_trap(plugin, lambda: plugin.g("some text"))


@pytest.mark.parametrize("where", ["realloc", "after"])
def test_allocator_and_end_that_never_return_are_stopped_at_the_deadline(where: str) -> None:
    """The interpreter is not held meanwhile: another thread goes on."""
    given: dict[str, Any] = {where: "(loop (br 0))" + (" (i32.const 0)" if where == "realloc" else "")}
    turns = 0
    over = threading.Event()

    def count() -> None:
        nonlocal turns
        while not over.wait(0.01):
            turns += 1

    with Plugin(answering("(tuple u32 u32)", 1, 2, **given), policy=SHORT) as plugin:
        thread = threading.Thread(target=count)
        thread.start()
        began = time.monotonic()
        try:
            with pytest.raises(WallReached):
                plugin.g("text")
            took = time.monotonic() - began
        finally:
            over.set()
            thread.join()

    assert took < 0.3 + late()
    assert turns >= 3


def test_end_of_a_call_that_traps_is_a_trap() -> None:
    """What the guest does when its result was read counts, though the result is there."""
    with Plugin(answering("(tuple u32 u32)", 1, 2, after="unreachable")) as plugin:
        assert "unreachable" in ends_as_trap(plugin, plugin.f)


def test_start_that_never_ends_is_stopped_when_it_is_loaded() -> None:
    """Nothing of a component runs without its limits."""
    program = b"(component (core module $m (func $spin (loop (br 0))) (start $spin)) (core instance (instantiate $m)))"
    began = time.monotonic()
    with pytest.raises(PolicyError, match="it reached the limit `wall` while it was set up"):
        Plugin(program, policy=SHORT)

    assert time.monotonic() - began < late(3)  # it is compiled too


FORGED_CALL = b"""(component
  (import "app:host/log" (instance $host (export "write" (func (param "line" (option string))))))
  (core module $memory (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
  (core instance $memory (instantiate $memory))
  (core func $write (canon lower (func $host "write")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core module $m
    (import "host" "write" (func $write (param i32 i32 i32)))
    (func (export "f") (param i32 i32 i32) (call $write (local.get 0) (local.get 1) (local.get 2))))
  (core instance $i (instantiate $m (with "host" (instance (export "write" (func $write))))))
  (func (export "f") (param "case" u32) (param "at" u32) (param "length" u32) (canon lift (core func $i "f"))))"""


@pytest.mark.parametrize(
    ("args", "why"), [((2, 0, 0), "case 2 of a type that has 2"), ((1, 65536, 1), "text beyond the end of memory")]
)
def test_forged_argument_reaches_no_function_of_the_host(args: tuple[int, int, int], why: str) -> None:
    """It is a trap before anything of Python's is called."""
    lines: list[str | None] = []
    with Plugin(FORGED_CALL, imports={"app:host/log": {"write": lines.append}}) as plugin:
        plugin.f(0, 1, 2)

        assert why in ends_as_trap(plugin, lambda: plugin.f(*args))
        assert [None] == lines


def test_recursion_without_end_is_a_trap_on_every_thread() -> None:
    """The guest runs out of its stack before its caller's thread runs out of its own."""
    program = b"""(component
      (core module $m (func $f (export "f") (call $f)))
      (core instance $i (instantiate $m))
      (func (export "f") (canon lift (core func $i "f"))))"""
    traps: list[str] = []
    with Plugin(program) as plugin:
        traps.append(ends_as_trap(plugin, plugin.f))
        before = threading.stack_size(256 << 10)
        try:
            thread = threading.Thread(target=lambda: traps.append(ends_as_trap(plugin, plugin.f)))
            thread.start()
        finally:
            threading.stack_size(before)
        thread.join()

    assert ["stack overflow", "stack overflow"] == traps


def test_type_of_ninety_options_has_a_price_that_is_linear() -> None:
    """Nothing about it is tried twice for each level."""
    kind = "(option " * 90 + "u8" + ")" * 90
    began = time.monotonic()
    with Plugin(answering(kind)) as plugin:
        assert plugin.f() is None

    assert time.monotonic() - began < 20


def test_type_that_doubles_itself_is_refused() -> None:
    """Forty lines of text are 2⁴⁰ fields: somebody says no before the host has made them."""
    doubled = "(type $t0 (tuple u8 u8))" + "".join(f"(type $t{n} (tuple $t{n - 1} $t{n - 1}))" for n in range(1, 40))

    with pytest.raises(LoadError):
        Plugin(answering("$t39", types=doubled))


@pytest.mark.parametrize("kind", ["variant", "record", "enum"])
def test_type_of_very_many_names_is_refused(kind: str) -> None:
    """Each of them would be a class, or part of one, and make the host wait: a hundred kilobytes took minutes."""
    part = {"variant": '(case "c{}")', "record": '(field "c{}" u8)', "enum": '"c{}"'}[kind]
    cases = " ".join(part.format(at) for at in range(9000))
    types = " ".join(f'(type $v{at} ({kind} {cases})) (export "v{at}" (type (eq $v{at})))' for at in range(3))
    began = time.monotonic()
    with pytest.raises(LoadError, match="more cases, fields and names in its types than a plugin may have"):
        Plugin(f'(component (import "a:b/c" (instance {types})))'.encode())

    assert time.monotonic() - began < 10


def test_names_that_are_spelled_alike_cost_what_others_do() -> None:
    """Thousands of them, of a core module, whose names may be anything."""
    names = ["a" + "".join(signs) + "b" for length in range(1, 8) for signs in itertools.product("-. +", repeat=length)]
    exports = " ".join(f'(export "{name}" (func $f))' for name in names[:6000])
    began = time.monotonic()
    with Plugin(f"(module (func $f) {exports})".encode()) as plugin:
        assert 6000 == len(dir(plugin.exports))
        assert max(map(len, dir(plugin.exports))) < 20

    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "name", ["__class__", "__dict__", "a" * 100_000, "", "a b", "\x1b[2J", "x-\N{RIGHT-TO-LEFT OVERRIDE}y"]
)
def test_hostile_name_of_an_export_is_refused_and_told_safely(name: str) -> None:
    """No name of a guest's becomes one of Python's own, floods a message, or forges a terminal."""
    escaped = "".join(f"\\{byte:02x}" for byte in name.encode())
    program = f"""(component
      (core module $m (func (export "f")))
      (core instance $i (instantiate $m))
      (func (export "{escaped}") (canon lift (core func $i "f"))))""".encode()
    with pytest.raises(LoadError) as caught:
        Plugin(program)

    assert len(str(caught.value)) < 2000
    assert str(caught.value).replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["class", "close", "restart", "usage", "exports", "self", "mro", "init"])
def test_name_of_an_export_takes_the_place_of_nothing_of_ours(name: str) -> None:
    """What a plugin calls `close` is in its exports; ours stays what it is."""
    program = f"""(component
      (core module $m (func (export "f") (result i32) (i32.const 7)))
      (core instance $i (instantiate $m))
      (func (export "{name}") (result u32) (canon lift (core func $i "f"))))""".encode()
    with Plugin(program) as plugin:
        assert 7 == plugin.exports[name]()
        assert 1 == plugin.usage.calls
    with pytest.raises(PluginError, match="it was closed"):
        plugin.exports[name]()


def test_memory_of_a_plugin_is_one_total() -> None:
    """It grows no further than its policy lets it, call after call."""
    program = b"""(component
      (core module $m (memory 1) (func (export "f") (param i32) (result i32) (memory.grow (local.get 0))))
      (core instance $i (instantiate $m))
      (func (export "grow") (param "pages" u32) (result s32) (canon lift (core func $i "f"))))"""
    with Plugin(program, policy=Policy(limits=Limits(memory="1MiB"))) as plugin:
        grown = [plugin.grow(4) for _ in range(6)]

        assert [1, 5, 9, -1, -1, -1] == grown
        assert plugin.usage.memory_bytes <= 1 << 20


def test_many_calls_leave_nothing_behind(isolation: str) -> None:
    """Neither descriptors nor memory grow with calls, good or bad."""
    import gc
    import resource
    from pathlib import Path

    def held() -> tuple[int, int]:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir())), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with Plugin(answering("(list string)", 1008, 2, 2000, 4, 3000, 9)) as plugin:
        for _ in range(2000):
            plugin.f()
        descriptors, memory = held()
        for _ in range(100_000 if isolation == "wasm" else 5000):
            plugin.f()
        after, more = held()

    assert after <= descriptors
    assert more - memory < 8 << 10, f"{more - memory} KiB more"
