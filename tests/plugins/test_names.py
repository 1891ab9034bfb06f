"""Types of one shape: as many classes as interfaces define."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from programs.builders import tools
from ringfence import Plugin, Trapped

if TYPE_CHECKING:
    from collections.abc import Iterator

# Two interfaces with a type of one shape each, under two names; a third that uses that of the first.
WEATHER = b"""(component
  (core module $m (func (export "f") (param f64) (result f64) (local.get 0)))
  (core instance $i (instantiate $m))
  (type $plain (record (field "degrees" f64)))
  (component $north
    (type $raw (record (field "degrees" f64)))
    (import "t" (type $t (eq $raw)))
    (import "f" (func $f (param "t" $t) (result $t)))
    (export $e "celsius" (type $raw))
    (export "warm" (func $f) (func (param "t" $e) (result $e))))
  (component $south
    (type $raw (record (field "degrees" f64)))
    (import "t" (type $t (eq $raw)))
    (import "f" (func $f (param "t" $t) (result $t)))
    (export $e "fahrenheit" (type $raw))
    (export "warm" (func $f) (func (param "t" $e) (result $e))))
  (func $f (param "t" $plain) (result $plain) (canon lift (core func $i "f")))
  (instance $n (instantiate $north (with "t" (type $plain)) (with "f" (func $f))))
  (instance $s (instantiate $south (with "t" (type $plain)) (with "f" (func $f))))
  (instance $u (instantiate $north (with "t" (type $plain)) (with "f" (func $f))))
  (export "test:weather/north" (instance $n))
  (export "test:weather/south" (instance $s))
  (export "test:weather/used" (instance $u)))"""


def test_types_of_one_shape_under_two_names_are_two_classes() -> None:
    """A value of one is none of the other; a name that interfaces share is one type."""
    with Plugin(WEATHER) as plugin:
        north, south, used = plugin.exports.north, plugin.exports.south, plugin.exports.used
        cold = north.warm({"degrees": 4.0})

        assert isinstance(cold, north.Celsius)
        assert not isinstance(cold, south.Fahrenheit)
        assert south.Fahrenheit(4.0) == south.warm(south.Fahrenheit(4.0)) != cold
        assert ["Celsius", "Fahrenheit"] == [north.Celsius.__qualname__, south.Fahrenheit.__qualname__]
        assert north.Celsius is used.Celsius
        assert cold == used.warm(cold)
        with pytest.raises(TypeError, match="t: expected Fahrenheit, not Celsius"):
            south.warm(cold)


# What two interfaces define under one name, what one uses of the other, and what is imported and exported.
WORLD = """
package a:b@1.2.3;
interface errors {
  record error { code: u32 }
  record point { x: s32 }
  enum color { red }
  type place = point;
  f: func(e: error, c: color) -> list<error>;
}
interface other {
  use errors.{point, error as failure};
  record error { code: u32 }
  record spot { x: s32 }
  enum color { red }
  g: func(e: error, c: color, at: option<point>) -> result<spot, failure>;
}
world w {
  import errors;
  import look: interface { record seen { a: u8 } f: func(s: seen); }
  use errors.{point};
  record local { at: point }
  export errors;
  export other;
  export show: interface { record seen { a: u8 } f: func(s: seen); }
  export run: func(l: local) -> option<point>;
}"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    """Load a component of that world, which does nothing, as the tools make it."""
    place = tmp_path_factory.mktemp("world")
    (place / "w.wit").write_text(WORLD)
    for words in (["embed", ".", "--world", "w", "--dummy", "-o", "core"], ["new", "core", "-o", "w.wasm"]):
        subprocess.run(["wasm-tools", "component", *words], cwd=place, env={**os.environ, **tools()}, check=True)
    with Plugin(place / "w.wasm", stub=True) as plugin:
        yield plugin


def test_type_is_that_of_the_interface_which_defines_it(world: Plugin) -> None:
    """Whatever others call theirs; what is used of an interface is that interface's, here and where it is imported."""
    errors, other = world.exports.errors, world.exports.other

    assert 2 == len({errors.Error, other.Error})
    assert 2 == len({errors.Color, other.Color})
    assert 2 == len({errors.Point, other.Spot})
    assert [errors.Error, errors.Point, errors.Point] == [other.Failure, other.Point, errors.Place]
    assert errors.Error is world.imports.errors.Error
    assert world.imports.look.Seen is not world.exports.show.Seen
    assert ["Local", "errors", "look"] == dir(world.imports)
    assert "g: func(e: error, c: color, at: option<point>) -> result<spot, failure>" == other.g.signature
    assert ("Spot", "ringfence.plugin.a:b/other@1.2.3") == (other.Spot.__qualname__, other.Spot.__module__)


def test_value_of_another_interface_is_refused_by_its_place(world: Plugin) -> None:
    """Though it has the same name and the same fields; one that is used is taken."""
    errors, other = world.exports.errors, world.exports.other
    with pytest.raises(TypeError, match=r"e: expected Error of a:b/other@1\.2\.3, not Error of a:b/errors@"):
        other.g(errors.Error(1), other.Color.RED, None)
    with pytest.raises(
        TypeError, match=r"c: expected a member of Color of a:b/other@1\.2\.3, not Color of a:b/errors@"
    ):
        other.g(other.Error(1), errors.Color.RED, None)
    with pytest.raises(TypeError, match="at: expected Point, not Spot"):
        other.g(other.Error(1), other.Color.RED, other.Spot(1))
    with pytest.raises(Trapped):
        other.g(other.Error(1), other.Color.RED, errors.Point(1))
    world.restart()
    with pytest.raises(Trapped):
        world.run(world.imports.Local(at=errors.Point(1)))
    world.restart()


def test_classes_of_one_shape_stay_apart_in_a_reload() -> None:
    """Each stays what it was."""
    with Plugin(WEATHER) as plugin:
        classes = plugin.exports.north.Celsius, plugin.exports.south.Fahrenheit
        plugin.reload(WEATHER)

        assert classes == (plugin.exports.north.Celsius, plugin.exports.south.Fahrenheit)
