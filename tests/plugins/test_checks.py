"""What does not fit a type is refused, by its place."""

from __future__ import annotations

import ctypes
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from plugins.typed import PADDING, Echo, Type, plugin_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfence import Plugin

LINK = ("record", [("url", "string"), ("kind", ("enum", ["a", "b"]))])
PAGE = ("record", [("title", "string"), ("links", ("list", LINK)), ("age", ("option", ("option", "u8")))])
SHAPE = ("variant", [("empty", None), ("circle", "f32")])
TYPES: list[Type] = [
    PAGE,
    SHAPE,
    ("flags", ["r", "w"]),
    ("list", "u16"),
    "char",
    "string",
    "f32",
    ("list", ("list", "s8")),
    ("map", "u8", "string"),
    ("fixed", "u16", 3),
    ("fixed", "string", 2),
    ("list", "s32"),
    ("list", "f64"),
    ("list", "u8"),
    "u8",
]


@pytest.fixture(scope="module")
def echo() -> Iterator[tuple[Echo, Plugin]]:
    """A component for the types that are looked at."""
    echo = Echo(*TYPES)
    with plugin_of(echo) as plugin:
        yield echo, plugin


def call(plugin: Plugin, kind: Type, value: object) -> Any:
    """Send a value of a type through memory."""
    return plugin.exports[f"memory-{TYPES.index(kind)}"](value, *[0] * PADDING)[0]


def cyclic() -> list[Any]:
    """Make a list that is in itself."""
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize(
    ("kind", "value", "error", "why"),
    [
        (
            PAGE,
            {"title": "t", "links": [{"url": 5, "kind": None}], "age": None},
            TypeError,
            r"v\.links\[0\]\.url: expected str, not int",
        ),
        (
            PAGE,
            {"title": "t", "links": [{"url": "u", "kind": "a"}], "age": None},
            TypeError,
            r"v\.links\[0\]\.kind: expected a member of",
        ),
        (PAGE, {"title": "t", "links": [], "age": 5}, TypeError, r"v\.age: expected None or Some"),
        (PAGE, {"title": "t", "links": []}, ValueError, r"v\.age: a dict for .* without this key"),
        (PAGE, {"title": "t", "links": [], "age": None, "more": 1}, ValueError, "has no field 'more'"),
        (PAGE, ("t", [], None), TypeError, "not tuple"),
        (PAGE, {"title": "\ud800", "links": [], "age": None}, ValueError, r"v\.title: a lone surrogate"),
        (SHAPE, "empty", TypeError, "expected a case of"),
        (("flags", ["r", "w"]), 3, TypeError, "not int"),
        (("list", "u16"), [1, 2, 65536], ValueError, r"v\[2\]: 65536 is not from 0 to 65535"),
        (("list", "u16"), array("h", [1]), TypeError, "an array of u16, not array of `h`"),
        (("list", "u16"), array("f"), TypeError, "an array of u16, not array of `f`"),
        (("list", "s32"), memoryview(bytes(8)).cast("i", (1, 2)), ValueError, "expected one dimension, not 2"),
        (("list", "u8"), array("H", [1]), TypeError, "bytes in a row, not array of `H`"),
        pytest.param("u8", 10**5000, ValueError, "v: a number that long is not from 0 to 255", id="long"),
        (("list", "u16"), "text", TypeError, "not str"),
        ("char", "ab", ValueError, "expected one character"),
        ("char", "\udfff", ValueError, "a lone surrogate"),
        ("string", b"bytes", TypeError, "expected str, not bytes"),
        ("f32", 1e300, ValueError, "too large for f32"),
        ("f32", "1.0", TypeError, "expected float, for f32, not str"),
        (("map", "u8", "string"), {1: "a", 256: "b"}, ValueError, r"v\[1\]\.key: 256 is not from 0 to 255"),
        (("map", "u8", "string"), {1: "a", 2: 5}, TypeError, r"v\[1\]\.value: expected str, not int"),
        (("map", "u8", "string"), [(1, "a")], TypeError, "v: expected dict, not list"),
        (("fixed", "u16", 3), array("H", [1, 2]), ValueError, "v: expected a list of 3, not of 2"),
        (("fixed", "u16", 3), [1, 2, 3, 4], ValueError, "v: expected a list of 3, not of 4"),
        (("fixed", "string", 2), ["a"], ValueError, "v: expected a list of 2, not of 1"),
        (("list", ("list", "s8")), cyclic(), TypeError, r"v\[0\]\[0\]: expected int, for s8, not list"),
    ],
)
def test_error_names_the_place(
    echo: tuple[Echo, Plugin], kind: Type, value: object, error: type[Exception], why: str
) -> None:
    """As a path from the parameter inwards; the plugin was not entered."""
    _, plugin = echo
    calls = plugin.usage.calls
    with pytest.raises(error, match=why):
        call(plugin, kind, value)

    assert calls == plugin.usage.calls


