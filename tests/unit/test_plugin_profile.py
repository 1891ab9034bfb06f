"""Where a plugin's time goes."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from plugins.conftest import CASES
from plugins.resources import COUNTERS
from plugins.typed import PADDING, Echo
from ringfence import Err, Ok, Plugin, PluginError, ResultError

RENDERER = Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat"


class Store:
    """Takes its time."""

    def get(self, name: str) -> str | None:
        """Give a template."""
        time.sleep(0.02)
        return f"<{name}>"


def test_functions_of_both_sides_are_measured() -> None:
    """Calls, time and bytes each way; a function of the host is in the time of its caller."""
    with Plugin(RENDERER, imports={"app:host/store": Store()}, profile=True) as plugin:
        for _ in range(3):
            plugin.render("# hi")
        plugin.exports.content.parse.result("x" * 10_001)
        rows = {row.function: row for row in plugin.profile()}

    render, get = rows["render"], rows["app:host/store.get"]
    assert ("export", 3, 3 * (8 + 4)) == (render.side, render.calls, render.sent_bytes)
    assert 3 * (8 + len("<h1>hi</h1><footer>")) == render.received_bytes
    assert ("import", 3) == (get.side, get.calls)
    assert (3 * (1 + 8 + len("<footer>")), 3 * (8 + len("footer"))) == (get.sent_bytes, get.received_bytes)
    assert 0.06 <= get.wall_seconds <= render.wall_seconds
    assert 1 == rows["app:markdown/content@1.0.0.parse"].calls


def test_error_is_measured_and_raised_as_ever() -> None:
    """With the class that it has without."""
    with Plugin(RENDERER, imports={"app:host/store": Store()}, profile=True) as plugin:
        parse = plugin.exports.content.parse
        with pytest.raises(parse.Error) as caught:
            parse(text="")

        assert isinstance(caught.value, ResultError)
        assert [1] == [row.calls for row in plugin.profile()]


def test_plugin_that_is_not_measured_has_the_functions_it_has() -> None:
    """Nothing stands between; what was not measured is not told."""
    with Plugin(RENDERER, imports={"app:host/store": Store()}) as plugin:
        assert "PluginFunction" == type(plugin.exports.render).__name__
        with pytest.raises(PluginError, match="profile=True"):
            plugin.profile()


def test_values_of_every_type_have_a_size() -> None:
    """Both ways the same, as they come back as they were."""
    echo = Echo(*CASES)
    same = {f"host-{at}": lambda value: value for at in range(len(CASES))}
    with Plugin(echo.wat, imports=same, profile=True) as plugin:
        plugin.exports["memory-13"](b"abc", *[0] * PADDING)
        plugin.exports["memory-20"](plugin.imports["test:zoo/types"][echo_name(echo, 20)].Long(5), *[0] * PADDING)
        rows = {row.function: row for row in plugin.profile()}

    assert (8 + 3 + PADDING, 8 + 3 + 1) == (rows["memory-13"].sent_bytes, rows["memory-13"].received_bytes)
    assert (1 + 8 + PADDING, 1 + 8 + 1) == (rows["memory-20"].sent_bytes, rows["memory-20"].received_bytes)


def echo_name(echo: Echo, at: int) -> str:
    """Give the component's name of a type."""
    return echo.name(CASES[at]).replace("Type", "type-")


def test_result_that_is_asked_for_is_as_large_as_one_that_is_not() -> None:
    """Whether the type is a result or not, and whether it is the good case, the bad one, or one inside of another."""
    kinds: list[Any] = [
        "string",
        ("result", "string", "u16"),
        ("result", ("result", "u8", None), None),
        ("option", "u32"),
    ]
    echo = Echo(*kinds)
    values: list[list[Any]] = [["text"], [Ok("text"), Err(7)], [Ok(Ok(1)), Ok(Err()), Err()], [None, 5]]
    sizes = [[8 + 4], [1 + 8 + 4, 1 + 2], [1 + 1 + 1, 1 + 1, 1], [1, 1 + 4]]
    same = {f"host-{at}": lambda value: value for at in range(len(kinds))}
    with Plugin(echo.wat, imports=same, profile=True) as plugin:
        for at, each in enumerate(values):
            function = plugin.exports[f"flat-{at}"]
            for value in each:
                asked = function.result(value)
                assert (value if at in {1, 2} else Ok(value)) == asked
                with contextlib.suppress(ResultError):
                    function(value)
        rows = {row.function: row for row in plugin.profile()}

    for at, each in enumerate(sizes):
        whole = 2 * sum(each)
        for name in (f"flat-{at}", f"host-{at}"):
            assert [whole, whole] == [rows[name].sent_bytes, rows[name].received_bytes], name


