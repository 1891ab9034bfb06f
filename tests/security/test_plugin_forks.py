"""Forks of plugins: none sees what another does, gets more than its policy, or leaves anything behind."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import ringfence
from ringfence import Dir, Limits, Net, Plugin, PluginError, PluginSnapshot, Policy, PolicyError, Secret, SnapshotError
from security import killed

MAPS = Path("/proc/self/maps")
DESCRIPTORS = Path("/proc/self/fd")
TASKS = Path("/proc/self/task")
STATE = b"""(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (memory (export "memory") 2 64)
  (global $word (mut i64) (i64.const 0))
  (global $real (mut f64) (f64.const 0))
  (func (export "mark") (param i32) (memory.fill (i32.const 0) (local.get 0) (i32.mul (memory.size) (i32.const 65536)))
    (global.set $word (i64.extend_i32_u (local.get 0))) (global.set $real (f64.convert_i32_u (local.get 0))))
  (func (export "read") (result i64 f64) (global.get $word) (global.get $real))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "ask") (param i32) (result i32) (call $ask (local.get 0)))
  (func (export "trap") unreachable)
  (func (export "spin") (loop (br 0)))
  (func (export "deep") (call 6)))"""
FILES = b"""(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "tmp/marksecret")
  ;; Opens the name of that length, makes it if that is asked; the error.
  (func (export "open") (param $at i32) (param $len i32) (param $make i32) (result i32)
    (call $open (i32.const 3) (i32.const 0) (local.get $at) (local.get $len) (local.get $make) (i64.const 2)
      (i64.const 0) (i32.const 0) (i32.const 0)))
  (func (export "close") (result i32) (call $close (i32.load (i32.const 0))))
  (func (export "environ") (result i32) (drop (call $environ (i32.const 200) (i32.const 1000)))
    (call $sizes (i32.const 100) (i32.const 104)))
  (func (export "random") (result i64) (drop (call $random (i32.const 64) (i32.const 8))) (i64.load (i32.const 64))))"""


def nothing(_: int) -> int:
    """Answer what asks."""
    return 0


def state(**words: Any) -> Plugin:
    """Load what can be marked everywhere."""
    return Plugin(STATE, imports={"env": {"ask": nothing}}, **words)


def marks(plugin: Plugin) -> set[int]:
    """Tell every byte that is anywhere in its memory, after it was made as large as it may be."""
    plugin.grow(64 - plugin.exports.memory.size // 65536)
    word, real = plugin.read()
    return {*set(plugin.exports.memory.read(0, plugin.exports.memory.size)), word, int(real)}


def test_fork_sees_nothing_that_another_wrote() -> None:
    """Nor do their plugin, nor what is forked later: in memory, what it grows by, and globals."""
    with state() as plugin:
        snapshot = plugin.snapshot()
        forks = [*plugin.fork_many(3), *snapshot.fork_many(3)]
        for number, fork in enumerate(forks, 1):
            fork.grow(number)
            fork.mark(number)
        for number, fork in enumerate(forks, 1):
            assert {0, number} == marks(fork)
            fork.close()
        assert {0} == marks(snapshot.fork())
        plugin.mark(9)
        assert [{0}] * 20 == [marks(fork) for fork in snapshot.fork_many(20)]
        assert {0} == marks(state())


@pytest.mark.parametrize("end", ["trap", "spin", "deep", "close", "drop"])
def test_memory_of_a_fork_holds_nothing_of_one_that_ended(end: str) -> None:
    """However it ended: by a trap, at a limit, without stack, closed or left alone."""
    with state(policy=Policy(limits=Limits(wall="200ms"))) as plugin:
        snapshot = plugin.snapshot()
        for _ in range(3):
            fork = snapshot.fork()
            fork.grow(20)
            fork.mark(255)
            if end in {"trap", "spin", "deep"}:
                with pytest.raises(ringfence.GuestError):
                    getattr(fork, end)()
            elif end == "close":
                fork.close()
            del fork
            assert [{0}] * 3 == [marks(other) for other in snapshot.fork_many(3)]


def test_memory_that_a_function_of_the_host_reads_is_that_of_its_own_plugin() -> None:
    """Also while others are inside of functions of the host, on this thread and on others, of the same snapshot."""
    read: dict[str, set[int]] = {}
    inside, go_on = threading.Event(), threading.Event()
    plugins: dict[str, Plugin] = {}

    def ask(number: int) -> int:
        if number == 1:
            inside.set()
            go_on.wait(30)
        else:
            # Another one is in a call, on another thread; a third is at rest.
            for name, plugin in plugins.items():
                if name != "waits":
                    read[name] = set(plugin.exports.memory.read(0, 100_000))
                    plugin.exports.memory.write(0, bytes([100]))
        return number

    with Plugin(STATE, imports={"env": {"ask": ask}}) as plugin:
        snapshot = plugin.snapshot()
        for number, name in enumerate(("waits", "asks", "rests"), 1):
            plugins[name] = snapshot.fork()
            plugins[name].mark(number)
        thread = threading.Thread(target=plugins["waits"].ask, args=(1,))
        thread.start()
        try:
            assert inside.wait(30)
            plugins["asks"].ask(2)
        finally:
            go_on.set()
            thread.join()
        assert {"asks": {2}, "rests": {3}} == read
        assert [1, 100, 100] == [plugin.exports.memory.read(0, 1)[0] for plugin in plugins.values()]


def test_fork_reaches_no_file_of_its_plugin_that_it_is_not_granted(tmp_path: Path) -> None:
    """Not through descriptors, grants or what its plugin wrote to `/tmp`."""
    (tmp_path / "secret").write_bytes(b"")
    wide = Policy(dirs=[Dir(tmp_path, at="/in")], tmp=True)
    with Plugin(FILES, policy=wide) as plugin:
        assert [0, 0] == [plugin.open(16, 8, 1), plugin.exports.close()]
        assert 0 == plugin.open(16, 8, 0)
        with pytest.raises(PluginError, match="left 1 of its files"):
            plugin.fork()
        plugin.exports.close()
        plugin.exports.memory.write(300, b"in/secret")
        fork, narrow = plugin.fork(), plugin.fork(policy=Policy())

        assert 0 == fork.open(300, 9, 0)
        assert 0 != fork.open(16, 8, 0)
        assert 0 != narrow.open(300, 9, 0)
        assert 0 != narrow.exports.close()
        with pytest.raises(PolicyError, match="wider"):
            narrow.fork(policy=wide)


def test_snapshot_holds_no_secret_and_forks_draw_other_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A placeholder that the guest has kept is the same in its forks; what the host draws for them is not."""
    monkeypatch.setenv("PROD_KEY", "the-real-value")
    secret = Secret("API_KEY", env="PROD_KEY", origin="https://api.example.com")
    policy = Policy(net=Net(http=["https://api.example.com"]), secrets=[secret])
    with Plugin(FILES, policy=policy) as plugin:
        plugin.environ()
        snapshot = plugin.snapshot()
        held = plugin.exports.memory.read(1000, 200)
        assert b"API_KEY=" in held
        forks = snapshot.fork_many(5)
        for fork in forks:
            fork.exports.memory.write(1000, bytes(200))
            fork.environ()
            memory = fork.exports.memory
            assert held == memory.read(1000, 200)
            assert b"the-real-value" not in memory.read(0, memory.size)
        assert 5 == len({fork.random() for fork in forks})


