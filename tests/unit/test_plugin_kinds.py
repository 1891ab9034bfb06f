"""Types of plugins, their values copied and pickled."""

from __future__ import annotations

import copy
import dataclasses
import gc
import io
import pickle
import pickletools
from array import array
from typing import Any, get_type_hints

import pytest

from ringfence import Err, Ok, Some
from ringfence._plugin_classes import Classes
from ringfence._plugin_kinds import found

TYPES: list[tuple[Any, ...]] = [
    ("u8",),
    ("string",),
    ("list", 0),
    ("list", 1),
    ("option", 0),
    ("option", 4),
    ("variant", [("none", None), ("circle", 0)]),
    ("flags", ["r", "w"]),
    ("enum", ["is-red", "blue"]),
    ("result", None, 6),
    ("map", 1, 0),
    ("tuple", [0, 1]),
    ("fixed", 1, 3),
    ("record", [(f"f{number}", number) for number in range(13)]),
    ("s16",),
    ("list", 14),
    ("record", [("class", 13), ("rows", 15)]),
]
NAMED = [("whole", 16), ("part", 13), ("shape", 6), ("rights", 7), ("paint", 8)]


def classes(interface: str = "app:x/y") -> Classes:
    """Make those of a few types."""
    return Classes(TYPES, [(interface, [], NAMED)])


def space(of: Classes) -> dict[str, Any]:
    """Give the names of their interface."""
    return {name.capitalize(): of.of(number) for name, number in NAMED}


def whole(of: Classes) -> Any:
    """Make a value with one of every kind in it."""
    names = space(of)
    red, some, circle = names["Paint"].IS_RED, names["Rights"].R | names["Rights"].W, names["Shape"].Circle(1)
    values = [1, "x", b"\x00", ["y"], None, Some(None), circle, some, red, Err(circle), {"k": 1}, (1, "z"), ["a"] * 3]
    return names["Whole"](names["Part"](*values), array("h", [-1]))


def test_annotations_are_the_types_of_values() -> None:
    """As Python has them: a nested option keeps its meaning."""
    of = classes()
    names = space(of)
    shape: Any = names["Shape"]
    ok: Any = Ok
    expected: list[Any] = [int, str, bytes, list[str], int | None, Some[int | None] | None, shape, names["Rights"]]
    expected += [names["Paint"], ok[None] | Err[shape], dict[str, int], tuple[int, str], list[str]]

    assert expected == list(get_type_hints(names["Part"]).values())
    assert {"class_": names["Part"], "rows": of.hint(15)} == get_type_hints(names["Whole"], include_extras=True)
    assert array is get_type_hints(names["Whole"])["rows"] or array[int] == get_type_hints(names["Whole"])["rows"]
    assert [{"value": int}, {}] == [get_type_hints(shape.Circle), get_type_hints(shape.None_)]
    assert [names["Part"], of.hint(15)] == [field.type for field in dataclasses.fields(names["Whole"])]


def test_value_is_copied_and_pickled() -> None:
    """Its class is the same; a copy that is deep shares no list."""
    value = whole(classes())
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert value == pickle.loads(pickle.dumps(value, protocol))
    deep = copy.deepcopy(value)

    assert value == copy.copy(value) == deep
    assert [True, False] == [copied.class_.f3 is value.class_.f3 for copied in (copy.copy(value), deep)]
    assert "q" == dataclasses.replace(value.class_, f1="q").f1
    assert hash(value.class_.f6) == hash(copy.copy(value.class_.f6))


def test_pickled_value_finds_its_class_or_makes_one_that_is_found() -> None:
    """Whether or not somebody still has the type; what is loaded then has that class."""
    of = classes("app:gone/soon")
    pickled, shown = pickle.dumps(whole(of)), repr(whole(of))
    del of
    gc.collect()
    value = pickle.loads(pickled)

    assert shown == repr(value)
    assert type(value) is space(classes("app:gone/soon"))["Whole"]
    assert value == whole(classes("app:gone/soon")) != whole(classes("app:x/y"))


def test_many_values_are_pickled_with_their_type_once() -> None:
    """However large that is."""
    names = space(classes())
    few, many = (len(pickle.dumps([names["Shape"].Circle(at % 256) for at in range(count)])) for count in (1, 1001))

    assert many - few < 20_000


def test_text_of_a_value_makes_it_again() -> None:
    """In the names of its interface, and ours for results and options."""
    value = whole(classes())
    names = {**space(classes()), "Ok": Ok, "Err": Err, "Some": Some, "array": array}

    assert value == eval(repr(value), names)  # noqa: S307 - our own text
    assert ["Rights(0)", "Rights.R|Rights.W", "Paint.BLUE", "Shape.None_()"] == [
        repr(it) for it in (names["Rights"](0), names["Rights"](3), names["Paint"].BLUE, names["Shape"].None_())
    ]


