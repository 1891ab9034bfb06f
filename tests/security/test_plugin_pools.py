"""Attacks on pools of plugins: what one caller's call leaves, no other's may find; what one holds, it may not keep."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ringfence import GuestError, Limits, PluginPool, Policy, WallReached
from waiting import late

# Keeps what it is told: in memory, in a global, in a table, and by growing.
KEEPER = b"""(component
  (core module $m
    (memory 1)
    (table $t 1 10 funcref)
    (elem declare func $f)
    (func $f)
    (global $kept (mut i32) (i32.const 0))
    (func (export "keep") (param i32)
      (i32.store (i32.const 64) (local.get 0))
      (global.set $kept (local.get 0))
      (table.set $t (i32.const 0) (ref.func $f))
      (drop (memory.grow (i32.const 1))))
    (func (export "found") (result i32)
      (i32.add (i32.add (i32.load (i32.const 64)) (global.get $kept))
        (i32.add (i32.eqz (ref.is_null (table.get $t (i32.const 0)))) (i32.sub (memory.size) (i32.const 1)))))
    (func (export "spin") (loop (br 0)))
    (func (export "trap") unreachable))
  (core instance $i (instantiate $m))
  (func (export "keep") (param "secret" s32) (canon lift (core func $i "keep")))
  (func (export "found") (result s32) (canon lift (core func $i "found")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "trap") (canon lift (core func $i "trap"))))"""


def test_call_of_a_fresh_instance_finds_nothing_of_another_callers() -> None:
    """Neither in memory, globals, tables nor sizes; from one thread after the other and from many at once."""
    with PluginPool(3, KEEPER, fresh="call") as pool, ThreadPoolExecutor(6) as threads:

        def both(secret: int) -> int:
            pool.keep(secret)
            found: int = pool.found()
            return found

        assert {0} == set(threads.map(both, range(1, 300)))


def test_instance_that_a_call_ended_badly_in_is_nobodys_again() -> None:
    """What it kept before its trap is gone with it."""
    with PluginPool(1, KEEPER) as pool:
        pool.keep(7)
        with pytest.raises(GuestError):
            pool.trap()

        assert 0 == pool.found()


def test_guests_that_hold_every_instance_lose_them_at_their_deadline() -> None:
    """Whoever waits is served then."""
    with PluginPool(2, KEEPER, policy=Policy(limits=Limits(wall="300ms"))) as pool, ThreadPoolExecutor(3) as threads:
        spins = [threads.submit(pool.spin) for _ in range(4)]
        began = time.monotonic()
        answer = threads.submit(pool.found).result(30)
        took = time.monotonic() - began
        for spin in spins:
            with pytest.raises(WallReached):
                spin.result()

        assert 0 == answer
        assert took < 2 * 0.3 + late(0.8)
