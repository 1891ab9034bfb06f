"""Attacks by core modules that are plugins, and by those for Extism: on what shows their memory, and on the kernel."""

from __future__ import annotations

import contextlib
import pickle
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ringfence import CallbackAbandoned, LimitReached, Limits, Plugin, PluginError, Policy, Trapped, WallReached, extism

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ringfence._isolation import Isolation

SHOWN = b"""(module
  (import "env" "look" (func $look (param i32) (result i32)))
  (memory (export "memory") 1 100)
  (func (export "look") (param i32) (result i32) (call $look (local.get 0)))
  (func (export "grow") (result i32) (memory.grow (i32.const 50)))
  (func (export "spin") (loop (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))) (br 0))))"""


def test_memory_that_was_shown_is_not_kept_past_the_call(place: Isolation) -> None:
    """What another thread of the function reads later is the guest at rest, or nothing: no address of it is kept."""
    plugin: Plugin
    late: list[object] = []
    go = threading.Event()

    def read_late() -> None:
        go.wait(30)
        try:
            late.append(plugin.memory.read(0, 4))
        except PluginError as error:
            late.append(error.why)

    threads: list[threading.Thread] = []

    def look(number: int) -> int:
        threads.append(threading.Thread(target=read_late))
        threads[-1].start()
        with pytest.raises(PluginError, match="a call is under way"):
            plugin.memory.grow(1)
        return number

    def spin_when_free() -> None:
        while plugin.poisoned is None:
            with contextlib.suppress(PluginError):  # what is read later is in the plugin just now
                plugin.spin()

    def spun() -> None:
        with pytest.raises(WallReached):
            spin_when_free()

    policy = Policy(limits=Limits(wall="400ms"))
    with Plugin(SHOWN, imports={"env": {"look": look}}, policy=policy, isolation=place) as plugin:
        plugin.exports.look(1)
        plugin.grow()
        spin = threading.Thread(target=spun)
        spin.start()
        while plugin.poisoned is None and not late:
            go.set()
            time.sleep(0.01)
        spin.join()
        threads[0].join()
        assert late[0] == bytes(4) or "call" in str(late[0])


def test_function_that_outlives_its_call_sees_its_own_guest_to_the_end(place: Isolation) -> None:
    """The caller has gone on, with a new instance; what the function writes then harms nobody."""
    inside, released, over = threading.Event(), threading.Event(), threading.Event()
    plugin: Plugin

    def look(number: int) -> int:
        if number:
            inside.set()
            released.wait(30)
            # In a worker its guest is gone with the call.
            with contextlib.nullcontext() if place == "wasm" else pytest.raises(PluginError, match="is over"):
                plugin.memory.write(0, b"late")
            over.set()
        return number

    policy = Policy(limits=Limits(wall="200ms"))
    with Plugin(SHOWN, imports={"env": {"look": look}}, policy=policy, isolation=place) as plugin:
        with pytest.warns(CallbackAbandoned), pytest.raises(WallReached):
            plugin.exports.look(1)
        plugin.restart()
        released.set()
        assert over.wait(30)

        assert bytes(4) == plugin.memory.read(0, 4)
        assert 0 == plugin.exports.look(0)


def extism_plugin(body: str, imports: str = "") -> bytes:
    """Make a plugin for Extism whose `run` does this."""
    return f"""(module
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "free" (func $free (param i64)))
      (import "extism:host/env" "length" (func $length (param i64) (result i64)))
      (import "extism:host/env" "load_u64" (func $load (param i64) (result i64)))
      (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (import "extism:host/env" "error_set" (func $error (param i64)))
      (import "extism:host/env" "var_set" (func $var (param i64 i64)))
      (import "extism:host/env" "log_info" (func $log (param i64)))
      (import "extism:host/env" "http_request" (func $http (param i64 i64) (result i64)))
      {imports}
      (memory (export "memory") 1)
      (func (export "run") (result i32) (local $a i64) (local $n i64) {body} (i32.const 0)))""".encode()


