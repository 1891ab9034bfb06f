"""`Plugin`, as its caller sees it."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from plugins.asking import ASKING
from ringfence import (
    CallbackAbandoned,
    Err,
    Limits,
    LoadError,
    Ok,
    Plugin,
    PluginError,
    Policy,
    ResultError,
    Trapped,
    WallReached,
)
from waiting import late

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RENDERER = Path(__file__).parents[2] / "examples" / "05-plugins" / "markdown.wat"
# add, spin and trap.
PLAIN = b"""(component
  (core module $m
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "spin") (loop (br 0)))
    (func (export "trap") unreachable))
  (core instance $i (instantiate $m))
  (func (export "add") (param "left-hand" s32) (param "b" s32) (result s32) (canon lift (core func $i "add")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "trap") (canon lift (core func $i "trap"))))"""


class Store:
    """What the renderer asks for."""

    def get(self, name: str) -> str | None:
        """Give a template."""
        return {"footer": "<hr>"}.get(name)


@pytest.fixture
def renderer() -> Iterator[Plugin]:
    """The one of the example."""
    with Plugin(RENDERER, imports={"app:host/store": Store()}) as plugin:
        yield plugin


def asking(ask: Callable[[int], object], **given: Any) -> Plugin:
    """Load a plugin that asks its host."""
    return Plugin(ASKING, imports={"ask": ask}, **given)


def test_functions_are_called_with_pythons_values(renderer: Plugin) -> None:
    """By every name they have."""
    assert "<h1>hi</h1><hr>" == renderer.exports.render("# hi") == renderer.render("# hi")
    assert "<p>x</p><hr>" == renderer.exports["render"](text="x")


def test_records_are_dataclasses_and_lists_are_lists(renderer: Plugin) -> None:
    """Of an interface, by its short name and by its full one."""
    page = renderer.exports.content.parse("to http://a and https://b")
    content = renderer.exports["app:markdown/content@1.0.0"]

    assert ["http://a", "https://b"] == [link.url for link in page.links]
    assert content.Page("t", [content.Link("u", "u")]) == content.Page("t", [content.Link(url="u", text="u")])
    assert renderer.exports.content is content


def test_name_that_is_not_there_is_told_with_those_that_are(renderer: Plugin) -> None:
    """In an interface, at the root, and of the plugin itself."""
    with pytest.raises(AttributeError, match="there is no 'prase' here; there are Link, Page, ParseError, parse"):
        renderer.exports.content.prase()
    with pytest.raises(AttributeError, match="there is no 'rendr' here; there are content, render"):
        renderer.exports.rendr("x")
    with pytest.raises(AttributeError, match="exports no 'rendr'; there are content, render"):
        renderer.rendr("x")
    with pytest.raises(AttributeError, match=r"exports no 'parse', but `content\.parse`; there are content, render"):
        renderer.parse("x")
    assert not hasattr(renderer.exports, "__setstate__")


def test_error_that_is_a_result_is_raised_as_a_class_of_its_own(renderer: Plugin) -> None:
    """With its value; the plugin goes on."""
    content = renderer.exports.content
    with pytest.raises(content.parse.Error) as caught:
        content.parse("")

    assert isinstance(caught.value, ResultError)
    assert content.ParseError.Empty() == caught.value.value
    assert "t" == content.parse("t").title


def test_result_is_returned_when_asked_for(renderer: Plugin) -> None:
    """As `Ok` or `Err`, to be matched."""
    content = renderer.exports.content

    assert Err(content.ParseError.TooLong(10_001)) == content.parse.result("x" * 10_001)
    assert Ok(content.Page("t", [])) == content.parse.result("t")
    assert Ok("<p></p><hr>") == renderer.render.result("")


@pytest.mark.parametrize(
    ("args", "kwargs", "kind", "why"),
    [
        ((2**31, 1), {}, ValueError, "left_hand: 2147483648 is not from -2147483648 to 2147483647"),
        (("1", 1), {}, TypeError, "left_hand: expected int, for s32, not str"),
        ((True, 1), {}, TypeError, "not bool"),
        ((1.0, 1), {}, TypeError, "not float"),
        ((1,), {}, TypeError, "takes 2 arguments, and was given 1"),
        ((1,), {"c": 2}, TypeError, "was not given `b`"),
        ((1, 2), {"b": 2}, TypeError, "was given `b` twice"),
        ((1, 2), {"c": 2}, TypeError, "was given arguments that it does not have"),
    ],
)
def test_argument_that_does_not_fit_is_refused_before_the_guest_sees_it(
    args: tuple[object, ...], kwargs: dict[str, object], kind: type[Exception], why: str
) -> None:
    """The error names the parameter, and the plugin goes on."""
    with Plugin(PLAIN) as plugin:
        with pytest.raises(kind, match=why):
            plugin.add(*args, **kwargs)

        assert 3 == plugin.add(1, b=2) == plugin.add(left_hand=1, b=2)
        assert 2 == plugin.usage.calls


def test_exception_of_a_host_function_comes_out_as_itself() -> None:
    """Through the guest; the instance is gone with it."""
    error = KeyError("mine")

    def ask(_number: int) -> int:
        raise error

    with asking(ask) as plugin:
        with pytest.raises(KeyError) as caught:
            plugin.ask(1)

        assert caught.value is error
        assert plugin.poisoned is not None
        with pytest.raises(PluginError, match="KeyError"):
            plugin.ask(1)


def test_answer_of_another_type_is_an_error_that_names_the_function() -> None:
    """It does not reach the guest."""
    with asking(lambda _: "text") as plugin, pytest.raises(TypeError, match="what `ask` returned: expected int"):
        plugin.ask(1)


def test_trap_poisons_and_restart_begins_anew() -> None:
    """The error says what trapped."""
    with Plugin(PLAIN) as plugin:
        with pytest.raises(Trapped) as caught:
            plugin.trap()
        assert "unreachable" == caught.value.result.trap
        with pytest.raises(PluginError, match="trapped: unreachable"):
            plugin.add(1, 2)
        plugin.restart()

        assert 3 == plugin.add(1, 2)


@pytest.mark.parametrize("inline", [False, True])
def test_call_ends_at_its_deadline(inline: bool) -> None:
    """Each call has the policy's time to itself."""
    policy = Policy(limits=Limits(wall="200ms"))
    with Plugin(PLAIN, policy=policy, inline=inline) as plugin:
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(WallReached):
                plugin.spin()
            assert time.monotonic() - began < 0.2 + late()
            plugin.restart()


