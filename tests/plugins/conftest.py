"""How examples are thrown, and components that give back what they are given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# `plugins.typed` is what the test files share.
sys.path.insert(0, str(Path(__file__).parents[1]))
from plugins.typed import Echo, plugin_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plugins.typed import Type
    from ringfence import Plugin

settings.register_profile("ours", database=None, derandomize=True, deadline=None)
settings.load_profile("ours")

CASES: tuple[Type, ...] = (
    "bool",
    "s8",
    "u8",
    "s16",
    "u16",
    "s32",
    "u32",
    "s64",
    "u64",
    "f32",
    "f64",
    "char",
    "string",
    ("list", "u8"),
    ("list", "s64"),
    ("list", "f32"),
    ("list", "bool"),
    ("list", ("list", "string")),
    ("record", [("x", "s8"), ("class", "string"), ("y", "f64"), ("tags", ("list", "u16")), ("z", ("option", "u8"))]),
    ("tuple", ["s8", "f64", ("list", "u8"), "char"]),
    (
        "variant",
        [("none", None), ("single", "f32"), ("long", "s64"), ("text", "string"), ("pair", ("tuple", ["u8", "u64"]))],
    ),
    ("enum", ["red", "light-blue", "none"]),
    ("flags", ["read", "write", "run"]),
    ("flags", [f"flag-{number}" for number in range(12)]),
    ("flags", [f"flag-{number}" for number in range(32)]),
    ("option", "string"),
    ("option", ("option", ("option", "u8"))),
    ("list", ("result", ("list", "u8"), "string")),
    ("list", ("result", None, None)),
    ("map", "string", ("list", "u8")),
    ("map", "u64", ("map", "char", "bool")),
    ("fixed", "u8", 5),
    ("fixed", "s8", 3),
    ("fixed", "s16", 40),
    ("fixed", "f32", 2),
    ("fixed", "f64", 3),
    ("fixed", ("option", "string"), 2),
    ("list", ("fixed", ("fixed", "u32", 2), 2)),
    (
        "record",
        [
            ("inner", ("record", [("a", "u8"), ("b", ("enum", ["p", "q"]))])),
            ("many", ("list", ("variant", [("v", "u32")]))),
        ],
    ),
)


@pytest.fixture(scope="module", params=["wasm", "worker"])
def cases(request: pytest.FixtureRequest) -> Iterator[tuple[Echo, Plugin]]:
    """One component for all the types that are looked at one by one."""
    echo = Echo(*CASES)
    with plugin_of(echo, isolation=request.param) as plugin:
        yield echo, plugin
