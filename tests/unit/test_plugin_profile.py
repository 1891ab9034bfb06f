"""Where a plugin's time goes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from plugins.conftest import CASES
from plugins.resources import COUNTERS
from plugins.typed import PADDING, Echo
from ringfence import Plugin, PluginError, ResultError

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