@pytest.mark.parametrize(
    "body",
    [
        "(loop $l (drop (call $alloc (i64.const 1))) (br $l))",
        "(loop $l (call $free (call $alloc (i64.const 100000))) (drop (call $alloc (i64.const 400001))) (br $l))",
        "(loop $l (local.set $n (i64.add (local.get $n) (i64.const 8))) (drop (call $alloc (local.get $n))) (br $l))",
    ],
)
def test_blocks_without_end_cost_the_host_no_more_than_the_limit(body: str, place: Isolation) -> None:
    """However small they are: what the host keeps beside each is the guest's to pay."""
    import resource

    policy = Policy(limits=Limits(memory="8MiB", wall="300ms"))
    with extism.Plugin(extism_plugin(body), policy=policy, isolation=place) as plugin:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(LimitReached):
            plugin.call("run")
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

        assert plugin.usage.memory_bytes <= 8 << 20
        assert more < 64 << 10, f"{more} KiB more"


@pytest.mark.parametrize("at", [0, 1, 63, 2**31, 2**63, 2**64 - 1, 2**64 - 8])
def test_forged_block_reads_as_nothing_and_is_not_written(at: int, place: Isolation) -> None:
    """Nor is anything put out from there, freed, or taken for an error."""
    signed = at - 2**64 if at >= 2**63 else at
    body = f"""(call $store (i64.const {signed}) (i64.const -1))
      (if (i64.ne (call $load (i64.const {signed})) (i64.const 0)) (then unreachable))
      (if (i64.ne (call $length (i64.const {signed})) (i64.const 0)) (then unreachable))
      (call $output (i64.const {signed}) (i64.const 1000000)) (call $free (i64.const {signed}))
      (call $error (i64.const {signed}))"""
    with extism.Plugin(extism_plugin(body), isolation=place) as plugin:
        assert b"" == plugin.call("run", b"input")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("(drop (call $http (i64.const 1) (i64.const 0)))", "which no plugin for Extism is granted"),
        ("(call $log (i64.const 12345))", "a block that is not there"),
        ("(call $var (i64.const 12345) (i64.const 0))", "a block that is not there"),
        (
            """(local.set $a (call $alloc (i64.const 8))) (call $store (local.get $a) (i64.const -1))
            (call $log (local.get $a))""",
            "not UTF-8",
        ),
        (
            "(call $var (call $alloc (i64.const 8)) (call $alloc (i64.const 2000000)))",
            "more variables than it may have",
        ),
    ],
)
def test_what_extism_does_not_grant_is_a_trap(body: str, why: str, place: Isolation) -> None:
    """Typed, and the host lives."""
    with extism.Plugin(extism_plugin(body), isolation=place) as plugin:
        with pytest.raises(Trapped, match=why):
            plugin.call("run")
        plugin.restart()


def test_block_of_one_call_is_nothing_in_the_next(place: Isolation) -> None:
    """What a caller gave is not there for another."""
    body = """(if (i64.eqz (call $load (i64.const 128))) (then (return (i32.const 3))))"""
    with extism.Plugin(extism_plugin(body), isolation=place) as plugin:
        assert b"" == plugin.call("run", b"password")
        with pytest.raises(extism.ExtismError) as caught:
            plugin.call("run", b"")

        assert 3 == caught.value.status
        assert plugin.poisoned is None


def test_input_that_is_larger_than_the_memory_is_a_limit(place: Isolation) -> None:
    """Before the guest sees any of it."""
    policy = Policy(limits=Limits(memory="1MiB"))
    with extism.Plugin(extism_plugin(""), policy=policy, isolation=place) as plugin, pytest.raises(LimitReached):
        plugin.call("run", bytes(2 << 20))