def test_numbers_come_from_whatever_has_them_in_a_row(echo: tuple[Echo, Plugin]) -> None:
    """An array, a view of one, a list, a tuple; they come back as an array."""
    _, plugin = echo
    kind = ("list", "u16")
    for given in (
        array("H", [1, 2]),
        memoryview(array("H", [1, 2])),
        [1, 2],
        (1, 2),
        memoryview(array("H", [1, 0, 2]))[::2],
    ):
        assert array("H", [1, 2]) == call(plugin, kind, given)
    assert array("H") == call(plugin, kind, array("H"))


def test_numbers_in_the_other_order_of_bytes_are_turned_around(echo: tuple[Echo, Plugin]) -> None:
    """As files of other machines have them; either order may be said, and no address is too odd."""
    _, plugin = echo
    for kind, code, of in (("s32", "i", ctypes.c_int32), ("u16", "H", ctypes.c_uint16), ("f64", "d", ctypes.c_double)):
        for given in (of, of.__ctype_be__, of.__ctype_le__):
            assert array(code, [1, 2, 3]) == call(plugin, ("list", kind), (given * 3)(1, 2, 3))
    odd = memoryview(bytearray(9))[1:].cast("i")
    odd[0], odd[1] = 5, -6
    assert array("i", [5, -6]) == call(plugin, ("list", "s32"), odd)
    assert b"\x01\x02" == call(plugin, ("list", "u8"), (ctypes.c_ubyte * 2)(1, 2))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), KeyError("mine"), TypeError("mine too")])
def test_exception_of_a_value_comes_out_as_itself(echo: tuple[Echo, Plugin], error: BaseException) -> None:
    """What it raises when it is asked for its number is no question of types."""

    class Wrong:
        def __index__(self) -> int:
            raise error

    _, plugin = echo
    for kind, value in (("u8", Wrong()), (("list", "s32"), [1, Wrong()])):
        with pytest.raises(type(error)) as caught:
            call(plugin, kind, value)
        assert caught.value is error


def test_record_may_be_given_as_a_dict(echo: tuple[Echo, Plugin]) -> None:
    """It comes back as its class."""
    echoed, plugin = echo
    types = plugin.imports["test:zoo/types"]
    page, link = getattr(types, echoed.name(PAGE)), getattr(types, echoed.name(LINK))
    kinds = getattr(types, echoed.name(LINK[1][1][1]))

    given = {"title": "t", "links": [{"url": "u", "kind": kinds.B}], "age": None}
    assert page("t", [link("u", kinds.B)], None) == call(plugin, PAGE, given)


def test_a_class_of_the_same_name_is_told_with_its_module() -> None:
    """Such as numpy's `bool`, which is none."""
    other = type("bool", (), {"__module__": "numpy"})()
    with plugin_of(Echo("bool")) as plugin, pytest.raises(TypeError, match=r"expected bool, not numpy\.bool$"):
        plugin.exports["flat-0"](other)
