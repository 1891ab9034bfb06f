"""Values of plugins in other processes, and plugins that their classes lead back to."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from plugins.resources import COUNTERS
from ringfence import APlugin, Plugin, PluginPool

RENDERER = Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat"
STORE = {"app:host/store": {"get": lambda _: None}}


def parse(text: str) -> Any:
    """Have a plugin of a worker's own parse it."""
    with Plugin(RENDERER, imports=STORE) as plugin:
        return plugin.exports.content.parse(text)


def shown(value: object) -> tuple[str, object]:
    """Show it in a process that has no plugin, and give it back."""
    return repr(value), value


def test_value_and_error_come_back_from_another_process() -> None:
    """As the classes that they are here; one that has no plugin makes the class that they are of."""
    with Plugin(RENDERER, imports=STORE) as plugin, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as workers:
        content = plugin.exports.content
        page = content.parse("see http://a")

        assert (repr(page), page) == workers.submit(shown, page).result()
        assert page == workers.submit(parse, "see http://a").result()
        with pytest.raises(content.parse.Error) as caught:
            workers.submit(parse, "").result()
        assert content.ParseError.Empty() == caught.value.value


def test_two_plugins_of_one_world_have_one_class() -> None:
    """What one gave the other takes, and both raise one error, of a pool too."""
    with Plugin(RENDERER, imports=STORE) as one, PluginPool(1, RENDERER, imports=STORE) as other:
        assert one.exports.content.Page is other.exports.content.Page
        with pytest.raises(other.exports.content.parse.Error):
            one.exports.content.parse("")


@pytest.mark.parametrize("profile", [False, True])
def test_plugin_and_its_functions_stay_where_they_are(profile: bool) -> None:
    """And say what to do instead: a pool of processes is asked for them easily."""
    with Plugin(RENDERER, imports=STORE, profile=profile) as plugin, Plugin(COUNTERS, profile=profile) as other:
        counter = other.exports.counters.Counter(1)
        for live in (plugin, plugin.render, counter.add, APlugin(RENDERER)):
            for take in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(
                    TypeError, match=r"cannot be copied or pickled\nhint: load (it|the plugin) where it is"
                ):
                    take(live)


# A record with a resource in it, given and taken.
HOLDING = b"""(component
  (type $thing (resource (rep i32)))
  (core func $new (canon resource.new $thing))
  (core module $m (import "host" "new" (func $new (param i32) (result i32)))
    (func (export "make") (result i32) (call $new (i32.const 7)))
    (func (export "take") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m (with "host" (instance (export "new" (func $new))))))
  (component $c
    (import "thing" (type $t0 (sub resource)))
    (type $held0 (record (field "it" (own $t0))))
    (import "held" (type $held (eq $held0)))
    (import "make" (func $make (result $held)))
    (import "take" (func $take (param "held" $held) (result u32)))
    (export $t "thing" (type $t0))
    (type $raw (record (field "it" (own $t))))
    (export $h "held" (type $raw))
    (export "make" (func $make) (func (result $h)))
    (export "take" (func $take) (func (param "held" $h) (result u32))))
  (type $raw (record (field "it" (own $thing))))
  (func $make (result $raw) (canon lift (core func $i "make")))
  (func $take (param "held" $raw) (result u32) (canon lift (core func $i "take")))
  (instance $api (instantiate $c (with "thing" (type $thing)) (with "held" (type $raw))
    (with "make" (func $make)) (with "take" (func $take))))
  (export "test:zoo/things" (instance $api)))"""


def test_plugin_whose_records_hold_its_resources_is_collected() -> None:
    """Though their class is annotated with one that has functions of the plugin; its values are copied, not pickled."""
    plugin = Plugin(HOLDING)
    api = plugin.exports.things
    held = api.make()

    assert {"it": api.Thing} == get_type_hints(api.Held)
    assert isinstance(held, api.Held)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(held)
    assert isinstance(api.take(held), int)
    gone = weakref.ref(api.Held), weakref.ref(api.Thing)
    plugin.close()
    del plugin, api, held
    gc.collect()

    assert (None, None) == (gone[0](), gone[1]())


def test_class_of_a_record_with_resources_keeps_its_plugin() -> None:
    """Whoever has a function, or a class of resources, may go on."""
    make = Plugin(HOLDING).exports.things.make
    gc.collect()

    assert "Held" == type(make()).__name__
