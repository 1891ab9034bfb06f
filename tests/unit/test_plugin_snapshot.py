"""Snapshots and forks of plugins that are core modules, as their caller sees them."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING

import pytest

import ringfence
from ringfence import (
    APlugin,
    Dir,
    Limits,
    LoadError,
    Plugin,
    PluginError,
    PluginPool,
    PluginSnapshot,
    Policy,
    PolicyError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNTER = b"""(module
  (import "env" "tell" (func $tell (param i32)))
  (memory (export "memory") 1 40)
  (global $steps (export "steps") (mut i64) (i64.const 0))
  (global $hidden (mut i32) (i32.const 7))
  (data (i32.const 0) "begin")
  (func (export "_initialize") (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1))))
  (func (export "add") (param i32) (result i32)
    (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (local.get 0)))
    (global.set $steps (i64.add (global.get $steps) (i64.const 1)))
    (global.set $hidden (i32.add (global.get $hidden) (local.get 0)))
    (call $tell (local.get 0))
    (i32.load (i32.const 16)))
  (func (export "hidden") (result i32) (global.get $hidden))
  (func (export "begun") (result i32) (i32.load (i32.const 8)))
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "spin") (loop (br 0)))
  (func (export "trap") unreachable))"""
TABLES = b"""(module (memory (export "memory") 1) (table 1 funcref)
  (func (export "set") (table.set (i32.const 0) (ref.null func)))
  (func (export "two") (result i32) (i32.const 2)))"""
OPENS = b"""(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "in/name")
  (func (export "open") (result i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 7) (i32.const 0) (i64.const 2) (i64.const 0)
      (i32.const 0) (i32.const 0)))
  (func (export "close") (result i32) (call $close (i32.load (i32.const 0)))))"""


def told(_: int) -> None:
    """Hear what is added, and keep nothing."""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the key of each test apart."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def counter() -> Iterator[Plugin]:
    """Load a plugin that has counted to 3."""
    with Plugin(COUNTER, imports={"env": {"tell": told}}) as plugin:
        plugin.add(3)
        yield plugin


def test_fork_goes_on_from_where_the_plugin_was(counter: Plugin) -> None:
    """With its memory and all of its globals, those included that it does not export; and neither sees the other."""
    fork = counter.fork()
    assert [4, 13] == [fork.add(1), counter.add(10)]
    assert [8 + 3, 7 + 13] == [fork.hidden(), counter.hidden()]
    assert [2, 2] == [fork.exports.steps.value, counter.exports.steps.value]
    assert b"begin" == fork.exports.memory.read(0, 5)
    assert 1 == fork.begun()
    assert dir(counter.exports) == dir(fork.exports)
    assert not [name for name in dir(fork.exports) if "rf" in name]
    assert "add: func(p0: i32) -> i32" == fork.add.signature
    assert (fork.program, fork.policy) == (counter.program, counter.policy)


def test_many_forks_are_as_many(counter: Plugin) -> None:
    """None is a list, and less than none is an error."""
    assert [] == counter.fork_many(0)
    assert [3 + each for each in range(7)] == [fork.add(each) for each, fork in enumerate(counter.fork_many(7))]
    with pytest.raises(ValueError, match="-1 forks"):
        counter.fork_many(-1)
    with pytest.raises(ValueError, match="allow_wider without policy"):
        counter.fork(allow_wider=True)


@pytest.mark.parametrize("pages", [0, 30])
def test_snapshot_stays_as_it_was(counter: Plugin, pages: int) -> None:
    """Whatever its plugin, and what was forked from it, does later; a large one, that is mapped, too."""
    counter.grow(pages)
    counter.fill(1000, 5, 64_000 + pages * 65_536)
    snapshot = counter.snapshot()
    counter.add(1)
    snapshot.fork().fill(16, 255, 2000)
    counter.close()

    forks = snapshot.fork_many(8)
    assert [3] * 8 == [fork.add(0) for fork in forks]
    assert {bytes([5])} == {fork.exports.memory.read(60_000 + pages * 65_536, 1) for fork in forks}
    assert f"<PluginSnapshot {counter.program.name!r}>" == repr(snapshot)
    assert counter.program is snapshot.program
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(snapshot)


def test_snapshots_follow_each_other(counter: Plugin) -> None:
    """Each holds what was so when it was taken, also of a fork of a fork."""
    snapshots = []
    at = counter
    for step in range(6):
        at.fill(step * 10_000, step + 1, 10_000)
        snapshots.append(at.snapshot())
        at = snapshots[-1].fork()

    for step, snapshot in enumerate(snapshots):
        memory = snapshot.fork().exports.memory
        assert [step + 1, 0] == list(memory.read(step * 10_000 + 9_999, 2))


def test_fork_calls_the_functions_of_its_plugin_or_others() -> None:
    """Those that are given are checked as at the beginning."""
    heard: list[tuple[str, int]] = []

    def tells(name: str) -> dict[str, dict[str, object]]:
        return {"env": {"tell": lambda value: heard.append((name, value))}}

    with Plugin(COUNTER, imports=tells("first")) as plugin:
        plugin.add(1)
        plugin.fork().add(2)
        other = plugin.fork(imports=tells("other"))
        assert 4 == other.add(3)
        other.fork().add(4)
        with pytest.raises(LoadError, match="tell"):
            plugin.fork(imports={"env": {}})

    assert [("first", 1), ("first", 2), ("other", 3), ("other", 4)] == heard


def test_fork_has_the_narrower_policy_that_it_is_given(counter: Plugin) -> None:
    """A wider one only where that is asked for; the error says in what it is."""
    narrow = counter.fork(policy=Policy(limits=Limits(wall="100ms")))
    with pytest.raises(ringfence.WallReached):
        narrow.spin()
    wide = Policy(limits=Limits(wall="40s"))
    with pytest.raises(PolicyError, match=r"`limits.wall`: 40s, more than 30s"):
        counter.fork(policy=wide)

    fork = counter.fork(policy=wide, allow_wider=True)
    assert (3, wide) == (fork.add(0), fork.policy)
    counter.grow(20)
    with pytest.raises(PolicyError, match="larger than the limit `memory`"):
        counter.fork(policy=Policy(limits=Limits(memory="1MiB")))
    # Another engine's code, which counts fuel, goes on with the same memory.
    counted = counter.fork(policy=Policy(limits=Limits(fuel=100_000)))
    assert 3 == counted.add(0)
    assert counted.usage.last_fuel


def test_fork_has_its_own_usage_and_its_own_end(counter: Plugin) -> None:
    """Its calls are not its plugin's, and one that is poisoned begins anew from the beginning."""
    fork, other = counter.fork_many(2)
    assert 0 == fork.usage.calls
    with pytest.raises(ringfence.Trapped):
        fork.trap()
    assert (1, 0, 1) == (fork.usage.calls, other.usage.calls, counter.usage.calls)
    with pytest.raises(PluginError, match="trapped"):
        fork.snapshot()

    fork.restart()
    assert [0, 3] == [fork.add(0), other.add(0)]


