"""Core modules as plugins: numbers, memories, globals, and functions of the host."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import APlugin, Limits, LoadError, Plugin, PluginError, PluginPool, Policy, Trapped, WallReached

if TYPE_CHECKING:
    from ringfence._isolation import Isolation

NUMBERS = b"""(module
  (func (export "i32") (param i32) (result i32) (local.get 0))
  (func (export "i64") (param i64) (result i64) (local.get 0))
  (func (export "f32") (param f32) (result f32) (local.get 0))
  (func (export "f64") (param f64) (result f64) (local.get 0))
  (func (export "swap") (param i32 f64) (result f64 i32) (local.get 1) (local.get 0))
  (func (export "nothing"))
  (func (export "wide") (param v128))
  (func (export "any") (result funcref) (ref.null func))
  (func (export "__class__") (result i32) (i32.const 7))
  (func (export "spin") (loop (br 0)))
  (func (export "trap") unreachable))"""
MEMORY = b"""(module
  (import "env" "look" (func $look (param i32 i32) (result i32)))
  (memory (export "memory") 1 4)
  (global (export "base") i32 (i32.const 1024))
  (global $count (export "count") (mut i64) (i64.const 0))
  (global (export "ratio") (mut f32) (f32.const 0.5))
  (data (i32.const 16) "hello")
  (func (export "peek") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "look") (param i32 i32) (result i32) (call $look (local.get 0) (local.get 1)))
  (func (export "counted") (result i64)
    (global.set $count (i64.add (global.get $count) (i64.const 1))) (global.get $count)))"""


def test_numbers_go_in_and_come_out(place: Isolation) -> None:
    """Whole ones with either sign, several as a tuple; out of range is an error."""
    with Plugin(NUMBERS, isolation=place) as plugin:
        assert [-1, -1, 2**31 - 1] == [plugin.exports.i32(value) for value in (-1, 2**32 - 1, 2**31 - 1)]
        assert [-1, -1] == [plugin.exports.i64(value) for value in (-1, 2**64 - 1)]
        assert (0.5, 0.1) == (plugin.exports.f32(0.5), plugin.exports.f64(0.1))
        assert (2.5, 3) == plugin.swap(3, 2.5) == plugin.swap(p0=3, p1=2.5)
        assert plugin.nothing() is None
        assert "swap: func(p0: i32, p1: f64) -> tuple<f64, i32>" == plugin.swap.signature
        for value in (2**32, -(2**31) - 1):
            with pytest.raises(ValueError, match=r"p0: .* is not from -2147483648 to 4294967295, as i32 is"):
                plugin.exports.i32(value)
        with pytest.raises(TypeError, match="p0: expected int, for i32, not str"):
            plugin.exports.i32("1")


def test_function_of_vectors_or_references_is_refused_by_name() -> None:
    """The others can be called all the same; no name takes the place of one of Python's."""
    with Plugin(NUMBERS) as plugin:
        with pytest.raises(TypeError, match="`wide` cannot be called: it takes v128"):
            plugin.wide(1)
        with pytest.raises(TypeError, match="`any` cannot be called: it gives"):
            plugin.any()
        assert 7 == plugin.exports["__class__"]()
        assert plugin.__class__ is Plugin


def test_module_ends_at_its_limits_and_is_poisoned_as_a_component_is(place: Isolation) -> None:
    """And begins anew."""
    policy = Policy(limits=Limits(wall="200ms", fuel=10**9))
    with Plugin(NUMBERS, policy=policy, isolation=place) as plugin:
        with pytest.raises(WallReached):
            plugin.spin()
        with pytest.raises(PluginError, match="reached the limit `wall`"):
            plugin.nothing()
        plugin.restart()
        with pytest.raises(Trapped):
            plugin.trap()
        plugin.restart()
        plugin.nothing()
        assert 3 == plugin.usage.calls
        assert (plugin.usage.last_fuel or 0) > 0


