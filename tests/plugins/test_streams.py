"""Streams and futures at the border of a plugin, both ways, where the policy lets it use WASI 0.3."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from plugins.streaming import STREAMS, streaming
from ringfence import APlugin, Err, Limits, LoadError, Ok, Plugin, PluginError, PluginPool, Policy, WallReached

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

TYPES: list[tuple[str, int, list[Any]]] = [
    ("u8", 1, [b"ab", b"cd"]),
    ("s8", 1, [-128, 127]),
    ("u16", 2, [0, 65535]),
    ("s16", 2, [-32768, 32767]),
    ("u32", 4, [0, 2**32 - 1]),
    ("s32", 4, [-(2**31), 2**31 - 1]),
    ("u64", 8, [0, 2**64 - 1]),
    ("s64", 8, [-(2**63), 2**63 - 1]),
    ("float32", 4, [1.5, -0.0]),
    ("float64", 8, [1e300, -1.25]),
    ("bool", 1, [True, False, True]),
    ("string", 8, ["", "hello", "ü" * 200]),
    ("(list u8)", 8, [b"", b"abc"]),
    ("(list string)", 8, [[], ["a", "b"]]),
    ("(option u32)", 8, [None, 7]),
    ("(result u8 (error string))", 12, [Ok(7), Err("no")]),
    ("(tuple u8 u64)", 16, [(1, 2)]),
]


def of(kind: str = "u32", size: int = 4, **imports: object) -> Plugin:
    """Give a plugin with streams of that type."""
    given = {"take": sum, "give": range, **imports}
    return Plugin(streaming(kind, size), policy=STREAMS, imports=given)


def joined(values: list[Any]) -> list[Any]:
    """Give values, of which bytes come in pieces of any length."""
    return [b"".join(values)] if values and all(isinstance(value, bytes) for value in values) else values


@pytest.mark.parametrize(("kind", "size", "values"), TYPES, ids=[kind for kind, *_ in TYPES])
def test_values_of_every_type_pass_through_a_stream(kind: str, size: int, values: list[Any]) -> None:
    """From whatever gives one after the other, and out as an iterator."""
    with of(kind, size) as plugin:
        many = values * 40
        assert joined(many) == joined(list(plugin.echo(iter(many))))
        assert joined(many) == joined(list(plugin.echo(many if kind != "u8" else b"".join(many))))
        assert [] == list(plugin.echo(iter(())))


@pytest.mark.parametrize(("kind", "size", "values"), TYPES, ids=[kind for kind, *_ in TYPES])
def test_a_value_of_every_type_passes_through_a_future(kind: str, size: int, values: list[Any]) -> None:
    """From whatever can be awaited, and out as what can."""

    async def later() -> object:
        await asyncio.sleep(0)
        return values[0][0] if kind == "u8" else values[0]

    with of(kind, size) as plugin:
        future = plugin.__getattr__("pass_")(later())
        expected = values[0][0] if kind == "u8" else values[0]

        assert [expected, expected] == [future.result(), future.result()]


def test_numbers_are_taken_from_memory_in_a_row() -> None:
    """From an array, a list or pieces of either."""
    with of() as plugin:
        for numbers in [
            array("I", range(1000)),
            list(range(1000)),
            iter([array("I", range(500)), list(range(500, 1000))]),
        ]:
            assert sum(range(1000)) == plugin.total(numbers)


def test_a_stream_is_an_asynchronous_iterator_too() -> None:
    """Of a plugin that is called and of one that is awaited, and so is what they are given."""

    async def numbers() -> AsyncIterator[int]:
        for number in range(5):
            await asyncio.sleep(0)
            yield number

    async def main() -> None:
        with of() as plugin:
            assert [0, 1, 2] == [number async for number in plugin.count(3)]
            assert 0 + 1 + 2 + 3 + 4 == plugin.total(numbers())
        async with APlugin(streaming("u32", 4), policy=STREAMS, imports={"take": sum, "give": range}) as awaited:
            assert [0, 1, 2] == [number async for number in await awaited.count(3)]
            assert [0, 1, 2, 3, 4] == [number async for number in await awaited.echo(numbers())]
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.01, future.set_result, 7)
            assert 7 == await (await awaited.pass_(future))

    asyncio.run(main())


def test_functions_of_the_host_take_and_give_streams() -> None:
    """What they read is written while they do: the guest goes on beside them."""
    taken: list[int] = []

    def take(numbers: Iterator[int]) -> int:
        taken.extend(numbers)
        return len(taken)

    with of(take=take, give=lambda count: iter(range(count))) as plugin:
        assert 5 == plugin.hand(5)
        assert [0, 1, 2, 3, 4] == taken
        assert 0 + 1 + 2 == plugin.fetch(3)


def test_async_functions_of_the_host_take_and_give_streams() -> None:
    """In the loop of their caller, where the plugin is awaited."""
    loops: list[object] = []

    async def take(numbers: AsyncIterator[int]) -> int:
        loops.append(asyncio.get_running_loop())
        return sum([number async for number in numbers])

    async def give(count: int) -> AsyncIterator[int]:
        async def numbers() -> AsyncIterator[int]:
            for number in range(count):
                loops.append(asyncio.get_running_loop())
                yield number

        return numbers()

    with of(take=take, give=give) as plugin:
        assert [10, 3] == [plugin.hand(5), plugin.fetch(3)]

    async def main() -> None:
        loops.clear()
        async with APlugin(streaming("u32", 4), policy=STREAMS, imports={"take": take, "give": give}) as awaited:
            assert [10, 3] == [await awaited.hand(5), await awaited.fetch(3)]
        assert {asyncio.get_running_loop()} == set(loops)

    asyncio.run(main())


def test_a_stream_that_is_left_half_read_ends_for_the_plugin() -> None:
    """Closed, or forgotten: its writer hears of it, and the plugin takes calls again."""
    with of() as plugin:
        with plugin.count(10**9) as numbers:
            assert [0, 1] == [next(numbers), next(numbers)]
        assert [] == list(numbers)
        assert 6 == plugin.total([1, 2, 3])

        forgotten = plugin.count(10**9)
        next(forgotten)
        del forgotten
        gc.collect()
        assert 6 == plugin.total([1, 2, 3])


def test_what_a_plugin_reads_is_closed_when_it_stops_reading() -> None:
    """And no value is asked for that it does not want."""
    asked: list[int] = []
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            for number in range(100):
                asked.append(number)
                yield number
        finally:
            closed.set()

    with of() as plugin:
        assert 0 == plugin.first(numbers())
        assert [0] == asked
        gc.collect()
        assert closed.wait(5)


def test_an_exception_of_what_is_read_comes_out_as_itself() -> None:
    """Through the guest, which is in an unknown state then."""

    def numbers() -> Iterator[int]:
        yield 1
        raise LookupError("gone")

    with of() as plugin:
        with pytest.raises(LookupError, match="gone"):
            plugin.total(numbers())
        assert "LookupError" in (plugin.poisoned or "")


@pytest.mark.parametrize(
    ("value", "error", "why"),
    [
        (7, TypeError, "numbers: expected an iterable, not int"),
        ("text", TypeError, "expected an iterable of values, not str"),
        ([1, "2"], TypeError, r"numbers\[1\]: expected int, for u32, not str"),
        ([1, 2**32], ValueError, r"numbers\[1\]: 4294967296 is not from 0"),
    ],
)
def test_what_is_no_stream_is_refused_before_the_plugin_sees_it(value: object, error: type, why: str) -> None:
    """By its place, as other values."""
    with of() as plugin:
        with pytest.raises(error, match=why):
            plugin.total(value)
        with pytest.raises(TypeError, match="expected something to be awaited, not int"):
            plugin.pass_(7)
        assert plugin.poisoned is None


def test_a_wrong_value_that_comes_later_ends_the_call() -> None:
    """By its type: the plugin has read what came before."""
    with of() as plugin, pytest.raises(TypeError, match="what a stream is given: expected int, for u32, not str"):
        plugin.total(iter([1, "2"]))


def test_a_stream_of_a_plugin_goes_to_another_and_not_back() -> None:
    """It would stand still while it waits for itself."""
    with of() as plugin, of() as other:
        assert 0 + 1 + 2 == other.total(plugin.count(3))
        with pytest.raises(TypeError, match="a stream of the plugin itself"):
            plugin.total(plugin.count(3))


def test_a_stream_ends_with_its_instance() -> None:
    """Which is an error, and not the end of what it had to say."""
    with of() as plugin:
        numbers = plugin.count(10)
        assert 0 == next(numbers)
        plugin.restart()
        with pytest.raises(PluginError, match="of an instance that is gone"):
            next(numbers)


def test_each_value_has_the_limits_of_a_call() -> None:
    """So that a stream may be read for longer than a call may take."""
    with of() as plugin:
        numbers = plugin.count(100)
        before = plugin.usage.calls
        assert list(range(100)) == list(numbers)
        assert before == plugin.usage.calls
        assert plugin.usage.wall_seconds > 0


def test_every_value_comes_to_one_of_many_readers() -> None:
    """Threads: none is lost, none comes twice, and each has what it gets in its order."""

    def read(numbers: Iterator[int], got: list[int]) -> None:
        got.extend(numbers)

    with of() as plugin:
        for _ in range(20):
            numbers, gots = plugin.count(500), [list[int]() for _ in range(3)]
            threads = [threading.Thread(target=read, args=(numbers, got)) for got in gots]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert list(range(500)) == sorted(number for got in gots for number in got)
            assert all(got == sorted(got) for got in gots)


def test_every_value_comes_to_one_of_many_tasks() -> None:
    """Whose loop goes on, though one waits for the other."""

    async def numbers() -> AsyncIterator[int]:
        for number in range(100):
            await asyncio.sleep(0)
            yield number

    async def main() -> None:
        async with APlugin(streaming("u32", 4), policy=STREAMS, imports={"take": sum, "give": range}) as plugin:
            stream, gots = await plugin.echo(numbers()), [list[int]() for _ in range(3)]

            async def read(got: list[int]) -> None:
                got.extend([number async for number in stream])

            await asyncio.gather(*map(read, gots))
            assert list(range(100)) == sorted(number for got in gots for number in got)
            assert all(got == sorted(got) for got in gots)

    asyncio.run(main())


def test_a_future_has_its_value_for_everybody_who_waits() -> None:
    """Threads and tasks, whoever of them has the plugin run."""

    async def nine() -> int:
        await asyncio.sleep(0.01)
        return 9

    with of() as plugin:
        for _ in range(30):
            future, got = plugin.__getattr__("pass_")(nine()), list[object]()
            threads = [threading.Thread(target=lambda: got.append(future.result())) for _ in range(3)]  # noqa: B023 - joined below
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [9, 9, 9] == got

    async def main() -> None:
        async with APlugin(streaming("u32", 4), policy=STREAMS, imports={"take": sum, "give": range}) as awaited:
            future = await awaited.__getattr__("pass_")(nine())

            async def wait() -> int:
                value: int = await future
                return value

            assert [9, 9, 9] == list(await asyncio.gather(wait(), wait(), wait()))

    asyncio.run(main())


def test_a_reader_that_waits_for_another_can_be_cancelled() -> None:
    """At once, and the other one goes on with all that comes."""

    async def main() -> None:
        async with APlugin(streaming("u32", 4), policy=STREAMS, imports={"take": sum, "give": range}) as plugin:
            go_on = asyncio.Event()

            async def numbers() -> AsyncIterator[int]:
                await go_on.wait()
                for number in range(3):
                    yield number

            stream = await plugin.echo(numbers())
            first = asyncio.create_task(anext(stream))
            await asyncio.sleep(0.2)
            second = asyncio.create_task(anext(stream))
            await asyncio.sleep(0.2)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            assert not first.done()
            go_on.set()
            assert [0, 1, 2] == [await first, *[number async for number in stream]]

    asyncio.run(main())


@pytest.mark.parametrize("inline", [False, True])
def test_what_reads_the_stream_that_it_is_read_for_ends_at_the_deadline(inline: bool) -> None:
    """On the thread of the reader too, where nobody else could end it."""
    streams: list[Iterator[int]] = []

    def numbers() -> Iterator[int]:
        yield 1
        yield next(streams[0])

    policy, imports = Policy(wasi="0.3", limits=Limits(wall="500ms")), {"take": sum, "give": range}
    with Plugin(streaming("u32", 4), policy=policy, imports=imports, inline=inline) as plugin:
        streams.append(plugin.echo(numbers()))
        before = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises((PluginError, WallReached)):
                list(streams[0])
        assert time.monotonic() - before < 10


def test_pools_have_no_streams() -> None:
    """Each is of one instance, and nobody can tell which call comes to that."""
    with pytest.raises(LoadError, match="it has streams"):
        PluginPool(2, streaming("u32", 4), policy=STREAMS, imports={"take": sum, "give": range})


def test_streams_of_characters_are_refused_by_webassembly_itself() -> None:
    """As the text of a type: nobody has defined how they are encoded."""
    with pytest.raises(LoadError, match="`stream<char>` is not valid at this time"):
        of("char")


@pytest.mark.parametrize("kind", ["(stream (own $r))", "(stream (tuple u64 u64 u64 u64 u64 u64 u64 u64 u64))"])
def test_streams_of_handles_and_of_large_values_are_refused_by_name(kind: str) -> None:
    """No call finds that out."""
    program = f"""(component (import "r" (type $r (sub resource)))
      (type $t {kind}) (import "take" (func async (param "x" $t))))""".encode()
    with pytest.raises(LoadError, match=r"its import `take` has a (stream|future) of what none can be of"):
        Plugin(program, policy=STREAMS, imports={"take": print, "r": int})
