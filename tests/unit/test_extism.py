"""`ringfence.extism`, as its caller sees it."""

from __future__ import annotations

import asyncio
import copy
import logging
import math
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import (
    LoadError,
    Plugin,
    PluginError,
    PluginSnapshot,
    Policy,
    PolicyError,
    SnapshotMismatch,
    Trapped,
    extism,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ringfence._isolation import Isolation

# Calls of the kernel: what it is imported as, and its type.
KERNEL = {
    "alloc": "(param i64) (result i64)",
    "free": "(param i64)",
    "length": "(param i64) (result i64)",
    "load_u8": "(param i64) (result i32)",
    "load_u64": "(param i64) (result i64)",
    "store_u8": "(param i64 i32)",
    "store_u64": "(param i64 i64)",
    "input_length": "(result i64)",
    "input_load_u8": "(param i64) (result i32)",
    "input_load_u64": "(param i64) (result i64)",
    "output_set": "(param i64 i64)",
    "error_set": "(param i64)",
    "config_get": "(param i64) (result i64)",
    "var_get": "(param i64) (result i64)",
    "var_set": "(param i64 i64)",
    "log_info": "(param i64)",
    "http_status_code": "(result i32)",
}
OLD = sorted(KERNEL)


def plugin_of(*, old: bool = False, user: str = "extism:host/user") -> bytes:
    """
    Make a plugin: `echo`, `config`, `keep`, `fail` with a message, `host` through a function of the host's.

    In the namespaces of now, or of before 1.0.
    """
    module, prefix = ("env", "extism_") if old else ("extism:host/env", "")
    imports = "\n".join(f'(import "{module}" "{prefix}{name}" (func ${name} {kind}))' for name, kind in KERNEL.items())
    return f"""(module {imports}
      (import "{user}" "shout" (func $shout (param i64) (result i64)))
      (import "{user}" "count" (func $count (param i64 i64) (result i64)))
      (memory (export "memory") 1)
      (func $input (result i64) (local $at i64) (local $n i64)
        (local.set $at (call $alloc (call $input_length)))
        (loop $l (if (i64.lt_u (local.get $n) (call $input_length)) (then
          (call $store_u8 (i64.add (local.get $at) (local.get $n)) (call $input_load_u8 (local.get $n)))
          (local.set $n (i64.add (local.get $n) (i64.const 1)))
          (br $l))))
        (local.get $at))
      (func $give (param $at i64) (call $output_set (local.get $at) (call $length (local.get $at))))
      (func (export "echo") (result i32) (call $give (call $input)) (i32.const 0))
      (func (export "words") (result i32) (local $at i64)
        (local.set $at (call $alloc (i64.const 8)))
        (call $store_u64 (local.get $at) (call $input_load_u64 (i64.const 0)))
        (call $give (local.get $at)) (i32.const 0))
      (func (export "config") (result i32) (call $give (call $config_get (call $input))) (i32.const 0))
      (func (export "keep") (result i32) (local $name i64)
        (local.set $name (call $alloc (i64.const 1))) (call $store_u8 (local.get $name) (i32.const 97))
        (call $give (call $var_get (local.get $name)))
        (local.set $name (call $alloc (i64.const 1))) (call $store_u8 (local.get $name) (i32.const 97))
        (call $var_set (local.get $name) (call $input)) (i32.const 0))
      (func (export "fail") (result i32) (call $error_set (call $input)) (i32.const 5))
      (func (export "quiet") (result i32) (i32.const 9))
      (func (export "say") (result i32) (call $log_info (call $input)) (i32.const 0))
      (func (export "host") (result i32) (call $give (call $shout (call $input))) (i32.const 0))
      (func (export "number") (result i32) (i32.wrap_i64 (call $count (call $input) (i64.const 40))))
      (func (export "trap") (result i32) unreachable)
      (func (export "other") (param i32)))""".encode()


def shout(text: str) -> str:
    """Take and give text."""
    return text.upper() + "!"


def count(data: bytes, more: int) -> int:
    """Take bytes and a number, and give a number."""
    return len(data) + more


def plugin(**given: Any) -> extism.Plugin:
    """Load it."""
    return extism.Plugin(plugin_of(), functions={"shout": shout, "count": count}, **given)


@pytest.mark.parametrize(("old", "user"), [(False, "extism:host/user"), (True, "env")])
def test_bytes_go_in_and_come_out(old: bool, user: str, place: Isolation) -> None:
    """In both namespaces that plugins were built for."""
    functions: dict[str, Callable[..., Any]] = {"shout": shout, "count": count}
    given: dict[str, Any] = {"functions": functions, "config": {"a": "1"}, "isolation": place}
    with extism.Plugin(plugin_of(old=old, user=user), **given) as loaded:
        for data in (b"", b"hello", bytes(range(256)) * 300):
            assert data == loaded.call("echo", data)
        assert b"text" == loaded.call("echo", "text") == loaded.call("echo", bytearray(b"text"))
        assert b"12345678" == loaded.call("words", b"12345678")
        assert (b"1", b"") == (loaded.call("config", "a"), loaded.call("config", "b"))
        assert b"HELLO!" == loaded.call("host", b"hello")


def test_variables_are_kept_between_calls_until_it_begins_anew(place: Isolation) -> None:
    """And nothing else is."""
    with plugin(isolation=place) as loaded:
        assert [b"", b"one", b"two"] == [loaded.call("keep", data) for data in ("one", "two", "three")]
        loaded.restart()
        assert b"" == loaded.call("keep", b"four")


def test_plugin_in_a_worker_is_not_forked_and_says_so() -> None:
    """It goes on, with its variables."""
    with plugin(isolation="worker", tenant="alice") as loaded:
        loaded.call("keep", "one")
        with pytest.raises(PluginError, match="its instance is in a worker"):
            loaded.fork()
        assert b"one" == loaded.call("keep", b"two")


def test_fork_goes_on_with_the_variables_of_its_plugin() -> None:
    """And neither sees what the other keeps then."""
    with plugin() as loaded:
        loaded.call("keep", "one")
        first, second = loaded.fork_many(2)
        assert [b"one", b"two"] == [first.call("keep", data) for data in ("two", "three")]
        assert [b"one", b"one"] == [second.call("keep", b"four"), loaded.fork().call("keep", b"five")]
        assert b"HELLO!" == first.call("host", b"hello")
        assert loaded.program is first.program


FUNCTIONS: dict[str, Callable[..., Any]] = {"shout": shout, "count": count}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the key of a test apart."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.usefixtures("state")
def test_snapshot_that_is_saved_goes_on_with_its_variables(tmp_path: Path) -> None:
    """What it may read and call is given anew; and it is saved and loaded again."""
    file = tmp_path / "saved"
    with plugin(config={"a": "1"}) as loaded:
        for kept in (bytes(range(256)) * 1000, b""):
            loaded.call("keep", kept)
            snapshot = loaded.snapshot()
            snapshot.save(file)
            loaded.call("keep", "another")
            again = extism.PluginSnapshot.load(file, plugin_of(), functions=FUNCTIONS, config={"a": "2"})
            first, second = again.fork_many(2)
            assert [kept, b"one"] == [first.call("keep", data) for data in ("one", "two")]
            assert [kept, kept] == [second.call("keep", b""), snapshot.fork().call("keep", b"")]
            assert (b"2", b"HELLO!") == (first.call("config", "a"), first.call("host", "hello"))
    again.save(file, key=bytes(range(32)))

    async def loaded_again() -> extism.PluginSnapshot:
        await again.asave(tmp_path / "other", key=bytes(range(32)))
        return await extism.PluginSnapshot.aload(
            tmp_path / "other", plugin_of(), functions=FUNCTIONS, key=bytes(range(32))
        )

    last = asyncio.run(loaded_again())
    assert (b"", "<extism.PluginSnapshot 'program'>") == (last.fork().call("keep", b"x"), repr(last))
    assert (tmp_path / "other").read_bytes()[:12] == file.read_bytes()[:12]


@pytest.mark.usefixtures("state")
def test_what_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    """More variables than are granted, another kind of plugin, functions that are missing, another program."""
    file, other = tmp_path / "saved", tmp_path / "other"
    module = b'(module (memory (export "memory") 1))'
    with plugin() as loaded, Plugin(module) as plain:
        loaded.call("keep", b"x" * 1000)
        loaded.snapshot().save(file)
        plain.snapshot().save(other)
    with pytest.raises(PolicyError, match="its variables take 1049 bytes, and it may have 1000"):
        extism.PluginSnapshot.load(file, plugin_of(), functions=FUNCTIONS, var_bytes=1000)
    with pytest.raises(SnapshotMismatch, match=r"of no plugin for Extism\nhint: .*`ringfence\.PluginSnapshot\.load"):
        extism.PluginSnapshot.load(other, module)
    with pytest.raises(SnapshotMismatch, match="it is of a plugin for Extism"):
        PluginSnapshot.load(file, plugin_of(), stub=True)
    with pytest.raises(LoadError, match="shout"):
        extism.PluginSnapshot.load(file, plugin_of())
    with pytest.raises(SnapshotMismatch, match="it is memory of `program`"):
        extism.PluginSnapshot.load(file, plugin_of(old=True))


def test_error_of_a_plugin_is_raised_with_its_words(place: Isolation) -> None:
    """It is not poisoned by it."""
    with plugin(isolation=place) as loaded:
        with pytest.raises(extism.ExtismError, match=r"`fail` gave an error: went wrong") as caught:
            loaded.call("fail", b"went wrong")
        assert ("went wrong", 5) == (caught.value.value, caught.value.status)
        with pytest.raises(extism.ExtismError, match="it gave the code 9"):
            loaded.call("quiet")
        with pytest.raises(extism.ExtismError, match="it gave the code 43") as caught:
            loaded.call("number", b"abc")
        assert 43 == caught.value.status
        assert b"x" == loaded.call("echo", b"x")


def test_trap_poisons_it(place: Isolation) -> None:
    """As any plugin."""
    with plugin(isolation=place) as loaded:
        with pytest.raises(Trapped):
            loaded.call("trap")
        with pytest.raises(PluginError, match="trapped: unreachable"):
            loaded.call("echo", b"x")
        loaded.restart()
        assert b"x" == loaded.call("echo", b"x")


def test_messages_are_logged_under_the_name_of_the_plugin(caplog: pytest.LogCaptureFixture, place: Isolation) -> None:
    """Where somebody listens when it is loaded."""
    with caplog.at_level(logging.INFO, logger="ringfence.extism"), plugin(isolation=place) as loaded:
        loaded.call("say", "something")
    assert [("ringfence.extism", logging.INFO, "program: something")] == caplog.record_tuples


def test_plugin_cannot_be_copied() -> None:
    """There would be two that close it."""
    with plugin() as made, pytest.raises(TypeError, match="cannot be copied or pickled"):
        copy.copy(made)


def test_function_that_is_not_there_is_refused_with_those_that_are() -> None:
    """What takes numbers is none."""
    with plugin() as loaded:
        for name in ("nothing", "other", "memory"):
            with pytest.raises(PluginError, match=re.escape(f"no function '{name}'")):
                loaded.call(name)
        assert {"echo", "host", "fail"} <= set(loaded.functions)


def test_functions_of_yours_are_all_named_that_do_not_fit() -> None:
    """Missing, of too few parameters, or for nothing."""
    with pytest.raises(LoadError) as caught:
        extism.Plugin(plugin_of(), functions={"count": lambda: 1, "more": shout})
    for part in ("`extism:host/user: shout: func(", "is missing", "is called with 2 arguments", "more` is nothing"):
        assert part in str(caught.value)
    assert '`functions={"name": function}`' in caught.value.fix


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (b'(module (import "extism:host/env" "nothing" (func)))', "no function of Extism's kernel"),
        (b'(module (import "extism:host/env" "alloc" (func)))', "incompatible import"),
        (b"(component)", "it is a component, and Extism's are core modules"),
    ],
)
def test_what_is_no_plugin_for_extism_is_refused(program: bytes, why: str) -> None:
    """When it is loaded."""
    with pytest.raises(LoadError, match=why):
        extism.Plugin(program)