def test_caller_returns_at_the_deadline_though_a_host_function_blocks() -> None:
    """It is left to itself on its thread, with a warning."""
    released = threading.Event()

    def ask(number: int) -> int:
        released.wait(60)
        return number

    with asking(ask, policy=Policy(limits=Limits(wall="200ms"))) as plugin:
        began = time.monotonic()
        with pytest.warns(CallbackAbandoned, match="ask"), pytest.raises(WallReached):
            plugin.ask(1)
        took = time.monotonic() - began
        released.set()

        assert took < 0.2 + late()
        assert "did not come back in time" in str(plugin.poisoned)


def test_inline_host_function_is_called_on_the_callers_thread() -> None:
    """Otherwise it is on another."""
    threads: list[int] = []

    def ask(number: int) -> int:
        threads.append(threading.get_ident())
        return number

    for inline in (True, False):
        with asking(ask, inline=inline) as plugin:
            assert 5 == plugin.ask(5)

    assert [True, False] == [thread == threading.get_ident() for thread in threads]


def test_call_into_a_busy_plugin_is_an_error_and_no_deadlock() -> None:
    """From a function that it is inside of, and what that raises comes out."""
    plugin: Plugin

    def ask(number: int) -> int:
        answer: int = plugin.ask(number)
        return answer

    with asking(ask) as plugin, pytest.raises(PluginError, match="a call is under way"):
        plugin.ask(1)


def test_plugins_call_each_other() -> None:
    """One from a function of the other."""
    with asking(lambda number: number + 1) as inner, asking(inner.ask) as outer:
        assert 6 == outer.ask(5)
        assert 1 == outer.usage.host_calls


def test_thread_with_a_small_stack_may_call() -> None:
    """The guest is then called on another."""
    answers: list[int] = []
    with Plugin(PLAIN) as plugin:
        before = threading.stack_size(256 << 10)
        try:
            thread = threading.Thread(target=lambda: answers.append(plugin.add(1, 2)))
            thread.start()
        finally:
            threading.stack_size(before)
        thread.join()

    assert [3] == answers


def test_fuel_is_counted_for_each_call() -> None:
    """Where the policy limits it, and from the start each time."""
    with Plugin(PLAIN, policy=Policy(limits=Limits(fuel=1000))) as plugin:
        plugin.add(1, 2)
        first = plugin.usage.last_fuel
        for _ in range(500):
            plugin.add(1, 2)

        assert first == plugin.usage.last_fuel
        assert plugin.usage.fuel == 501 * (first or 0) > 1000


def test_ctrl_c_ends_a_call() -> None:
    """It is Python's to handle, and what it raises comes out; the plugin is poisoned."""
    with Plugin(PLAIN) as plugin:
        timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            plugin.spin()
        timer.join()

        assert "cancelled" in str(plugin.poisoned)


def test_closed_plugin_is_gone() -> None:
    """`with` closes it."""
    with Plugin(PLAIN) as plugin:
        add = plugin.add
    with pytest.raises(PluginError, match="it was closed"):
        add(1, 2)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (b'(component (import "f" (func (param "s" (future u8)))))', "requires the component model async feature"),
        (
            b'(component (import "a:b/c" (instance (export "f" (func (param "s" (list u8)) (result u8))))))',
            r"`a:b/c: f: func\(s: list<u8>\) -> u8` is missing",
        ),
        (b'(component (import "wasi:nn/graph@0.2.0" (instance (export "f" (func)))))', "wasi:nn/graph"),
    ],
)
def test_program_that_is_no_plugin_is_refused_with_its_reason(program: bytes, why: str) -> None:
    """Before anything of it runs."""
    with pytest.raises(LoadError, match=why):
        Plugin(program)


def test_name_that_is_not_exported_is_an_attribute_error(renderer: Plugin) -> None:
    """As of any object."""
    with pytest.raises(AttributeError, match="exports no 'rendr'"):
        _ = renderer.rendr
    assert ["content", "render"] == dir(renderer.exports)
