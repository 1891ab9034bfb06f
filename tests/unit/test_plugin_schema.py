"""Values of plugins, read and written by pydantic."""

from __future__ import annotations

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
    assert "Thing" in client.get("/openapi.json").json()["components"]["schemas"]