def test_saved_plugin_is_believed_only_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with any bit changed, cut, made longer, or in the place of another file's head."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "saved"
    with state() as plugin:
        plugin.mark(7)
        plugin.snapshot().save(file)
        whole = file.read_bytes()
        plugin.mark(8)
        plugin.snapshot().save(tmp_path / "other")
    other = (tmp_path / "other").read_bytes()
    imports = {"env": {"ask": nothing}}
    changed = [whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :] for at in range(0, len(whole), 13)]
    for forged in [*changed, whole[:-1], whole[:40], whole + b"\0", b"", whole[:-32] + other[-32:]]:
        file.write_bytes(forged)
        with pytest.raises(SnapshotError):
            PluginSnapshot.load(file, STATE, imports=imports)
    file.write_bytes(whole)
    assert {0, 7} == marks(PluginSnapshot.load(file, STATE, imports=imports).fork())


# Saves two states in turn, each with its own mark, until it is killed.
SAVE_FOR_EVER = """
import sys
from ringfence import Plugin
program = b'(module (memory (export "memory") 32))'
snapshots = []
for mark in (1, 2):
    plugin = Plugin(program)
    plugin.exports.memory.write(0, bytes([mark]) * (2 << 20))
    snapshots.append(plugin.snapshot())
print("begun", flush=True)
while True:
    for snapshot in snapshots:
        snapshot.save(sys.argv[1])
"""