def test_exception_of_a_function_of_yours_comes_out_as_itself(place: Isolation) -> None:
    """Through the plugin."""

    def fails(_text: str) -> str:
        raise KeyError("mine")

    with (
        extism.Plugin(plugin_of(), functions={"shout": fails, "count": count}, isolation=place) as loaded,
        pytest.raises(KeyError, match="mine"),
    ):
        loaded.call("host", b"x")


def test_program_begins_anew_with_each_call(place: Isolation) -> None:
    """An exit with 0 is a good end; another is not."""
    program = b"""(module
      (import "extism:host/env" "input_length" (func $n (result i64)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (global $calls (mut i32) (i32.const 0))
      (func (export "_start")
        (if (global.get $calls) (then unreachable))
        (global.set $calls (i32.const 1))
        (call $exit (i32.wrap_i64 (call $n)))))"""
    with extism.Plugin(program, policy=Policy(), isolation=place) as loaded:
        assert [b"", b""] == [loaded.call("_start") for _ in range(2)]
        with pytest.raises(Exception, match="3"):
            loaded.call("_start", b"123")


def test_call_is_awaited(place: Isolation) -> None:
    """While the loop goes on."""
    with plugin(isolation=place) as loaded:
        assert b"x" == asyncio.run(loaded.acall("echo", b"x"))
    assert math.isfinite(loaded.usage.wall_seconds)


