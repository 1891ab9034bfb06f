"""Resources of both sides: classes of what a plugin makes, and objects of yours that it has handles of."""

from __future__ import annotations

import asyncio
import gc
import inspect
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

from plugins.resources import COUNTERS, KEEPER, Blob, Blobs
from ringfence import APlugin, Err, LoadError, Ok, Plugin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfence._isolation import Isolation


@pytest.fixture
def counters(place: Isolation) -> Iterator[Plugin]:
    """Make a plugin that makes counters."""
    with Plugin(COUNTERS, isolation=place) as plugin:
        yield plugin


@pytest.fixture
def keeper(place: Isolation) -> Iterator[Plugin]:
    """Make a plugin that keeps objects of ours."""
    with Plugin(KEEPER, imports={"test:zoo/blobs": Blobs}, isolation=place) as plugin:
        yield plugin


def test_resource_is_a_class_with_constructor_methods_and_statics(counters: Plugin) -> None:
    """Under its name in its interface; a method that is called `drop` leaves ours alone."""
    api = counters.exports.counters
    one = api.Counter(5)
    other = api.Counter(start=1)

    assert isinstance(one, api.Counter)
    assert [7, 10] == [one.add(2), one.add(by=3)]
    merged = api.Counter.merge(one, other)
    assert 11 == merged.add(0) == api.Counter.add(merged, 0)
    with pytest.raises(merged.drop_.Error):
        merged.drop_()
    assert Err(None) == merged.drop_.result()
    assert Ok(11) == merged.add.result(0)
    assert "[method]counter.add: func(self: borrow<counter>, by: u32) -> u32" == merged.add.signature
    assert "make" not in dir(api)
    assert "Counter" in dir(api)


@pytest.mark.parametrize("profile", [False, True])
def test_functions_and_methods_have_the_signatures_that_python_asks_for(profile: bool) -> None:
    """For tools that look at what they are given; a method without the object that it is of."""
    with Plugin(COUNTERS, profile=profile) as plugin:
        api = plugin.exports.counters
        counter = f"{api.Counter.__module__}.Counter"
        expected = ["() -> int", "(by: int) -> int", f"(self: {counter}, by: int) -> int"]
        expected += [f"(one: {counter}, other: {counter}) -> {counter}"]
        assert expected == [
            str(inspect.signature(it)) for it in (api.live, api.Counter(1).add, api.Counter.add, api.Counter.merge)
        ]


async def awaited_signatures() -> list[str]:
    """Give those of a plugin that is awaited."""
    async with APlugin(COUNTERS) as plugin:
        api = plugin.exports.counters
        return [str(inspect.signature(it)) for it in (api.live, (await api.Counter(1)).add, api.Counter)]


def test_functions_and_methods_that_are_awaited_have_them_too() -> None:
    """The same."""
    *functions, made = asyncio.run(awaited_signatures())

    assert ["() -> int", "(by: int) -> int"] == functions
    assert "(start: int) -> " == made[:16]


def test_resource_ends_with_its_block_once(counters: Plugin) -> None:
    """At once, and dropping it again is nothing."""
    api = counters.exports.counters
    calls = counters.usage.calls
    with api.Counter(5) as counter:
        assert 1 == api.live()
    assert 0 == api.live()
    counter.drop()
    counter.drop()

    assert 0 == api.live()
    assert calls + 4 == counters.usage.calls
    assert "<Counter of a plugin, which was dropped>" == repr(counter)


def test_resource_that_nothing_refers_to_ends_before_the_next_call(counters: Plugin) -> None:
    """Collected on any thread, and told to the plugin when it is free."""
    api = counters.exports.counters
    held = [api.many(50), api.many(7)]
    cycle: list[Any] = [api.Counter(1)]
    cycle.append(cycle)
    assert 58 == api.live()
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    del cycle
    gc.collect()

    assert 0 == api.live()


def test_resource_is_lent_and_given(counters: Plugin) -> None:
    """What is given is the plugin's; what is lent is yours again after the call."""
    api = counters.exports.counters
    counter = api.Counter(2)

    assert 4 == api.sum([counter, counter])
    assert 2 == api.sum((counter,))
    other = api.Counter(3)
    merged = api.Counter.merge(counter, other)
    for gone in (counter, other):
        with pytest.raises(ValueError, match="self: this `counter` was given to the plugin, which owns it now"):
            gone.add(1)
    assert 5 == merged.add(0)


def test_call_that_is_not_made_takes_nothing(counters: Plugin) -> None:
    """Arguments that do not fit leave those that do as they were."""
    api = counters.exports.counters
    counter = api.Counter(2)
    with pytest.raises(TypeError, match="other: expected a resource `counter` of this plugin, not int"):
        api.Counter.merge(counter, 5)
    with pytest.raises(ValueError, match="other: this `counter` was given"):
        api.Counter.merge(counter, counter)

    assert 2 == counter.add(0)


def test_dropped_resource_is_an_error_that_names_its_place(counters: Plugin) -> None:
    """Nothing of it reaches the plugin."""
    api = counters.exports.counters
    counter = api.Counter(2)
    counter.drop()
    with pytest.raises(ValueError, match=r"counters\[1\]: this `counter` was dropped"):
        api.sum([api.Counter(1), counter])

    assert counters.poisoned is None


