"""New code for a plugin that goes on, while it is called."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plugins.resources import COUNTERS
from ringfence import APlugin, LoadError, Plugin, PluginError, PluginPool

if TYPE_CHECKING:
    from collections.abc import Callable

RENDERER = Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat"
STORE = {"app:host/store": {"get": lambda _: None}}


class Store:
    """One whose calls take a while."""

    async def get(self, _: str) -> None:
        """Have nothing, later."""
        await asyncio.sleep(0.1)


def test_calls_that_wait_for_their_turn_are_made() -> None:
    """Of an event loop: by whichever instance is there then, with what they were called with."""

    async def main() -> None:
        async with APlugin(RENDERER, imports={"app:host/store": Store()}) as plugin:
            calls = [asyncio.create_task(plugin.render(f"# {number}")) for number in range(3)]
            await asyncio.sleep(0.05)
            await plugin.areload(RENDERER)
            assert ["<h1>0</h1>", "<h1>1</h1>", "<h1>2</h1>"] == [
                str(page)[:10] for page in await asyncio.gather(*calls)
            ]

    asyncio.run(main())


def hammered(plugin: Plugin, call: Callable[[], object], threads: int) -> list[object]:
    """Reload it while so many threads call it, and list what went wrong."""
    over, wrong, made = threading.Event(), list[object](), list[int]()

    def calling() -> None:
        while not over.is_set():
            try:
                call()
                made.append(1)
            except BaseException as error:  # noqa: BLE001 - told below
                wrong.append(error)

    running = [threading.Thread(target=calling) for _ in range(threads)]
    for thread in running:
        thread.start()
    for _ in range(30):
        plugin.reload(RENDERER)
    over.set()
    for thread in running:
        thread.join()
    assert made
    return wrong


def test_calls_of_threads_go_to_the_old_code_or_to_the_new() -> None:
    """Between look-up and call, while they wait for an instance, and with a function that was taken out before."""
    with PluginPool(1, RENDERER, imports=STORE) as pool:
        assert [] == hammered(pool, lambda: pool.exports.render("# x"), 3)
        render = pool.render
        assert [] == hammered(pool, lambda: render("# x"), 2)
    with Plugin(RENDERER, imports=STORE) as plugin:
        assert [] == hammered(plugin, lambda: plugin.render("# x"), 1)


def test_function_of_before_is_that_of_the_newest_code() -> None:
    """However often there was new code, none of which it keeps."""
    with Plugin(RENDERER, imports=STORE) as plugin:
        render, profiles = plugin.render, plugin.render.result
        for _ in range(3):
            between = weakref.ref(plugin.exports)
            plugin.reload(RENDERER)
            gc.collect()
            assert between() is None
        assert str(render("# x")).startswith("<h1>x</h1>")
        assert profiles("# x").value == plugin.render("# x")
        assert 3 == plugin.usage.calls
    with pytest.raises(PluginError, match="it was closed"):
        render("# x")


@pytest.mark.parametrize("isolation", ["wasm", "process"])
def test_closed_plugin_stays_closed(isolation: str) -> None:
    """As for `restart`, a pool too."""
    given = {"imports": STORE, "isolation": isolation}
    for plugin in (Plugin(RENDERER, **given), PluginPool(2, RENDERER, **given)):  # type: ignore[arg-type]
        plugin.close()
        with pytest.raises(PluginError, match="it was closed"):
            plugin.reload(RENDERER)
        with pytest.raises(PluginError, match="it was closed"):
            plugin.render("# x")


def test_closed_awaited_plugin_stays_closed() -> None:
    """As one that is not awaited."""

    async def main() -> None:
        async with APlugin(RENDERER, imports=STORE) as plugin:
            pass
        with pytest.raises(PluginError, match="it was closed"):
            await plugin.areload(RENDERER)

    asyncio.run(main())


def test_plugin_that_is_closed_while_new_code_is_loaded_stays_closed() -> None:
    """Wherever the reload is then."""
    for delay in (0.0, 0.001, 0.003, 0.01):
        plugin = Plugin(RENDERER, imports=STORE)
        closing = threading.Timer(delay, plugin.close)
        closing.start()
        for _ in range(20):
            with contextlib.suppress(PluginError):
                plugin.reload(RENDERER)
        closing.join()
        with pytest.raises(PluginError, match="it was closed"):
            plugin.render("# x")


def test_class_of_a_resource_stays_what_it_was() -> None:
    """And makes those of the new code; objects of before are gone with the old."""
    with Plugin(COUNTERS, stub=True) as plugin:
        counters = plugin.exports.counters
        cls = counters.Counter
        before = cls(1)
        plugin.reload(COUNTERS)
        assert plugin.exports.counters.Counter is cls
        after = cls(1)
        assert type(after) is type(before) is cls
        assert "<Counter of a plugin>" == repr(after)
        assert "gone" in repr(before) or "which" in repr(before)
        other = COUNTERS.replace(b'(export $counter "counter"', b'(export $counter "abacus"')
        other = other.replace(b"[constructor]counter", b"[constructor]abacus").replace(b"]counter.", b"]abacus.")
        with pytest.raises(LoadError):
            plugin.reload(other)
        assert isinstance(cls(1), cls)