def test_calls_of_a_fork_are_measured_for_it_alone() -> None:
    """As those of its plugin are."""
    with Plugin(COUNTER, imports={"env": {"tell": told}}, profile=True) as plugin:
        plugin.add(1)
        forks = plugin.fork_many(2)
        forks[0].add(1)
        assert [2, 2, 0] == [sum(each.calls for each in one.profile()) for one in (plugin, *forks)]


def test_fork_is_reloaded_as_any_plugin(counter: Plugin) -> None:
    """And is then the other program, from its beginning."""
    fork = counter.fork()
    fork.reload(COUNTER.replace(b"7)", b"8)", 1))
    assert 8 == fork.hidden()
    assert 10 == counter.hidden()


def test_module_that_cannot_be_captured_is_a_plugin_all_the_same() -> None:
    """A snapshot of it is refused, and the error names the reason."""
    refused = {
        TABLES: "it changes its tables",
        b'(module (func (export "two") (result i32) (i32.const 2)))': "it has no memory",
        b'(module (memory 1) (func (export "two") (result i32) (i32.const 2)))': "it exports no `memory`",
        b'(module (memory (export "memory") 1) (func $start) (start $start)'
        b' (func (export "two") (result i32) (i32.const 2)))': "it has a start function",
        b'(module (memory (export "memory") 1) (type $s (struct)) (global (mut (ref null $s)) (ref.null $s))'
        b' (func (export "two") (result i32) (i32.const 2)))': "mutable global that holds a reference",
    }
    for module, why in refused.items():
        with Plugin(module) as plugin:
            for _ in range(2):
                assert 2 == plugin.two()
                with pytest.raises(PluginError, match=why):
                    plugin.snapshot()