def test_resource_of_another_plugin_or_from_before_a_restart_is_refused(counters: Plugin) -> None:
    """Each instance has its own."""
    api = counters.exports.counters
    counter = api.Counter(2)
    with Plugin(COUNTERS) as other, pytest.raises(TypeError, match="a resource `counter` of this plugin, not Counter"):
        other.exports.counters.sum([counter])
    counters.restart()
    with pytest.raises(ValueError, match="is of an instance that is gone"):
        counter.add(1)
    counter.drop()

    assert 1 == api.Counter(1).add(0)


def test_resource_outlives_everything_else_that_refers_to_its_plugin(place: Isolation) -> None:
    """An object of it is enough, and so is a function that makes one."""
    counter = Plugin(COUNTERS, isolation=place).exports.counters.Counter(1)
    make = Plugin(COUNTERS, isolation=place).exports.counters.many
    gc.collect()

    assert 2 == counter.add(1)
    assert [3, 2, 1] == [made.add(0) for made in make(3)]


def test_plugin_with_resources_is_collected(place: Isolation) -> None:
    """Its classes have methods that have the plugin, which is no reason to stay."""
    import weakref

    plugin = Plugin(COUNTERS, isolation=place)
    cls = weakref.ref(plugin.exports.counters.Counter)
    plugin.exports.counters.Counter(1).add(1)
    del plugin
    gc.collect()

    assert cls() is None


def test_resource_is_not_copied(counters: Plugin) -> None:
    """It is one thing in one plugin."""
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        pickle.dumps(counters.exports.counters.Counter(1))


def test_object_of_the_host_comes_back_as_itself(keeper: Plugin) -> None:
    """Given, kept and given back; lent, and measured by its own method."""
    blob = Blob(7)

    assert 7 == keeper.measure(blob)
    keeper.keep(blob)
    assert blob is keeper.give()
    assert 3 == keeper.make(3).length
    assert 12 == keeper.join(Blob(5), blob).length


def test_object_that_the_plugin_drops_is_told_so(keeper: Plugin) -> None:
    """By its `drop`, once; and the host keeps nothing of it."""
    import weakref

    blob = Blob(7)
    gone = weakref.ref(blob)
    keeper.keep(blob)
    before = Blob.dropped
    keeper.forget()
    del blob

    assert before + 1 == Blob.dropped
    assert gone() is None


def test_object_lent_is_not_kept(keeper: Plugin) -> None:
    """When the call is over, made or not, nothing refers to it."""
    import weakref

    blob = Blob(7)
    gone = weakref.ref(blob)
    keeper.measure(blob)
    with pytest.raises(TypeError):
        keeper.join(blob, 5)
    del blob

    assert gone() is None


def test_object_of_another_class_is_refused_by_its_place(keeper: Plugin) -> None:
    """The class that was given for a resource is what its objects are of."""
    with pytest.raises(TypeError, match="blob: expected Blob, which was given for `blob`, not int"):
        keeper.measure(5)

    class Odd(Blobs):
        @staticmethod
        def swap(blob: object) -> object:
            return blob is None

    with (
        Plugin(KEEPER, imports={"blobs": Odd}) as plugin,
        pytest.raises(TypeError, match=r"what `test:zoo/blobs\.swap` returned: expected Blob"),
    ):
        plugin.join(Blob(1), Blob(2))


def test_subclass_has_its_own_methods(keeper: Plugin) -> None:
    """The method of the object is called, not that of the class that was given."""

    class Larger(Blob):
        def size(self) -> int:
            return 100

    assert 100 == keeper.measure(Larger(1))


def test_members_of_a_resource_that_are_missing_are_named_when_it_is_loaded() -> None:
    """All of them, with their signatures."""

    class Half:
        def __init__(self) -> None: ...

        @staticmethod
        def join(one: object, other: object) -> object:
            return one or other

    given = {"Blob": Half, "swap": Blobs.swap}
    with pytest.raises(LoadError) as caught:
        Plugin(KEEPER, imports={"test:zoo/blobs": given})
    assert "`test:zoo/blobs: [constructor]blob: func(size: u32) -> blob` is called with 1 argument" in caught.value.why
    assert "`test:zoo/blobs: [method]blob.size: func(self: borrow<blob>) -> u32` is missing" in caught.value.why
    assert "join" not in caught.value.why
    with pytest.raises(LoadError, match=r"\[constructor\]blob: func\(size: u32\) -> blob` is missing"):
        Plugin(KEEPER, imports={"test:zoo/blobs": {"swap": Blobs.swap}})


def test_restart_lets_go_of_what_the_plugin_kept(keeper: Plugin) -> None:
    """Its handles went with it."""
    import weakref

    blob = Blob(7)
    gone = weakref.ref(blob)
    keeper.keep(blob)
    keeper.restart()
    del blob

    assert gone() is None


def test_resource_is_dropped_while_another_thread_calls(counters: Plugin) -> None:
    """Nothing waits and nothing fails: the plugin is told before a later call."""
    api = counters.exports.counters
    held = api.many(300)
    over = threading.Event()

    def call() -> None:
        while not over.is_set():
            api.many(500)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        for counter in held:
            counter.drop()
    finally:
        over.set()
        thread.join()

    assert 0 == api.live()
