"""Functions of ours that a guest imports."""

from __future__ import annotations

import asyncio
import gc
import math
import struct
import threading
import traceback
import types
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import CallbackAbandoned, Limits, LoadError, Sandbox, arun, run

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTHS = {"i32": 4, "i64": 8, "f32": 4, "f64": 8}


def echoing(kind: str, constant: str) -> bytes:
    """Write a guest that hands a constant to `env.f` and prints the bytes of what comes back."""
    return f"""(module
      (import "env" "f" (func $f (param {kind}) (result {kind})))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "\\10\\00\\00\\00\\{WIDTHS[kind]:02x}\\00\\00\\00")
      (func (export "_start")
        ({kind}.store (i32.const 16) (call $f ({kind}.const {constant})))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))""".encode()


def calling(signature: str, *, body: str = "(call $f)", name: str = "f") -> bytes:
    """Write a guest whose `_start` does something with the import `env.f`."""
    return f"""(module (import "env" "{name}" (func $f {signature})) (func (export "_start") {body}))""".encode()


def answered(kind: str, answer: object) -> bytes:
    """What the guest has in its hands after `env.f` returned `answer`."""
    return run(echoing(kind, "0"), imports={"env": {"f": lambda _: answer}}).check().stdout


@pytest.mark.parametrize(
    ("kind", "constant", "expected"),
    [
        ("i32", "-1", -1),
        ("i32", "0x80000000", -(2**31)),
        ("i64", "0x8000000000000000", -(2**63)),
        ("i64", "0x7fffffffffffffff", 2**63 - 1),
        ("f32", "0.5", 0.5),
        ("f64", "-0x1p-1074", -5e-324),
        ("f64", "inf", math.inf),
    ],
)
def test_number_arrives_as_what_it_is(kind: str, constant: str, expected: float) -> None:
    """Integers are signed ints, floats are floats."""
    seen: list[Any] = []

    def see(number: float) -> float:
        seen.append(number)
        return number

    run(echoing(kind, constant), imports={"env": {"f": see}}).check()

    assert [(expected, type(expected))] == [(number, type(number)) for number in seen]


@pytest.mark.parametrize(
    ("kind", "answer", "format"),
    [
        ("i32", -(2**31), "<i"),
        ("i32", 2**31 - 1, "<i"),
        ("i32", True, "<i"),
        ("i64", -(2**63), "<q"),
        ("f32", 0.1, "<f"),
        ("f32", 3, "<f"),
        ("f64", 1e308, "<d"),
        ("f64", -math.inf, "<d"),
    ],
)
def test_answer_arrives_as_what_it_is(kind: str, answer: float, format: str) -> None:  # noqa: A002
    """What a function returns is the guest's number; an int is good where a float is wanted, a bool is 0 or 1."""
    assert struct.pack(format, answer) == answered(kind, answer)


def test_bits_of_a_nan_survive() -> None:
    """A NaN of 64 bits comes back with its payload."""
    assert (
        bytes.fromhex("efbeadde0000f87f")
        == run(echoing("f64", "nan:0x80000deadbeef"), imports={"env": {"f": lambda number: number}}).stdout
    )
    assert math.isnan(struct.unpack("<f", answered("f32", math.nan))[0])


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("i32", 2**31),
        ("i32", 2**32 - 1),
        ("i32", -(2**31) - 1),
        ("i32", 10**400),
        ("i64", 2**63),
        ("i64", -(2**200)),
        ("f32", 1e39),
        ("f32", 10**400),
        ("f64", 10**400),
    ],
)
def test_number_that_does_not_fit_is_never_wrapped(kind: str, answer: float) -> None:
    """It is an OverflowError that names the function and the place."""
    with pytest.raises(OverflowError, match=rf"`env\.f` returned a number that is too large.*result 1.*{kind}"):
        answered(kind, answer)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [("i32", 1.0), ("i32", None), ("i64", "1"), ("f32", True), ("f64", "nan"), ("f64", None), ("i32", (1,))],
)
def test_answer_of_another_type_is_refused(kind: str, answer: object) -> None:
    """It is a TypeError that names the function, the place and both types."""
    with pytest.raises(TypeError, match=rf"`env\.f` returned {type(answer).__name__}, and result 1 .* is {kind}"):
        answered(kind, answer)


@pytest.mark.parametrize(
    ("signature", "body", "answer", "said"),
    [
        ("", "(call $f)", 1, "return None"),
        ("(result i32 i32)", "(drop (drop (call $f)))", (1, 2, 3), "a tuple of 2"),
        ("(result i32 i32)", "(drop (drop (call $f)))", 1, "a tuple of 2"),
        ("(result i32 f32)", "(drop (drop (call $f)))", (1, "x"), "result 2 of its import is f32"),
    ],
)
def test_count_of_answers_is_checked(signature: str, body: str, answer: object, said: str) -> None:
    """None for no result, the number for one, a tuple for several."""
    with pytest.raises(TypeError, match=said):
        run(calling(signature, body=body), imports={"env": {"f": lambda: answer}})


def test_several_numbers_come_as_a_tuple_or_list() -> None:
    """They stay in order."""
    body = "(call $f) (i32.ne (i32.const 2)) (if (then unreachable)) (i32.ne (i32.const 1)) (if (then unreachable))"
    for answer in ((1, 2), [1, 2]):
        assert run(calling("(result i32 i32)", body=body), imports={"env": {"f": lambda answer=answer: answer}}).ok