def test_memory_is_read_and_written_in_copies(place: Isolation) -> None:
    """At rest, and in a function of the host that the guest calls."""
    seen: list[bytes] = []
    plugin: Plugin

    def look(at: int, length: int) -> int:
        seen.append(plugin.exports.memory.read(at, length))
        plugin.memory.write(at, b"J")
        return len(seen)

    for inline in (False, True):
        with Plugin(MEMORY, imports={"env": {"look": look}}, inline=inline, isolation=place) as plugin:
            memory = plugin.memory
            assert (65536, b"hello") == (memory.size, memory.read(16, 5))
            memory.write(0, bytearray(b"abc"))
            assert ord("b") == plugin.peek(1)
            copy = memory.read(16, 5)
            plugin.exports.look(16, 5)
            assert (b"hello", b"Jello") == (copy, memory.read(16, 5))
            assert 65536 == memory.grow(1)
            assert 131072 == memory.size
            with pytest.raises(MemoryError):
                memory.grow(3)
    assert [b"hello", b"hello"] == seen


@pytest.mark.parametrize(
    ("at", "length"), [(65536, 1), (65530, 7), (2**64 - 1, 2), (0, 2**63), (2**32, 1), (-1, 1), (0, -1), (2**64, 1)]
)
def test_place_beyond_the_end_is_an_index_error(at: int, length: int, place: Isolation) -> None:
    """Nothing is read, and nothing written."""
    with Plugin(MEMORY, stub=True, isolation=place) as plugin:
        with pytest.raises(IndexError, match="are not inside of the memory, which has 65536"):
            plugin.memory.read(at, length)
        if 0 <= length < 8:
            with pytest.raises(IndexError):
                plugin.memory.write(at, b"x" * length)
        with pytest.raises(TypeError, match="is written with bytes, not with int"):
            plugin.memory.write(0, 5)
        assert bytes(7) == plugin.memory.read(65529, 7)


def test_globals_have_a_value(place: Isolation) -> None:
    """Which is set where it may be."""
    with Plugin(MEMORY, stub=True, isolation=place) as plugin:
        assert (1024, 0, 0.5) == (plugin.exports.base.value, plugin.exports.count.value, plugin.exports.ratio.value)
        plugin.exports.count.value = 41
        assert 42 == plugin.counted() == plugin.exports.count.value
        with pytest.raises(TypeError, match="`base` is a constant"):
            plugin.exports.base.value = 1
        with pytest.raises(ValueError, match=r"value: .* is not from"):
            plugin.exports.count.value = 2**64


def test_functions_that_are_missing_or_do_not_fit_are_all_named() -> None:
    """With the signature that is expected."""
    program = b"""(module (import "env" "a" (func (param i32 f64) (result i64))) (import "env" "b" (func))
      (import "other" "c" (func (result f32))))"""
    with pytest.raises(LoadError) as caught:
        Plugin(program, imports={"env": {"a": lambda: 0}, "more": {}})

    for part in (
        "`env: a: func(p0: i32, p1: f64) -> i64` is called with 2 arguments",
        "`env: b: func()` is missing",
        "`other: c: func() -> f32` is missing",
        "`more` is nothing that it imports",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (b'(module (import "env" "memory" (memory 1)))', "`env.memory` is a memory, and no function"),
        (b'(module (import "env" "f" (func (param v128))))', "`env.f` takes v128, which is no number"),
        (b'(module (import "wasi_snapshot_preview1" "nothing" (func)))', "nothing"),
        (b'(module (import "e" "f" (func)) (import "e" "f" (func (param i32))))', "two signatures"),
    ],
)
def test_import_that_nobody_can_give_is_named(program: bytes, why: str) -> None:
    """When it is loaded."""
    with pytest.raises(LoadError, match=why):
        Plugin(program, stub=True)


def test_import_that_is_stubbed_is_a_trap_when_it_is_called(place: Isolation) -> None:
    """And not before."""
    component = b"""(component
      (import "app:host/log" (instance $host (export "write" (func (param "n" s32)))))
      (core func $write (canon lower (func $host "write")))
      (core module $m (import "host" "write" (func $write (param i32)))
        (func (export "f") (param i32) (if (local.get 0) (then (call $write (local.get 0))))))
      (core instance $i (instantiate $m (with "host" (instance (export "write" (func $write))))))
      (func (export "f") (param "n" s32) (canon lift (core func $i "f"))))"""
    module = b"""(module (import "env" "write" (func $write (param i32)))
      (func (export "f") (param i32) (if (local.get 0) (then (call $write (local.get 0))))))"""
    for program in (component, module):
        with Plugin(program, stub=True, isolation=place) as plugin:
            plugin.f(0)
            with pytest.raises(Trapped, match="was called, which nobody gave"):
                plugin.f(1)