def test_process_that_is_killed_while_it_saves_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one or the new one, at whatever moment: a real `kill -9`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "one.snapshot"

    def check() -> bool:
        fork = PluginSnapshot.load(file, b'(module (memory (export "memory") 32))').fork()
        return len(set(fork.exports.memory.read(0, 2 << 20))) == 1

    killed.saving(SAVE_FOR_EVER, file, check)


@pytest.mark.parametrize("end", ["return", "trap", "spin"])
def test_call_of_a_pool_of_a_snapshot_finds_nothing_of_another(end: str) -> None:
    """However the one before it ended, and in as many threads: what was captured, and nothing else."""
    with state(policy=Policy(limits=Limits(wall="150ms"))) as plugin:
        plugin.mark(3)
        pool = plugin.snapshot().pool(2, fresh="call")

    def look(mark: int) -> set[int]:
        pool.mark(mark)
        if end != "return":
            with pytest.raises((ringfence.Trapped, ringfence.LimitReached)):
                getattr(pool, end)()
        word, real = pool.read()
        return {word, int(real)}

    with pool, ThreadPoolExecutor(4) as threads:
        assert {3} == set.union(*threads.map(look, range(100, 112)))
        assert 2 == pool.grow(0)


def test_pool_of_a_snapshot_is_held_to_the_policy_of_its_plugin() -> None:
    """Or to a narrower one; a wider one is refused, unless it is asked for."""
    with Plugin(FILES) as plugin:
        snapshot = plugin.snapshot()
    with pytest.raises(PolicyError, match="wider"):
        snapshot.pool(2, policy=Policy(tmp=True))
    with snapshot.pool(2) as pool, snapshot.pool(2, policy=Policy(tmp=True), allow_wider=True) as wider:
        assert 0 != pool.open(16, 8, 1)
        assert 0 == wider.open(16, 8, 1)


def test_fork_in_a_function_of_the_host_goes_on_from_before_the_call() -> None:
    """A snapshot may be forked there; the plugin that is in the call is busy."""
    told: list[object] = []

    def ask(number: int) -> int:
        if number == 1:
            with pytest.raises(PluginError, match="a call is under way"):
                plugin.snapshot()
            told.append(marks(snapshot.fork()))
        return number

    with Plugin(STATE, imports={"env": {"ask": ask}}) as plugin:
        snapshot = plugin.snapshot()
        plugin.mark(3)
        assert 1 == plugin.ask(1)
    assert [{0}] == told


def test_ten_thousand_forks_leave_no_mapping_descriptor_or_thread() -> None:
    """Some of them trap; some are of a snapshot that is mapped."""
    with state() as plugin:
        snapshot = plugin.snapshot()
        plugin.grow(60)
        plugin.mark(1)
        large = plugin.snapshot()

        def forked(count: int) -> None:
            for number in range(count):
                fork = (large if number % 50 == 0 else snapshot).fork()
                fork.read()
                if number % 100 == 0:
                    with pytest.raises(ringfence.Trapped):
                        fork.trap()
                fork.close()

        forked(300)
        before = [len(MAPS.read_text().splitlines()), len(list(DESCRIPTORS.iterdir())), len(list(TASKS.iterdir()))]
        forked(10_000)
        after = [len(MAPS.read_text().splitlines()), len(list(DESCRIPTORS.iterdir())), len(list(TASKS.iterdir()))]

    # The allocator's and the interpreter's own mappings come and go.
    assert after[0] <= before[0] + 40
    assert after[1] <= before[1] + 2
    assert after[2] <= before[2] + 2


def test_child_of_a_fork_of_the_process_has_no_plugins_of_its_parents_snapshots() -> None:
    """It is told, and takes its own."""
    with state() as plugin:
        snapshot = plugin.snapshot()
        child = os.fork()
        if child == 0:
            try:
                snapshot.fork()
            except PluginError as error:
                is_told = "this process was forked" in error.why
                os._exit(0 if is_told and {0} == marks(state().fork()) else 1)
            finally:
                os._exit(2)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert {0} == marks(snapshot.fork())