def test_task_that_is_cancelled_ends_its_guest(place: Isolation) -> None:
    """Where it is, and poisons it."""
    spinning = b'(module (func (export "run") (result i32) (loop (br 0)) (i32.const 0)))'

    async def main() -> None:
        with extism.Plugin(spinning, isolation=place) as made:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(made.acall("run"), 0.2)
            assert time.monotonic() - began < 5
            assert made.poisoned is not None

    asyncio.run(main())


GIVING = b"""(module
  (import "extism:host/user" "gives" (func $gives (param i64) (result i64)))
  (import "extism:host/user" "takes" (func $takes (param i64)))
  (import "extism:host/env" "input_offset" (func $input (result i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (func (export "run") (result i32) (local $at i64)
    (call $takes (call $input))
    (local.set $at (call $gives (call $input)))
    (call $output (local.get $at) (call $length (local.get $at)))
    (i32.const 0)))"""


def test_function_of_yours_may_give_none_and_may_be_awaited() -> None:
    """Annotated or not, and whether the guest takes what it gives."""

    def nothing(_data: Any):  # type: ignore[no-untyped-def]  # noqa: ANN202 - what is tested
        pass

    def none(_data: bytes) -> None:
        pass

    async def later(data: bytes) -> bytes:
        await asyncio.sleep(0)
        return data + b"!"

    async def text(data: str) -> str:
        return data.upper()

    async def none_later(_data: bytes) -> None:
        pass

    for gives, given in ((nothing, b""), (none, b""), (none_later, b""), (later, b"data!"), (text, b"DATA")):
        for takes in (nothing, none, none_later):
            with extism.Plugin(GIVING, functions={"gives": gives, "takes": takes}) as loaded:
                assert given == loaded.call("run", b"data") == asyncio.run(loaded.acall("run", b"data"))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"functions": [shout]}, r"`functions` has each by its name, .*\nhint: `functions=\{\"name\": function\}`"),
        ({"var_bytes": -1}, r"`var_bytes` cannot be -1\nhint: `var_bytes=\"1MiB\"`"),
        ({"var_bytes": 1.5}, r"`var_bytes` cannot be 1.5"),
        ({"functions": {"shout": 5}}, "a function of yours cannot be 5"),
    ],
)
def test_wrong_arguments_are_refused_with_the_right_ones(wrong: dict[str, Any], says: str) -> None:
    """None is an error of Python's that says nothing of it."""
    with pytest.raises((TypeError, ValueError), match=says):
        extism.Plugin(plugin_of(), **wrong)