@pytest.mark.parametrize("pages", [1, 2])
def test_heap_of_the_engine_is_not_taken_for_the_memory(pages: int) -> None:
    """A module that throws has one, as large as a memory of one page, and it is made first."""
    throws = b"""(module (memory (export "memory") %d) (tag $t) (data (i32.const 8) "held")
      (func $caught (export "caught") (result i32)
        (block $h (try_table (catch_all $h) (throw $t)))
        (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
        (i32.load (i32.const 16)))
      (func (export "held") (result i32) (i32.load8_u (i32.const 8)))
      (func (export "init") (drop (call $caught)))
      (func (export "_start") (if (i32.ne (i32.load (i32.const 16)) (i32.const 1)) (then unreachable))))"""
    with Plugin(throws % pages) as plugin:
        assert (1, ord("h")) == (plugin.caught(), plugin.held())
        with plugin.fork() as fork:
            assert [2, 3, 2] == [fork.caught(), fork.caught(), plugin.caught()]
            assert ord("h") == fork.held()
    assert 0 == ringfence.Sandbox(throws % pages).snapshot(after="init").run().exit_code


def test_components_and_pools_are_not_captured() -> None:
    """The error says what is instead."""
    with (
        Plugin(b'(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))'
               b' (func (export "f") (canon lift (core func $i "f"))))') as component,
        pytest.raises(PluginError, match="it is a component, and only core modules are captured"),
    ):  # fmt: skip
        component.fork()
    with (
        PluginPool(2, COUNTER, imports={"env": {"tell": told}}) as pool,
        pytest.raises(PluginError, match="it is a pool, and a snapshot is of one instance"),
    ):
        pool.snapshot()


def test_plugin_that_has_left_a_file_open_is_not_captured(tmp_path: Path) -> None:
    """Once it has closed it, it is; grants are opened again in the fork."""
    granted = tmp_path / "granted"
    granted.mkdir()
    (granted / "name").write_bytes(b"")
    with Plugin(OPENS, policy=Policy(dirs=[Dir(granted, at="/in")])) as plugin:
        assert 0 == plugin.open()
        with pytest.raises(PluginError, match="left 1 of its files and directories open"):
            plugin.snapshot()
        assert 0 == plugin.exports.close()
        fork = plugin.fork()
        assert [0, 0] == [fork.open(), fork.exports.close()]
        assert 0 != plugin.fork(policy=Policy()).open()


def test_call_that_is_under_way_is_not_captured() -> None:
    """Nor is a plugin that was closed."""
    said: list[str] = []

    def tell(_: int) -> None:
        with pytest.raises(PluginError) as refused:
            plugin.fork()
        said.append(refused.value.why)

    with Plugin(COUNTER, imports={"env": {"tell": tell}}) as plugin:
        plugin.add(1)
        assert ["a call is under way, and a plugin has one at a time"] == said
        assert 1 == plugin.exports.memory.read(16, 1)[0]
    with pytest.raises(PluginError, match="closed"):
        plugin.snapshot()


def test_snapshot_that_is_saved_is_the_same_when_it_is_loaded(counter: Plugin, tmp_path: Path) -> None:
    """As often as one likes, with the policy that it had, for its owner alone; memory that had grown is there."""
    file = tmp_path / "counter.snapshot"
    counter.grow(30)
    counter.fill(1_900_000, 9, 1000)
    counter.snapshot().save(file)
    counter.add(100)

    for _ in range(2):
        loaded = PluginSnapshot.load(file, COUNTER, imports={"env": {"tell": told}})
        fork, other = loaded.fork_many(2)
        assert [4, 5, 11] == [fork.add(1), other.add(2), fork.hidden()]
        assert {9} == set(fork.exports.memory.read(1_900_000, 1000))
        assert counter.policy.wider_than(fork.policy) == fork.policy.wider_than(counter.policy) == ()
    assert 0o600 == file.stat().st_mode & 0o777
    # What is loaded is saved, and loaded, and gone on from under another policy.
    loaded.save(file, key=bytes(range(32)))
    again = PluginSnapshot.load(
        file, COUNTER, key=bytes(range(32)), imports={"env": {"tell": told}}, policy=Policy(limits=Limits(fuel=10**6))
    )
    assert 3 == again.fork().add(0)
    assert "<PluginSnapshot 'program'>" == repr(again)


