"""Values of plugins, read and written by pydantic."""

from __future__ import annotations

import dataclasses
import json
import math
from array import array
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import TypeAdapter, ValidationError

from ringfence import Err, Ok, Some
from ringfence._plugin_classes import Classes

TYPES: list[tuple[Any, ...]] = [
    ("u8",),
    ("s32",),
    ("string",),
    ("list", 1),
    ("option", 0),
    ("option", 4),
    ("variant", [("none", None), ("circle", 1), ("square", 1)]),
    ("flags", ["read", "write-all"]),
    ("enum", ["is-red", "blue"]),
    ("result", 6, 2),
    ("record", [("shape", 6), ("rights", 7), ("paint", 8), ("rows", 3), ("maybe", 5), ("tried", 9), ("a-b", 0)]),
]
CLASSES = Classes(TYPES, [("app:x/y", [], [("thing", 10), ("shape", 6), ("rights", 7), ("paint", 8)])])
THING, SHAPE, RIGHTS, PAINT = (CLASSES.hint(number) for number in (10, 6, 7, 8))
PLAIN = {
    "shape": {"square": 2},
    "rights": ["write-all"],
    "paint": "is-red",
    "rows": [1, -2],
    "maybe": {"some": None},
    "tried": {"err": "no"},
    "a_b": 7,
}


def thing() -> Any:
    """Make a value of every kind."""
    return THING(SHAPE.Square(2), RIGHTS.WRITE_ALL, PAINT.IS_RED, array("i", [1, -2]), Some(None), Err("no"), 7)


def test_value_is_written_by_its_cases_and_read_again() -> None:
    """As `ringfence call --json` writes it, but for the names of fields, which are Python's."""
    adapter = TypeAdapter(THING)

    assert PLAIN == adapter.dump_python(thing(), mode="json")
    assert thing() == adapter.validate_python(PLAIN) == adapter.validate_json(adapter.dump_json(thing()))
    assert thing() == adapter.validate_python(thing())


@pytest.mark.parametrize(
    ("number", "values", "plain"),
    [
        (6, ["None_", "Circle"], ["none", {"circle": 1}]),
        (5, [None, Some(None), Some(3)], [None, {"some": None}, {"some": 3}]),
        (9, [Ok("Circle"), Err("x")], [{"ok": {"circle": 1}}, {"err": "x"}]),
    ],
)
def test_cases_of_one_shape_are_told_apart(number: int, values: list[Any], plain: list[object]) -> None:
    """That is what they are written by their names for."""

    def made(value: Any) -> Any:
        if isinstance(value, Ok):
            return Ok(made(value.value))
        return SHAPE.None_() if value == "None_" else SHAPE.Circle(1) if value == "Circle" else value

    adapter = TypeAdapter(CLASSES.hint(number))
    for value, written in zip(map(made, values), plain, strict=True):
        assert written == adapter.dump_python(value)
        assert value == adapter.validate_python(written)


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (6, {"circle": "x"}),
        (6, {"triangle": 1}),
        (6, {"circle": 1, "square": 2}),
        (6, "circle"),
        (6, None),
        (7, ["execute"]),
        (7, 3),
        (3, [2**31]),
        (3, ["x"]),
        (5, {"some": "x"}),
        (9, {"ok": {"circle": None}}),
        (10, {**PLAIN, "paint": "green"}),
        (10, {**PLAIN, "a_b": 256}),
        (10, {**PLAIN, "a_b": -1}),
        (10, {**PLAIN, "shape": {"circle": 2**31}}),
        (10, {**PLAIN, "maybe": {"some": 256}}),
        (10, {**PLAIN, "tried": {"ok": {"square": 2**31}}}),
        (10, {}),
    ],
)
def test_what_is_no_value_is_an_error_of_pydantics(number: int, wrong: object) -> None:
    """Which names the place."""
    with pytest.raises(ValidationError):
        TypeAdapter(CLASSES.hint(number)).validate_python(wrong)


def test_case_alone_has_a_schema() -> None:
    """It is what the variant has of it."""
    assert {"circle": 1} == TypeAdapter(SHAPE.Circle).dump_python(SHAPE.Circle(1))
    assert SHAPE.None_() == TypeAdapter(SHAPE.None_).validate_python("none")
    with pytest.raises(ValidationError):
        TypeAdapter(SHAPE.Circle).validate_python({"square": 1})


def test_schema_of_json_says_the_cases() -> None:
    """For whoever reads the page that FastAPI makes of it."""
    schema = TypeAdapter(SHAPE).json_schema()

    assert {"const": "none", "type": "string"} == schema["oneOf"][0]
    assert ["circle"] == schema["oneOf"][1]["required"]


