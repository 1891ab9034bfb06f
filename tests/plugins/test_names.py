"""Types of one shape: as many classes as they have names."""

from __future__ import annotations

import pytest

from ringfence import Plugin

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


def test_classes_of_one_shape_stay_apart_in_a_reload() -> None:
    """Each stays what it was."""
    with Plugin(WEATHER) as plugin:
        classes = plugin.exports.north.Celsius, plugin.exports.south.Fahrenheit
        plugin.reload(WEATHER)

        assert classes == (plugin.exports.north.Celsius, plugin.exports.south.Fahrenheit)