def test_what_cannot_be_loaded_says_why(counter: Plugin, tmp_path: Path) -> None:
    """Another program, another key, a wider policy, too much memory, functions that are missing, no such file."""
    file = tmp_path / "counter.snapshot"
    counter.grow(5)
    counter.snapshot().save(file)
    imports = {"env": {"tell": told}}
    with pytest.raises(ringfence.SnapshotMismatch, match="it is memory of `program`"):
        PluginSnapshot.load(file, TABLES)
    with pytest.raises(ringfence.SnapshotForeign):
        PluginSnapshot.load(file, COUNTER, key=bytes(32), imports=imports)
    with pytest.raises(PolicyError, match="wider"):
        PluginSnapshot.load(file, COUNTER, imports=imports, policy=Policy(tmp=True))
    wide = PluginSnapshot.load(file, COUNTER, imports=imports, policy=Policy(tmp=True), allow_wider=True)
    assert 3 == wide.fork().add(0)
    with pytest.raises(PolicyError, match="the limit `memory`"):
        PluginSnapshot.load(file, COUNTER, imports=imports, policy=Policy(limits=Limits(memory="256KiB")))
    with pytest.raises(LoadError, match="tell"):
        PluginSnapshot.load(file, COUNTER)
    with pytest.raises(ringfence.SnapshotNotFound):
        PluginSnapshot.load(tmp_path / "none", COUNTER)
    with pytest.raises(ringfence.SnapshotMismatch, match=r"PluginSnapshot.load\(path, program\)"):
        ringfence.Snapshot.load(file)


def test_snapshots_are_saved_and_loaded_while_the_loop_goes_on(counter: Plugin, tmp_path: Path) -> None:
    """As `save` and `load` do."""

    async def saved() -> PluginSnapshot:
        await counter.snapshot().asave(tmp_path / "one")
        return await PluginSnapshot.aload(tmp_path / "one", COUNTER, imports={"env": {"tell": told}})

    assert 3 == asyncio.run(saved()).fork().add(0)


def test_forks_are_awaited(counter: Plugin) -> None:
    """A plugin that is awaited is forked into such ones, directly and by a snapshot; and so is any other."""
    heard: list[int] = []

    async def tell(number: int) -> None:
        await asyncio.sleep(0.001)
        heard.append(number)

    async def forked() -> list[int]:
        async with APlugin(COUNTER, imports={"env": {"tell": tell}}) as plugin:
            assert 3 == await plugin.add(3)
            one, snapshot = await plugin.afork(), await plugin.asnapshot()
            assert 13 == await plugin.add(10)
            many = await plugin.afork_many(2)
            again = [await snapshot.afork(), await (await one.asnapshot()).afork()]
        others = [await counter.snapshot().afork(imports={"env": {"tell": tell}})]
        others += await counter.snapshot().afork_many(1)
        forks = [one, *many, *again, *others]
        return [*await asyncio.gather(*(fork.add(1) for fork in forks)), 0]

    assert [4, 14, 14, 4, 4, 4, 4, 0] == asyncio.run(forked())
    # The last one has the functions of the plugin that it was.
    assert [1, 1, 1, 1, 1, 1, 3, 10] == sorted(heard)


def test_fork_of_an_awaited_plugin_that_nobody_awaits_is_a_plugin() -> None:
    """With the same functions: an `async def` has an event loop of its own there."""
    heard: list[int] = []

    async def tell(number: int) -> None:
        heard.append(number)

    async def prepared() -> PluginSnapshot:
        async with APlugin(COUNTER, imports={"env": {"tell": tell}}) as plugin:
            await plugin.add(3)
            return await plugin.asnapshot()

    snapshot = asyncio.run(prepared())
    with snapshot.fork() as fork:
        assert Plugin is type(fork)
        assert 4 == fork.add(1)
    assert [3, 1] == heard