def test_class_of_yours_that_is_made_of_one_is_pickled_as_it_is() -> None:
    """By its own name."""
    with pytest.raises((pickle.PicklingError, AttributeError), match="Mine"):
        pickle.dumps(type("Mine", (space(classes())["Shape"].Circle,), {})(1))


def test_members_of_flags_are_equal_by_what_is_set_and_few_are_kept() -> None:
    """Python keeps every set that there ever was: a plugin could give four milliards."""
    many = Classes([("flags", [f"f{at}" for at in range(32)])], [("a:b/c", [], [("many", 0)])]).of(0)
    assert callable(many)
    made = [many(at) for at in range(10_000)]

    assert made[9_999] == many(9_999) != many(9_998)
    assert len({made[9_999], many(9_999)}) == 1
    assert len(many._value2member_map_) < 2_000  # type: ignore[attr-defined]
    assert many.F0 in made[9_999]  # type: ignore[attr-defined]
    assert made[3] == many.F0 | many.F1  # type: ignore[attr-defined]


def test_type_with_resources_is_pickled_by_nobody_and_copied() -> None:
    """The resource is in the plugin, and so is what leads to it."""

    class Counter:
        pass

    types: list[tuple[Any, ...]] = [("own", 0), ("option", 0), ("record", [("c", 1)])]
    of = [Classes(types, [("a:b/c", [], [("counter", 0), ("holder", 2)])], [Counter]) for _ in range(2)]
    empty: Any = of[0].of(2)

    assert of[0].of(2) is not of[1].of(2)
    assert {"c": Counter | None} == get_type_hints(empty)
    assert empty(None) == copy.copy(empty(None)) == copy.deepcopy(empty(None))
    with pytest.raises(TypeError, match=r"Holder cannot be pickled: there are resources in its type(.|\n)*hint: "):
        pickle.dumps(empty(None))


def test_pickle_of_a_value_names_two_functions_and_nothing_of_the_guests() -> None:
    """Data alone: no name of the guest's is looked up, imported or run."""
    named = pickled_names(pickle.dumps(whole(classes())))

    ours = {"ringfence._plugin_kinds found", "ringfence._plugin_kinds remade", "ringfence._value _revive"}
    assert ours | {f"ringfence._plugin_values {name}" for name in ("Some", "Err")} == {
        name for name in named if name.startswith("ringfence")
    }
    assert {"array _array_reconstructor", "array array"} == {name for name in named if not name.startswith("ringfence")}


def pickled_names(pickled: bytes) -> set[str]:
    """List what a pickle looks up."""
    looked_up = set()

    class Looking(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            looked_up.add(f"{module} {name}")
            return super().find_class(module, name)

    Looking(io.BytesIO(pickled)).load()
    assert not [op for op, _, _ in pickletools.genops(pickled) if op.name in {"EXT1", "EXT2", "EXT4", "INST", "OBJ"}]
    return looked_up


@pytest.mark.parametrize(
    "rows",
    [
        (),
        ((),),
        (("", "", ("list", 0)),),
        (("", "", ("u8",)), ("", "", ("list", 1))),
        (("", "", ("u8",)), ("", "", ("list", -1))),
        (("", "", ("u8",)), ("", "", ("list", "0"))),
        (("", "", ("own", 0)),),
        (("", "", ("nothing",)),),
        (("", "", (["u8"],)),),
        (("", "class", ("enum", ("a",))),),
        (("", "__class__", ("enum", ("a",))),),
        (("", "A(object): import os #", ("enum", ("a",))),),
        (("", "A", ("enum", (1,))),),
        (("", "A", ("enum", "abc")),),
        (("", "", ("u8",)), ("", "A", ("record", (("a", 0, 0),)))),
        (("", "", ("u8",)), ("", "A", ("record", (("\N{LATIN SMALL LIGATURE FI}", 0),)))),
        ((1, "A", ("enum", ("a",))),),
        (("", "A", ["enum", ("a",)]),),
    ],
)
def test_what_describes_no_type_is_an_error(rows: Any) -> None:
    """Whoever pickled it, however."""
    with pytest.raises(ValueError, match="describes no type of a plugin"):
        found(rows)


def test_variant_itself_is_none_of_its_cases_and_is_not_made() -> None:
    """The error says which there are."""
    types: list[tuple[Any, ...]] = [("u8",), ("variant", [("none", None), ("some", 0)])]
    cls = Classes(types, [("a:b/c", [], [("shape", 1)])]).of(1)
    for given in ((), (1,)):
        with pytest.raises(TypeError, match=r"Shape is one of its cases.*\nhint: `Shape.None_\(\)`, `Shape.Some\(…\)`"):
            cls(*given)  # type: ignore[operator]
    assert 3 == cls.Some(3).value  # type: ignore[attr-defined]