def test_sizes_are_those_of_the_canonical_abi() -> None:
    """Of rows of fixed length, maps, large enums and flags, variants of many cases."""
    many = [f"c{at}" for at in range(300)]
    kinds: list[tuple[Any, int, Any]] = [
        (("fixed", "u8", 1000), 1000, bytes(1000)),
        (("fixed", "string", 2), 2 * 8 + 3, ["a", "bc"]),
        (("map", "string", "u16"), 8 + (8 + 1 + 2) + (8 + 2 + 2), {"a": 1, "bc": 2}),
        (("enum", many), 2, 0),
        (("flags", many[:16]), 2, 0),
        (("flags", many[:17]), 4, 0),
        (("variant", [(name, None) for name in many]), 2, 0),
        (("list", "bool"), 8 + 3, [True, False, True]),
    ]
    echo = Echo(*(kind for kind, _, _ in kinds))
    same = {f"host-{at}": lambda value: value for at in range(len(kinds))}
    with Plugin(echo.wat, imports=same, profile=True) as plugin:
        for at, (kind, _, value) in enumerate(kinds):
            made = value
            if kind[0] in {"enum", "flags", "variant"}:
                cls = getattr(plugin.imports.types, echo.name(kind))
                made = cls.C0() if kind[0] == "variant" else cls.C0
            plugin.exports[f"flat-{at}"](made)
        rows = {row.function: row for row in plugin.profile()}

    assert [size for _, size, _ in kinds] == [rows[f"flat-{at}"].sent_bytes for at in range(len(kinds))]
    assert [size for _, size, _ in kinds] == [rows[f"flat-{at}"].received_bytes for at in range(len(kinds))]


NUMBERS = b"""(module
  (import "env" "same" (func $same (param i32) (result i32)))
  (func (export "id32") (param i32) (result i32) (call $same (local.get 0)))
  (func (export "both") (param i32 i64 f32 f64) (result i64) (local.get 1)))"""


def test_what_a_guest_never_saw_was_not_sent_to_it() -> None:
    """Arguments that are refused, and those for a plugin that is poisoned; those of a call that failed were sent."""

    def same(value: int) -> int:
        if value == 1:
            raise TypeError("not this one")
        return value

    with Plugin(NUMBERS, imports={"env": {"same": same}}, profile=True) as plugin:
        for wrong in (2**40, "text", None):
            with pytest.raises((TypeError, ValueError)):
                plugin.exports.id32(wrong)
        assert 7 == plugin.exports.id32(7)
        assert 5 == plugin.exports.both(1, 5, 1.0, 1.0)
        with pytest.raises(TypeError, match="not this one"):
            plugin.exports.id32(1)
        with pytest.raises(PluginError):
            plugin.exports.id32(7)
        rows = {row.function: row for row in plugin.profile()}

    told = {name: (row.calls, row.sent_bytes, row.received_bytes) for name, row in rows.items()}
    assert {"id32": (6, 2 * 4, 4), "both": (1, 4 + 8 + 4 + 8, 8), "env.same": (2, 4, 2 * 4)} == told


def test_methods_of_resources_are_measured() -> None:
    """And called as they are without that."""
    with Plugin(COUNTERS, profile=True) as plugin:
        api = plugin.exports.counters
        counter = api.Counter(1)
        assert [3, 5, 5] == [counter.add(2), counter.add(by=2), api.Counter.add(counter, 0)]
        assert "by: u32" in counter.add.signature
        rows = {row.function.rpartition(".counters")[2] or row.function: row.calls for row in plugin.profile()}

    assert 3 == next(calls for name, calls in rows.items() if name.endswith("[method]counter.add"))
    assert 1 == next(calls for name, calls in rows.items() if name.endswith("[constructor]counter"))