def test_library_for_wasi_is_set_up_and_has_what_its_policy_grants(place: Isolation) -> None:
    """Its `_initialize` is called once."""
    program = b"""(module
      (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (global $set (mut i32) (i32.const 0))
      (func (export "_initialize") (global.set $set (i32.add (global.get $set) (i32.const 1))))
      (func (export "set") (result i32) (global.get $set))
      (func (export "variables") (result i32)
        (drop (call $sizes (i32.const 0) (i32.const 4))) (i32.load (i32.const 0))))"""
    with Plugin(program, policy=Policy(env={"A": "1", "B": "2"}), isolation=place) as plugin:
        assert (1, 2) == (plugin.set(), plugin.variables())


def test_guests_with_garbage_collection_and_exceptions_are_plugins(place: Isolation) -> None:
    """An exception that nobody catches is a trap."""
    program = b"""(module
      (type $pair (struct (field i32) (field i32)))
      (tag $oops (param i32))
      (func (export "sum") (param i32 i32) (result i32) (local $p (ref null $pair))
        (local.set $p (struct.new $pair (local.get 0) (local.get 1)))
        (i32.add (struct.get $pair 0 (local.get $p)) (struct.get $pair 1 (local.get $p))))
      (func (export "caught") (param i32) (result i32)
        (block $handler (result i32) (try_table (catch $oops $handler) (throw $oops (local.get 0))) unreachable))
      (func (export "thrown") (throw $oops (i32.const 1))))"""
    with Plugin(program, isolation=place) as plugin:
        assert (5, 9) == (plugin.sum(2, 3), plugin.caught(9))
        with pytest.raises(Trapped, match="uncaught exception"):
            plugin.thrown()


def test_pool_of_modules_shows_memory_to_functions_of_the_host_alone(place: Isolation) -> None:
    """Each sees that of its own guest; from outside nobody can tell which is meant."""
    meeting = threading.Barrier(2, timeout=30)
    seen: list[bytes] = []
    pool: PluginPool

    def look(at: int, length: int) -> int:
        pool.memory.write(at, bytes([length]))
        meeting.wait()
        seen.append(pool.memory.read(at, 1))
        return 0

    with PluginPool(2, MEMORY, imports={"env": {"look": look}}, isolation=place) as pool:
        threads = [threading.Thread(target=pool.exports.look, args=(0, length)) for length in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(PluginError, match="nobody can tell which of a pool is meant"):
            pool.memory.read(0, 1)
    assert {b"\x01", b"\x02"} == set(seen)


def test_module_is_awaited(place: Isolation) -> None:
    """Its memory can be read in an `async def` that it calls."""
    import asyncio

    async def main() -> None:
        plugin: Any

        async def look(at: int, length: int) -> int:
            return len(plugin.exports.memory.read(at, length))

        async with APlugin(MEMORY, imports={"env": {"look": look}}, isolation=place) as plugin:
            assert 5 == await plugin.exports.look(16, 5)

    asyncio.run(main())


def test_memory_of_many_pieces_is_read_and_written_whole(place: Isolation) -> None:
    """As long as it is, and at any place of it."""
    program = b'(module (memory (export "memory") 400 400))'
    with Plugin(program, isolation=place) as plugin:
        memory = plugin.memory
        data = bytes(range(256)) * (memory.size // 256)
        memory.write(0, data)
        assert data == memory.read(0, memory.size)
        assert data[77 : 77 + (20 << 20)] == memory.read(77, 20 << 20)
        with pytest.raises(IndexError, match="has 26214400"):
            memory.read(1, memory.size)
        with pytest.raises(IndexError, match="has 26214400"):
            memory.write(1, data)
        assert (b"", data[-1:]) == (memory.read(memory.size, 0), memory.read(memory.size - 1, 1))
        with pytest.raises(IndexError):
            memory.read(memory.size + 1, 0)


def test_module_in_a_worker_is_not_captured_and_says_so() -> None:
    """It goes on."""
    with Plugin(NUMBERS, isolation="worker") as plugin:
        with pytest.raises(PluginError, match="its instance is in a worker"):
            plugin.fork()
        assert 1 == plugin.exports.i32(1)
