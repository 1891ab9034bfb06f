"""`APlugin`, as its caller sees it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from plugins.asking import ASKING
from plugins.resources import COUNTERS
from ringfence import APlugin, Err, Limits, LoadError, PluginError, Policy, Trapped, WallReached
from unit.test_plugin import PLAIN, RENDERER, Store
from unit.test_plugin_pool import COUNTER
from waiting import late

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="nobody")


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run it in a loop of its own, and no longer than a test may take."""

    async def bounded() -> None:
        await asyncio.wait_for(main(), 50)

    asyncio.run(bounded())


def test_functions_are_awaited() -> None:
    """By every name that they have; classes and errors are those of a plugin."""

    async def main() -> None:
        async with APlugin(RENDERER, imports={"app:host/store": Store()}) as plugin:
            content = plugin.exports.content
            assert "<h1>hi</h1><hr>" == await plugin.exports.render("# hi") == await plugin.render(text="# hi")
            assert content is plugin.exports["app:markdown/content@1.0.0"]
            assert "t" == (await content.parse("t")).title
            with pytest.raises(content.parse.Error):
                await content.parse("")
            assert Err(content.ParseError.Empty()) == await content.parse.result("")
            with pytest.raises(TypeError, match="text: expected str"):
                await plugin.render(1)
            assert 5 == plugin.usage.calls

    run(main)


def test_what_is_not_loaded_yet_has_nothing() -> None:
    """So that `hasattr` says so, and `Mock` takes it."""
    plugin = APlugin(PLAIN)
    assert not hasattr(plugin, "double")
    assert not hasattr(plugin, "exports")
    with pytest.raises(PluginError, match="it is not loaded yet"):
        plugin.__getattr__("double")
    with pytest.raises(PluginError, match="it is not loaded yet"):
        _ = plugin.usage
    assert Mock(spec=plugin).usage is not None


def test_loop_goes_on_while_a_guest_computes() -> None:
    """Until its deadline."""

    async def main() -> None:
        turns = 0
        async with APlugin(PLAIN, policy=Policy(limits=Limits(wall="300ms"))) as plugin:
            spin = asyncio.create_task(plugin.spin())
            while not spin.done():
                turns += 1
                await asyncio.sleep(0.005)
            with pytest.raises(WallReached):
                await spin
        assert turns > 10

    run(main)


def test_cancelled_task_ends_its_call() -> None:
    """At once; the plugin is poisoned, until it is restarted."""

    async def main() -> None:
        async with APlugin(PLAIN) as plugin:
            began = time.monotonic()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(plugin.spin(), 0.1)
            assert time.monotonic() - began < 0.1 + late()
            assert "cancelled" in str(plugin.poisoned)
            with pytest.raises(PluginError, match="cancelled"):
                await plugin.add(1, 2)
            await plugin.arestart()
            assert 3 == await plugin.add(1, 2)

    run(main)


def test_async_function_runs_in_the_callers_loop() -> None:
    """With the variables of its task; another function sees them on its thread."""

    async def main() -> None:
        seen: list[tuple[object, str]] = []
        loop = asyncio.get_running_loop()

        async def ask(number: int) -> int:
            await asyncio.sleep(0)
            seen.append((asyncio.get_running_loop(), NAME.get()))
            return number + 1

        def plain(number: int) -> int:
            seen.append((threading.get_ident(), NAME.get()))
            return number + 1

        NAME.set("mine")
        for function in (ask, plain):
            async with APlugin(ASKING, imports={"ask": function}) as plugin:
                assert 2 == await plugin.ask(1)
        assert (loop, "mine") == seen[0]
        assert "mine" == seen[1][1]
        assert threading.get_ident() != seen[1][0]

    run(main)


def test_exception_of_an_async_function_comes_out_as_itself() -> None:
    """Through the guest."""

    async def main() -> None:
        error = KeyError("mine")

        async def ask(_number: int) -> int:
            raise error

        async with APlugin(ASKING, imports={"ask": ask}) as plugin:
            with pytest.raises(KeyError) as caught:
                await plugin.ask(1)
            assert caught.value is error

    run(main)


def test_cancelled_task_cancels_the_async_function_that_it_is_in() -> None:
    """Nothing of it is left in the loop."""

    async def main() -> None:
        inside, ended = asyncio.Event(), asyncio.Event()

        async def ask(_number: int) -> int:
            inside.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return 0

        async with APlugin(ASKING, imports={"ask": ask}) as plugin:
            task = asyncio.create_task(plugin.ask(1))
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(ended.wait(), 1)

    run(main)


