#!/usr/bin/env python3
# ruff: noqa: T201
"""
What does a call of a plugin cost, beside the same call by its peers in the same run?

Ours has its deadline armed in every call. wasmtime-py calls the same component's core functions: its typed components
went after version 38, so its numbers are core calls, without a deadline and without types. Extism calls a function of
bytes to bytes, which is all it has. Minima: on a machine that is shared the rest is the neighbours'.
"""

from __future__ import annotations

import sys
import timeit
from array import array
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from plugins.resources import COUNTERS
from plugins.typed import PADDING, Echo, plugin_of
from ringfence import Plugin, PluginPool
from ringfence import extism as ours

if TYPE_CHECKING:
    from collections.abc import Callable

CORE = """
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))"""
PLAIN = f"""(component (core module $m {CORE})
  (core instance $i (instantiate $m))
  (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add"))))"""
ASKING = """(component
  (import "add" (func $add (param "a" s32) (param "b" s32) (result s32)))
  (core func $add (canon lower (func $add)))
  (core module $m
    (import "host" "add" (func $add (param i32 i32) (result i32)))
    (func (export "times") (param i32) (result i32) (local $sum i32)
      (block $over (loop $again
        (br_if $over (i32.eqz (local.get 0)))
        (local.set $sum (call $add (local.get $sum) (i32.const 1)))
        (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
        (br $again)))
      (local.get $sum)))
  (core instance $i (instantiate $m (with "host" (instance (export "add" (func $add))))))
  (func (export "times") (param "n" u32) (result s32) (canon lift (core func $i "times"))))"""
RECORD = ("record", [("a", "s32"), ("b", "string"), ("c", "f64"), ("d", "bool"), ("e", "u64"), ("f", "string")])
ROUNDS, MEBIBYTE, MANY = 300, 1 << 20, 1000


def main() -> None:
    """Print the least that each took."""
    show("ringfence, add(s32, s32)", least(500, Plugin(PLAIN.encode()).add, 1, 2))
    for isolation in ("process", "worker"):
        with Plugin(PLAIN.encode(), isolation=isolation) as plugin:
            show(f"ringfence, the same in isolation={isolation!r}", least(20, plugin.add, 1, 2))
    peers()
    echo = Echo(RECORD, ("list", "string"), ("list", "u8"), ("list", "f64"))
    with plugin_of(echo) as plugin:
        record = getattr(plugin.imports["test:zoo/types"], echo.name(RECORD))(1, "hello", 2.5, True, 7, "world")
        strings = [f"string {number}" for number in range(10)]
        padding = [0] * PADDING
        numbers = array("d", range(MEBIBYTE // 8))
        print(f"(each of the next four has {PADDING} integers more, in and not out)")
        show("ringfence, a record of six fields, in and out", least(50, exported(plugin, 0), record, *padding))
        show("ringfence, a list of ten strings, in and out", least(50, exported(plugin, 1), strings, *padding))
        big = (exported(plugin, 2), bytes(MEBIBYTE), *padding)
        show("ringfence, 1 MiB of bytes, in and out", least(3, *big))
        show("ringfence, 1 MiB of f64, in and out", least(3, exported(plugin, 3), numbers, *padding))
    with Plugin(COUNTERS) as plugin:
        counter = plugin.exports.counters.Counter(0)
        show("ringfence, a method of a resource", least(500, counter.add, 1))
        show("ringfence, a resource made and dropped", least(50, lambda: plugin.exports.counters.Counter(0).drop()))
        plugin.restart()
    for inline in (True, False):
        with Plugin(ASKING.encode(), imports={"add": lambda a, b: a + b}, inline=inline) as plugin:
            one, many = least(20, plugin.times, 1), least(1, plugin.times, MANY)
            place = "on the caller's thread" if inline else "on a thread of its own"
            show(f"ringfence, guest to host and back, {place}", (many - one) / (MANY - 1))
            show(f"ringfence, a call that calls the host once, {place}", one)
    with Plugin(PLAIN.encode()) as plugin:
        show("ringfence, a fresh instance (restart)", least(20, plugin.restart))
    with Plugin(f"(module {CORE})".encode()) as plugin:
        show("ringfence, add of a core module", least(500, plugin.add, 1, 2))
    with PluginPool(2, PLAIN.encode(), fresh="call") as pool:
        show("ringfence, a call in a fresh instance", least(50, pool.add, 1, 2))
    scaling()


def scaling() -> None:
    """Show how many times as many calls two threads of a pool make as one."""
    work = """(component
      (core module $m (func (export "work") (local $n i32)
        (loop $l (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100000))))))
      (core instance $i (instantiate $m))
      (func (export "work") (canon lift (core func $i "work"))))"""
    count = 200
    with PluginPool(2, work.encode()) as pool, ThreadPoolExecutor(2) as threads:

        def many(_: int) -> None:
            for _ in range(count):
                pool.work()

        one = min(timeit.repeat(lambda: many(0), number=1, repeat=10))
        two = min(timeit.repeat(lambda: list(threads.map(many, range(2))), number=1, repeat=10))
    print(f"{'ringfence, a pool: two threads make so many times the calls':<64} {2 * one / two:9.2f}")


def exported(plugin: Plugin, number: int) -> Callable[..., object]:
    """Give the function that takes and gives this type in memory."""
    function: Callable[..., object] = plugin.exports[f"memory-{number}"]
    return function


def peers() -> None:
    """Call what the peers can call, where they are installed."""
    try:
        import wasmtime
    except ImportError:
        print("wasmtime-py is not installed")
    else:
        store = wasmtime.Store(wasmtime.Engine())
        module = wasmtime.Module(store.engine, f"(module {CORE})")
        add = wasmtime.Instance(store, module, []).exports(store)["add"]
        show(f"wasmtime-py {version('wasmtime')}, add of core integers", least(20, add, store, 1, 2))
    try:
        import extism

        named = version("extism")
    except (ImportError, PackageNotFoundError):
        print("extism is not installed")
        return
    # Gives back nothing: the least that a call of it costs.
    module = b'(module (func (export "call") (result i32) (i32.const 0)))'
    import wasmtime as tools

    plugin = extism.Plugin(bytes(tools.wat2wasm(module)))
    show(f"extism {named}, a call with two numbers as text", least(20, plugin.call, "call", b"1,2"))
    with ours.Plugin(module) as same:
        show("ringfence.extism, the same call", least(20, same.call, "call", b"1,2"))


def least(count: int, function: Callable[..., object], *args: object) -> float:
    """Give the seconds of one call, at the least; as it would be written, without a function of ours around it."""
    names = {f"a{number}": value for number, value in enumerate(args)}
    call = f"function({', '.join(names)})"
    return min(timeit.repeat(call, globals={"function": function, **names}, number=count, repeat=ROUNDS)) / count


def show(what: str, seconds: float) -> None:
    """Print a line."""
    print(f"{what:<64} {seconds * 1e6:9.2f} µs")


if __name__ == "__main__":
    main()