def test_awaited_fork_has_the_narrower_policy_that_it_is_given() -> None:
    """And as many instances as it is told; what is closed or poisoned is not forked, and a call is waited for."""

    async def forked() -> None:
        async with APlugin(COUNTER, imports={"env": {"tell": told}}) as plugin:
            await plugin.add(3)
            with pytest.raises(PolicyError, match="wider"):
                await plugin.afork(policy=Policy(tmp=True))
            with pytest.raises(ValueError, match="allow_wider without policy"):
                await plugin.afork(allow_wider=True)
            narrow = await plugin.afork(policy=Policy(limits=Limits(wall="100ms")))
            with pytest.raises(TimeoutError):
                await narrow.spin()
            with pytest.raises(PluginError, match=r"poisoned|wall"):
                await narrow.asnapshot()
            _, after = await asyncio.gather(plugin.add(1), plugin.afork())
            assert 4 == await after.add(0)
            async with await (await plugin.asnapshot()).afork(instances=3, fresh="call") as pool:
                assert [5, 6, 7, 8] == await asyncio.gather(*(pool.add(number) for number in range(1, 5)))
                assert "<APlugin 'program'>" == repr(pool)
        with pytest.raises(PluginError, match="closed"):
            await plugin.asnapshot()

    asyncio.run(forked())


def test_pool_goes_on_from_a_snapshot(counter: Plugin, tmp_path: Path) -> None:
    """Each instance, whenever it begins: at first, after a trap, after `restart`, and before each call if `fresh`."""
    snapshot = counter.snapshot()
    with snapshot.pool(1) as pool:
        assert PluginPool is type(pool)
        assert [4, 5] == [pool.add(1), pool.add(1)]
        with pytest.raises(ringfence.Trapped):
            pool.trap()
        assert 4 == pool.add(1)
        pool.restart()
        assert [3, 10] == [pool.add(0), pool.hidden()]
        assert "<PluginPool 'program' of 1>" == repr(pool)
    with snapshot.pool(4, fresh="call") as pool:
        assert [4, 4, 4] == [pool.add(1) for _ in range(3)]
        assert 4 == asyncio.run(asyncio.to_thread(pool.add, 1))
        with pytest.raises(PluginError, match="it is a pool"):
            pool.snapshot()
    heard: list[int] = []
    with snapshot.pool(2, imports={"env": {"tell": heard.append}}) as pool:
        assert [4, [1]] == [pool.add(1), heard]
    for count in (0, 1001):
        with pytest.raises(ValueError, match="a pool has 1 to 1000 instances"):
            snapshot.pool(count)
    snapshot.save(tmp_path / "one")
    with PluginSnapshot.load(tmp_path / "one", COUNTER, imports={"env": {"tell": told}}).pool(2) as pool:
        assert 4 == pool.add(1)


def test_pool_of_a_snapshot_that_a_function_of_it_calls_is_an_error_and_no_deadlock(counter: Plugin) -> None:
    """As of any pool."""
    said: list[str] = []

    def tell(_: int) -> None:
        with pytest.raises(PluginError) as refused:
            pool.add(1)
        said.append(refused.value.why)

    pool = counter.snapshot().pool(1, imports={"env": {"tell": tell}})
    with pool:
        pool.add(1)
    assert ["a function that it calls calls it again, and every instance is in a call"] == said


def test_forks_of_many_threads_at_once(counter: Plugin) -> None:
    """Each is whole, whichever thread makes and ends it."""
    snapshot = counter.snapshot()

    async def forked(number: int) -> int:
        fork = await asyncio.to_thread(snapshot.fork)
        for _ in range(20):
            await asyncio.to_thread(fork.add, number)
        result = await asyncio.to_thread(fork.add, 0)
        await asyncio.to_thread(fork.close)
        return int(result)

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(forked(number) for number in range(16)))

    assert [3 + 20 * number for number in range(16)] == asyncio.run(all_of_them())
    assert isinstance(snapshot, PluginSnapshot)