def test_every_part_of_a_record_is_checked_by_its_type() -> None:
    """What a plugin would refuse is refused before, with the place; what it takes is taken."""
    parts = [("char",), ("u8",), ("string",), ("list", 2), ("fixed", 2, 2), ("map", 2, 1), ("tuple", [0, 1])]
    of = Classes([*parts, ("record", [(f"f{at}", at) for at in range(7)]), ("list", 7)], [("a:b/c", [], [("all", 7)])])
    good = {"f0": "x", "f1": 255, "f2": "", "f3": ["a"], "f4": ["a", "b"], "f5": {"k": 1}, "f6": ("y", 0)}
    adapter = TypeAdapter(of.hint(8))
    wrong = {"f0": "xy", "f1": 256, "f2": 1, "f3": [1], "f4": ["a"], "f5": {"k": -1}, "f6": ("y", 256)}

    assert [of.hint(7)(*good.values())] == adapter.validate_python([good])
    for name, value in wrong.items():
        with pytest.raises(ValidationError) as caught:
            adapter.validate_python([{**good, name: value}])
        assert (0, name) == caught.value.errors()[0]["loc"][:2]


ROWS = Classes(
    [
        ("u8",),
        ("s32",),
        ("f32",),
        ("f64",),
        ("list", 0),
        ("fixed", 0, 3),
        ("fixed", 1, 2),
        ("list", 2),
        ("result", 4, None),
        ("record", [("b", 4), ("f", 5), ("g", 6), ("x", 2), ("y", 3), ("z", 7), ("r", 8)]),
    ],
    [("app:x/z", [], [("rows", 9)])],
)
GOOD = {"b": [255], "f": [97, 98, 99], "g": [1, 2], "x": "nan", "y": "-inf", "z": ["inf", 1.5], "r": {"ok": [254]}}


def rows(**other: Any) -> Any:
    """Make a value of every kind of row, with bytes that are no text, and numbers that JSON has not."""
    numbers = {"x": math.nan, "y": -math.inf, "z": array("f", [math.inf, 1.5]), "r": Ok(b"\xfe")}
    given = {"b": b"\xff", "f": b"abc", "g": array("i", [1, 2]), **numbers, **other}
    return ROWS.hint(9)(**given)


def test_bytes_and_numbers_that_are_none_are_written_as_the_command_writes_them() -> None:
    """Bytes as numbers, what is not finite as text; both are read again."""
    adapter = TypeAdapter(ROWS.hint(9))
    written = adapter.dump_json(rows())

    assert GOOD == json.loads(written) == adapter.dump_python(rows(), mode="json")
    read = adapter.validate_json(written)
    assert math.isnan(read.x)
    assert dataclasses.replace(rows(), x=0.0) == dataclasses.replace(read, x=0.0)
    assert b"ab\0" == adapter.validate_python({**GOOD, "f": bytearray(b"ab\0")}).f == rows(f=b"ab\0").f
    assert {"ok": [255]} == TypeAdapter(Ok[bytes]).dump_python(Ok(b"\xff"), mode="json")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("b", [256]),
        ("b", "text"),
        ("f", b"ab"),
        ("f", [1, 2, 3, 4]),
        ("g", [1]),
        ("g", array("i", [1, 2, 3])),
        ("x", 1e300),
        ("z", [1e300]),
        ("r", {"ok": [-1]}),
    ],
)
def test_lengths_and_ranges_of_rows_are_checked(name: str, wrong: object) -> None:
    """As the call of a plugin would."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(ROWS.hint(9)).validate_python({**GOOD, name: wrong})

    assert name == caught.value.errors()[0]["loc"][0]


def rows_of_now() -> Any:
    """Take nothing, as an endpoint."""
    return rows()


def test_bytes_are_a_response_of_fastapi() -> None:
    """Whatever they are."""
    app = FastAPI()
    app.add_api_route("/", rows_of_now, response_model=ROWS.hint(9))
    answer = TestClient(app).get("/")

    assert (200, GOOD) == (answer.status_code, answer.json())
    assert 200 == TestClient(app).get("/openapi.json").status_code


def test_class_of_yours_that_is_made_of_a_record_is_pydantics_own_matter() -> None:
    """It may have more fields."""

    @dataclasses.dataclass(frozen=True)
    class Mine(THING):  # type: ignore[valid-type, misc]
        more: int = 0

    assert "more" in TypeAdapter(Mine).json_schema()["properties"]


def test_types_are_taken_by_fastapi() -> None:
    """As what an endpoint takes, and as its response."""
    app = FastAPI()

    def endpoint(body: Any) -> Any:
        return body

    endpoint.__annotations__ = {"body": THING}
    app.post("/same", response_model=THING)(endpoint)
    client = TestClient(app)

    assert PLAIN == client.post("/same", json=PLAIN).json()
    assert 422 == client.post("/same", json={**PLAIN, "rows": [2**31]}).status_code
    assert 422 == client.post("/same", json={**PLAIN, "a_b": -1}).status_code
    assert "Thing" in client.get("/openapi.json").json()["components"]["schemas"]