def test_messages_of_a_guest_forge_no_line_of_the_log(caplog: pytest.LogCaptureFixture, place: Isolation) -> None:
    """They are escaped, and bounded in one call."""
    body = """(local.set $n (i64.const 1000))
      (loop $l
        (local.set $a (call $alloc (i64.const 8)))
        (call $store (local.get $a) (i64.const 0x0a5d324a5b1b0a0a))
        (call $log (local.get $a))
        (local.set $n (i64.sub (local.get $n) (i64.const 1)))
        (br_if $l (i64.ne (local.get $n) (i64.const 0))))"""
    with (
        caplog.at_level("INFO", logger="ringfence.extism"),
        extism.Plugin(extism_plugin(body), isolation=place) as plugin,
    ):
        plugin.call("run")

    assert 1 <= len(caplog.records) <= 200
    assert all(record.getMessage().isprintable() for record in caplog.records)


def is_safe(error: object) -> bool:
    """Whether nothing in the text of an error moves a terminal, and all its lines are ours."""
    lines = str(error).split("\n")
    return len(lines) <= 2 and all(line.isprintable() for line in lines)


def test_error_that_a_guest_tells_forges_no_line_and_moves_no_terminal(place: Isolation) -> None:
    """Its own words are there whole as the value, and escaped and cut wherever they are shown."""
    own = "\x1b]0;owned\x07\x1b[2Jok\nhint: run `curl evil | sh`\u202e"
    own += "x" * (1600 - len(own.encode()))
    body = f"""(local.set $a (call $alloc (i64.const {len(own.encode())})))
      {"".join(stored(own.encode()))} (call $error (local.get $a)) (return (i32.const 1))"""
    with extism.Plugin(extism_plugin(body), isolation=place) as plugin, pytest.raises(extism.ExtismError) as caught:
        plugin.call("run")

    assert own == caught.value.value
    assert is_safe(caught.value)
    assert caught.value.why.isprintable()
    assert len(caught.value.why) < 400
    assert is_safe(pickle.loads(pickle.dumps(caught.value)))


def stored(data: bytes) -> Iterator[str]:
    """Write the instructions that store bytes, eight at a time, in the block `$a`."""
    for at in range(0, len(data), 8):
        word = int.from_bytes(data[at : at + 8], "little")
        yield f"(call $store (i64.add (local.get $a) (i64.const {at})) (i64.const {word}))"


NAME = "\x1b[2J\nhint: run me"
NAMED = rb"""(module
  (func (export "f\1b[2J\0ahint: run me") (result i32) (i32.const 1))
  (table (export "t\1b[2J\0ahint: run me") 1 funcref)
  (memory (export "m\1b[2J\0ahint: run me") 1)
  (global (export "g\1b[2J\0ahint: run me") i32 (i32.const 0)))"""
IMPORTING = rb"""(module (import "a\1b[2J\0ahint: run me" "f\1b[2J\0ahint: run me" (func)))"""


def test_names_of_a_module_forge_nothing_in_errors_and_representations() -> None:
    """Any text may be one, of functions, tables, memories and globals, of plugins for Extism too."""
    plugin, other = Plugin(NAMED), extism.Plugin(NAMED)
    function, table = plugin.exports[f"f{NAME}"], plugin.exports[f"t{NAME}"]
    wrong: list[Callable[[], object]] = [
        lambda: function("no number"),
        lambda: function(b=1),
        table,
        lambda: other.call("run"),
        lambda: other.call(f"t{NAME}"),
        lambda: other.call(f"f{NAME}"),
        lambda: plugin.reload(b"(module)"),
        lambda: plugin.exports.none,
        lambda: Plugin(IMPORTING),
        lambda: extism.Plugin(IMPORTING),
    ]
    for call in wrong:
        with pytest.raises(Exception, match=r"hint|there") as caught:
            call()
        assert is_safe(caught.value), caught.value
    assert all(repr(plugin.exports[name]).isprintable() for name in plugin.exports)
    assert function.__name__.isprintable()
    assert repr(plugin.exports).isprintable()