def test_many_plugins_and_calls_go_on_at_once() -> None:
    """Calls of one plugin wait for their turn; those of many instances meet in a function."""

    async def main() -> None:
        meeting: list[asyncio.Event] = []

        async def meet(number: int) -> int:
            meeting.append(asyncio.Event())
            if len(meeting) == 4:
                for event in meeting:
                    event.set()
            await meeting[-1].wait() if len(meeting) < 4 else None
            return number

        async with APlugin(ASKING, imports={"ask": meet}, instances=4) as plugin:
            assert [0, 1, 2, 3] == await asyncio.gather(*(plugin.ask(number) for number in range(4)))
        async with APlugin(COUNTER) as plugin, APlugin(COUNTER, fresh="call") as fresh:
            assert list(range(1, 21)) == await asyncio.gather(*(plugin.exports.count() for _ in range(20)))
            assert {1} == set(await asyncio.gather(*(fresh.exports.count() for _ in range(5))))

    run(main)


def test_plugin_that_a_function_of_it_awaits_is_an_error_and_no_deadlock() -> None:
    """The task would wait for itself."""

    async def main() -> None:
        plugin: Any

        async def ask(number: int) -> int:
            answer: int = await plugin.ask(number)
            return answer

        async with APlugin(ASKING, imports={"ask": ask}) as plugin:
            with pytest.raises(PluginError, match="every instance is in a call"):
                await plugin.ask(1)

    run(main)


def test_trap_poisons_and_says_so() -> None:
    """One instance is not replaced by itself; those of a pool are."""

    async def main() -> None:
        async with APlugin(PLAIN) as plugin:
            with pytest.raises(Trapped):
                await plugin.trap()
            with pytest.raises(PluginError, match="trapped: unreachable"):
                await plugin.add(1, 2)
        async with APlugin(PLAIN, instances=2) as pool:
            with pytest.raises(Trapped):
                await pool.trap()
            assert 3 == await pool.add(1, 2)

    run(main)


def test_plugin_that_is_not_there_is_refused() -> None:
    """Before it is loaded, after it was closed, and where it cannot be loaded."""

    async def main() -> None:
        plugin = APlugin(PLAIN)
        with pytest.raises(PluginError, match="not loaded"):
            await plugin.add(1, 2)
        async with plugin:
            add = plugin.add
        with pytest.raises(PluginError, match="it was closed"):
            await add(1, 2)
        with pytest.raises(LoadError):
            async with APlugin(b"no program"):
                pass

    run(main)


def test_resources_are_made_called_and_dropped_while_the_loop_goes_on() -> None:
    """Constructor, methods and statics are awaited; what a block drops, the plugin has heard of after it."""

    async def main() -> None:
        async with APlugin(COUNTERS) as plugin:
            api = plugin.exports.counters
            async with await api.Counter(40) as counter:
                assert 42 == await counter.add(2)
                assert 43 == await counter.add(by=1) == await api.Counter.add(counter, 0)
                assert "[method]counter.add: func(self: borrow<counter>, by: u32) -> u32" == counter.add.signature
            assert 0 == await api.live()
            merged = await api.Counter.merge(await api.Counter(1), await api.Counter(2))
            merged.drop()
            assert 0 == await api.live()

    run(main)


def test_end_of_a_resource_that_never_returns_holds_up_no_loop() -> None:
    """It ends at the deadline, as any call."""

    async def main() -> None:
        turns = 0
        async with APlugin(COUNTERS, policy=Policy(limits=Limits(wall="300ms"))) as plugin:
            counter = await plugin.exports.counters.Counter(999)
            ending = asyncio.create_task(counter.adrop())
            while not ending.done():
                turns += 1
                await asyncio.sleep(0.005)
            with pytest.raises(WallReached):
                await ending
        assert turns > 5

    run(main)


def test_reload_is_awaited() -> None:
    """New code behind the same plugin; what does not fit is refused."""

    async def main() -> None:
        async with APlugin(COUNTER) as plugin:
            assert [1, 2] == [await plugin.count(), await plugin.count()]
            await plugin.areload(COUNTER)
            assert 1 == await plugin.count()
            with pytest.raises(LoadError, match="does not fit"):
                await plugin.areload(b"(component)")
            assert 2 == await plugin.exports.count()

    run(main)