def test_exception_is_itself_where_the_run_was_called() -> None:
    """The same object, and its traceback leads to the line that raised it."""
    error = LookupError("mine")

    def fail() -> None:
        raise error

    with pytest.raises(LookupError) as raised:
        run(calling(""), imports={"env": {"f": fail}})

    assert raised.value is error
    assert "fail" == traceback.extract_tb(raised.value.__traceback__)[-1].name


def test_functions_may_be_an_object_or_a_module() -> None:
    """Of an object, the program gets what it imports and nothing else."""
    seen: list[str] = []
    space = types.SimpleNamespace(f=lambda: seen.append("f"), other=1)

    assert run(calling(""), imports={"env": space}).ok
    assert run(
        calling("(param f64) (result f64)", body="(drop (call $f (f64.const 4)))", name="sqrt"), imports={"env": math}
    ).ok
    assert ["f"] == seen
    with pytest.raises(LoadError, match="imports none of them"):
        Sandbox(calling(""), imports={"env": math})


def test_sandbox_with_functions_runs_from_many_threads() -> None:
    """Runs that overlap have a thread each, and the functions are called on it."""
    together = threading.Barrier(8, timeout=20)
    sandbox = Sandbox(calling(""), imports={"env": {"f": lambda: together.wait() * 0 or None}})
    threads = [threading.Thread(target=lambda: ended.append(sandbox.run().outcome)) for _ in range(8)]
    ended: list[str] = []
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["exited"] * 8 == ended


def test_awaited_run_may_call_functions() -> None:
    """The event loop goes on while a function blocks."""
    release = threading.Event()

    async def both() -> str:
        task = asyncio.create_task(arun(calling(""), imports={"env": {"f": lambda: release.wait(20) and None}}))
        await asyncio.sleep(0.1)
        release.set()
        return (await task).outcome

    assert "exited" == asyncio.run(both())


def test_what_no_program_can_call_is_refused() -> None:
    """Things that are no functions, and functions that would have to be awaited."""

    async def later() -> None:
        pass

    for function, said in ((1, "give a function"), (later, "async def")):
        with pytest.raises(TypeError, match=rf"`env\.f` cannot be .*(?s:.)*{said}"):
            Sandbox(calling(""), imports={"env": {"f": function}})
    with pytest.raises(TypeError, match="returned coroutine"):
        run(calling(""), imports={"env": {"f": lambda: later()}})  # noqa: PLW0108


def test_every_function_that_does_not_fit_is_named() -> None:
    """One error for all: wrong counts of arguments, types that are no numbers, imports that are no functions."""
    program = b"""(module (import "env" "two" (func (param i32 i32))) (import "env" "ref" (func (param externref)))
      (import "env" "mem" (memory 1)) (func (export "_start")))"""
    functions: dict[str, Callable[..., object]] = {"two": lambda _: None, "ref": print, "mem": print}

    with pytest.raises(LoadError) as error:
        Sandbox(program, imports={"env": functions})

    for said in ("`env.two` is called with 2 arguments", "`env.ref` takes or gives", "`env.mem` is imported, but not"):
        assert said in error.value.why


def test_unused_function_names_the_nearest_import() -> None:
    """A name that nobody imports is a mistake."""
    with pytest.raises(
        LoadError, match=r"`env\.lunch_rocket`: the program does not import it(?s:.)*`env\.launch_rocket`"
    ):
        Sandbox(calling("", name="launch_rocket"), imports={"env": {"lunch_rocket": print}})


def test_missing_function_is_named() -> None:
    """A program that imports more than it is given does not run."""
    with pytest.raises(LoadError, match=r"unknown import `env\.f`(?s:.)*imports="):
        Sandbox(calling(""), imports={})


@pytest.mark.parametrize("module", ["wasi_snapshot_preview1", "wasi_unstable", "wasi:cli/exit@0.2.0"])
def test_functions_of_wasi_are_not_replaced(module: str) -> None:
    """What WASI grants is the policy's business."""
    with pytest.raises(LoadError, match="it is WASI's"):
        Sandbox(calling(""), imports={"env": {"f": print}, module: {"fd_write": print}})


def test_warning_points_at_the_line_that_ran_the_guest() -> None:
    """Not into Ringfence."""
    release = threading.Event()
    sandbox = Sandbox(calling(""), imports={"env": {"f": lambda: release.wait(20) and None}})
    with pytest.warns(CallbackAbandoned, match=r"`env\.f` was abandoned") as warned:
        result = sandbox.run(limits=Limits(wall="200ms"))
    release.set()

    assert ("limited", "wall", __file__) == (result.outcome, result.limit, warned[0].filename)


def test_application_that_its_sandbox_calls_is_collected() -> None:
    """Run or not, captured or started; while a run of it is under way, its functions are there."""

    class App:
        def __init__(self) -> None:
            self.calls = 0
            self.sandbox = Sandbox(calling(""), imports={"env": {"f": self.f}})

        def f(self) -> None:
            gc.collect()
            self.calls += 1

    def used() -> App:
        app = App()
        assert app.sandbox.run().ok
        return app

    def started() -> App:
        app = App()
        assert app.sandbox.start().wait().ok
        return app

    for make in (App, used, started):
        left = [weakref.ref(make()) for _ in range(5)]
        gc.collect()
        assert [None] * 5 == [one() for one in left], make

    app = App()
    process = app.sandbox.start()
    del app.sandbox
    assert (True, 1) == (process.wait().ok, app.calls)
