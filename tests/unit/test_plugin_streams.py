"""What gives a plugin the values of a stream, one after the other."""

from __future__ import annotations

import asyncio
import copy
import gc
import warnings
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from plugins.streaming import STREAMS, streaming
from ringfence import Plugin, PluginError, PluginFuture, PluginStream
from ringfence._plugin_streams import Streams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def plugin() -> Plugin:
    """Give one with streams of numbers."""
    return Plugin(streaming("u32", 4), policy=STREAMS, imports={"take": sum, "give": range})


def all_of(step: Callable[[], Any]) -> list[Any]:
    """Give what it gives until it ends."""
    return list(iter_until_stop(step))


def iter_until_stop(step: Callable[[], Any]) -> Any:
    """Give one after the other."""
    while True:
        try:
            value = step()
        except StopIteration:
            return
        yield value


async def numbers(count: int) -> AsyncIterator[int]:
    """Give so many numbers, each after a turn of the loop."""
    for number in range(count):
        await asyncio.sleep(0)
        yield number


def test_whatever_gives_values_is_asked_for_one_after_the_other() -> None:
    """An iterator, and an asynchronous one in a loop of its own, inside of another loop too."""
    assert [0, 1, 2] == all_of(Streams().feed(iter(range(3)), is_future=False))
    assert [0, 1, 2] == all_of(Streams().feed(numbers(3), is_future=False))

    async def main() -> list[int]:
        return all_of(Streams().feed(numbers(3), is_future=False))

    assert [0, 1, 2] == asyncio.run(main())


def test_whatever_can_be_awaited_gives_one_value() -> None:
    """A coroutine, a future of threads, and one of a plugin."""

    async def seven() -> int:
        return 7

    done: Future[int] = Future()
    done.set_result(7)
    for value in (seven(), done):
        assert [7] == all_of(Streams().feed(value, is_future=True))


def test_coroutine_that_nobody_awaits_complains_to_nobody() -> None:
    """The plugin may never read its future."""

    async def seven() -> int:
        return 7

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        feed = Streams().feed(seven(), is_future=True)
        del feed
        gc.collect()


def test_stream_and_future_of_a_plugin_tell_what_they_are() -> None:
    """And cannot be copied: there is one of each."""
    with plugin() as made, plugin() as other:
        stream, future = made.count(1), other.pass_(asyncio.sleep(0, 7))
        assert isinstance(stream, PluginStream)
        assert isinstance(future, PluginFuture)
        assert ["<stream of a plugin>", "<future of a plugin>"] == [repr(stream), repr(future)]
        for one in (stream, future):
            with pytest.raises(TypeError, match="cannot be copied"):
                copy.copy(one)
        future.close()
        with pytest.raises(PluginError, match="no value of a plugin's future"):
            future.result()
        stream.close()
        assert "<closed stream of a plugin>" == repr(stream)
        assert [] == list(stream)
