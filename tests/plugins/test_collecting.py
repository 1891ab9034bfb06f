"""Plugins whose functions of the host lead back to them: Python's collector finds them, and their instances go."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from plugins.resources import KEEPER, Blob, Blobs
from plugins.streaming import STREAMS, streaming
from ringfence import APlugin, Plugin

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfence._isolation import Isolation

ASKS = b"""(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (memory (export "memory") 1)
  (global (export "global") (mut i32) (i32.const 7))
  (func (export "go") (param i32) (result i32) (call $ask (local.get 0))))"""
# As many as there may be at one time.
MOST = 1000


class App:
    """Has a plugin, and is what that asks."""

    def __init__(self, **words: Any) -> None:
        self.plugin = Plugin(ASKS, imports={"env": self}, **words)

    def ask(self, number: int) -> int:
        """Answer."""
        return number + 1


def left(make: Callable[[], object]) -> int:
    """Count what is left of ten that nobody has any more."""
    made = [weakref.ref(make()) for _ in range(10)]
    gc.collect()
    return sum(one() is not None for one in made)


def test_application_that_its_plugin_asks_is_collected(place: Isolation) -> None:
    """Closed or not, called or not, inline or not, through its methods or through a function beside it."""

    def called() -> App:
        app = App(isolation=place)
        assert 4 == app.plugin.go(3)
        return app

    def closed() -> App:
        app = called()
        app.plugin.close()
        return app

    def through_a_function() -> App:
        app = App.__new__(App)
        app.plugin = Plugin(
            ASKS, imports={"env": {"ask": lambda number: app.plugin.poisoned or number}}, isolation=place
        )
        return app

    for make in (lambda: App(isolation=place), lambda: App(isolation=place, inline=True), called, closed):
        assert 0 == left(make)
    assert 0 == left(through_a_function)


def test_what_is_kept_of_a_plugin_leads_back_to_it_and_is_collected() -> None:
    """Its functions, memories, globals, snapshots and forks."""
    for part in ("go", "memory", "global_", "snapshot", "fork"):

        def keeps(part: str = part) -> App:
            app = App()
            kept = getattr(app.plugin, part)
            app.kept = kept() if part in {"snapshot", "fork"} else kept  # type: ignore[attr-defined]
            del app.plugin
            return app

        assert 0 == left(keeps), part


def test_more_plugins_than_may_be_open_at_one_time() -> None:
    """Nobody has those before, which lead back to themselves: the collector comes by in time."""
    for _ in range(2 * MOST):
        App()


def test_function_is_there_as_long_as_any_part_of_its_plugin() -> None:
    """The last that is kept may be a function, a memory or a global."""
    go = App().plugin.go
    memory, number = App().plugin.exports.memory, App().plugin.exports.global_
    gc.collect()

    assert 8 == go(7)
    assert (b"\0", 7) == (memory.read(0, 1), number.value)


def test_call_that_is_under_way_keeps_its_functions() -> None:
    """Though nobody else has the plugin any more, and the collector comes by."""
    began, go_on, told = threading.Event(), threading.Event(), []

    class Waits(App):
        def ask(self, number: int) -> int:
            began.set()
            assert go_on.wait(20)
            return number + 1

    go = Waits().plugin.go
    thread = threading.Thread(target=lambda go: told.extend([go(1), go(2)]), args=(go,))
    del go
    thread.start()
    assert began.wait(20)
    gc.collect()
    go_on.set()
    thread.join()

    assert [2, 3] == told


def test_objects_that_a_guest_has_lead_back_to_it_and_are_collected() -> None:
    """A resource of yours that knows its plugin."""

    class Knows(Blob):
        plugin: object

    def keeps() -> object:
        plugin = Plugin(KEEPER, imports={"test:zoo/blobs": {"Blob": Knows, "swap": Blobs.swap}})
        blob = Knows(3)
        blob.plugin = plugin
        plugin.keep(blob)
        return blob

    assert 0 == left(keeps)


def test_stream_reads_on_when_its_plugin_is_nobodys_any_more() -> None:
    """It has all that the guest reaches while it is read."""

    async def read() -> int:
        plugin = APlugin(streaming("u32", 4), policy=STREAMS, imports={"take": sum, "give": range})
        async with plugin:
            stream = await plugin.count(2000)
            gc.collect()
            return sum([number async for number in stream])

    assert sum(range(2000)) == asyncio.run(read())


@pytest.mark.parametrize("kind", [Plugin, APlugin])
def test_drop_of_yours_may_be_a_coroutine(kind: Any) -> None:
    """It is awaited before the guest goes on, as other methods are; one that raises comes out of the call."""
    seen: list[str] = []

    class Async(Blob):
        async def drop(self) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            seen.append(f"dropped {self.length}")
            if self.length == 9:
                raise LookupError("nine")

    given = {"test:zoo/blobs": {"Blob": Async, "swap": Blobs.swap}}

    async def awaited() -> None:
        async with APlugin(KEEPER, imports=given) as keeper:
            await keeper.keep(Async(3))
            await keeper.forget()
            seen.append("forgotten")
            await keeper.keep(Async(9))
            with pytest.raises(LookupError, match="nine"):
                await keeper.forget()

    if kind is APlugin:
        asyncio.run(awaited())
    else:
        with Plugin(KEEPER, imports=given) as keeper:
            keeper.keep(Async(3))
            keeper.forget()
            seen.append("forgotten")
            keeper.keep(Async(9))
            with pytest.raises(LookupError, match="nine"):
                keeper.forget()
    assert ["dropped 3", "forgotten", "dropped 9"] == seen


def test_coroutine_of_what_does_not_look_like_one_is_awaited() -> None:
    """A subclass's method is `async`, or a plain function gives a coroutine."""

    class Async(Blob):
        async def size(self) -> int:  # type: ignore[override]
            return 70

    with Plugin(KEEPER, imports={"test:zoo/blobs": {"Blob": Blob, "swap": Blobs.swap}}) as keeper:
        assert 70 == keeper.measure(Async(3))

    async def answer(more: int, number: int) -> int:
        return number + more

    with Plugin(ASKS, imports={"env": {"ask": lambda number: answer(10, number)}}) as plugin:
        assert 13 == plugin.go(3)
