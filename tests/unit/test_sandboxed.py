"""Functions whose every call has a sandbox of its own."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from typing import Any

import pytest

from ringfence import GuestRaised, Limits, LoadError, Policy, Sandboxed, Turn, WallReached

pytestmark = pytest.mark.usefixtures("compiled")


def double(number: Any) -> Any:
    """Double it."""
    return number * 2


@Sandboxed
def decorated(number: int) -> int:
    """Double it, through another function."""
    return int(double(number))


def remembers(number: int) -> int:
    """Count calls where a call could find the one before."""
    import builtins

    seen: list[int] = builtins.__dict__.setdefault("seen", [])
    seen.append(number)
    return len(seen)


def fails(key: str) -> None:
    """Raise."""
    raise KeyError(key)


async def waits(number: int) -> int:
    """Give it later."""
    import asyncio

    await asyncio.sleep(0)
    return number


def spins() -> None:
    """Never end."""
    while True:
        pass


def test_it_is_called_like_the_function() -> None:
    """By place and by name, in either language, as a decorator, and where it is `async def`."""
    assert 42 == Sandboxed(double)(21)
    assert 42 == Sandboxed(double)(number=21)
    assert (42, "decorated") == (decorated(21), decorated.__name__)
    assert 5 == Sandboxed(waits)(5)
    assert 3 == Sandboxed("lambda x: x + 1")(2)
    assert 3 == Sandboxed("import math\ndef up(x):\n    return math.ceil(x)")(2.5)
    assert {"a": 4} == Sandboxed("async x => ({a: x * 2})", language="javascript")(2)


@pytest.mark.parametrize("value", [None, True, 2**80, 1.5, "a\n'\"", b"\0", [1, [2]], {"a": {1: None}}])
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    """No value is written into source: none can be taken for code."""
    assert value == Sandboxed("lambda x: x")(value)


def test_tuple_arrives_as_a_list_and_other_types_are_refused() -> None:
    """A value that would be another one on the other side does not travel."""
    assert [1, [2, 3]] == Sandboxed("lambda x: (x[0], x[1])")((1, (2, 3)))
    with pytest.raises(GuestRaised, match="TypeError: a value of type set is not plain"):
        Sandboxed("lambda x: x")({1})
    with pytest.raises(GuestRaised, match="TypeError: only plain values reach the host"):
        Sandboxed("lambda: {1}")()


def test_no_call_finds_what_another_left() -> None:
    """Each begins with a copy of the definition."""
    sandboxed = Sandboxed(remembers)

    assert [1, 1, 1] == [sandboxed(number) for number in range(3)]


def test_error_has_the_functions_own_lines() -> None:
    """A traceback that names the line is worth more than its number."""
    with pytest.raises(GuestRaised) as raised:
        Sandboxed(fails)("tea")

    turn = raised.value.result
    assert isinstance(turn, Turn)
    error = turn.error
    assert error is not None
    assert ("KeyError", "'tea'") == (error.type, error.message)
    assert "in fails\n    raise KeyError(key)" in error.traceback


def test_limits_are_those_of_each_call() -> None:
    """A call that spins ends, and the next has all of its time again."""
    sandboxed = Sandboxed("def f(x):\n    while x: pass", limits=Limits(wall="100ms"))

    for _ in range(3):
        with pytest.raises(WallReached):
            sandboxed(1)
        assert sandboxed(0) is None


def test_it_pickles_with_its_policy() -> None:
    """Which is how it comes to another process."""
    sandboxed = pickle.loads(pickle.dumps(Sandboxed(double, policy=Policy(limits=Limits(wall="3s")))))

    assert ("double", 42) == (sandboxed.__name__, sandboxed(21))
    assert 3.0 == sandboxed.policy.limits.wall


def test_functions_of_the_caller_are_judged() -> None:
    """The hook sees the calls of the guest, and not those that carry arguments and values."""
    seen: list[str] = []
    sandboxed = Sandboxed(
        "def f(x):\n    return add(x)",
        functions={"add": lambda x: x + 1},
        before_call=lambda call: seen.append(call.name),
    )

    assert (3, ["add"]) == (sandboxed(2), seen)


def test_awaited_call_ends_with_its_task() -> None:
    """Cancelling ends the guest at once."""

    async def cancelled() -> float:
        task = asyncio.ensure_future(sandboxed.acall())
        await asyncio.sleep(0.1)
        task.cancel()
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - started

    sandboxed = Sandboxed(spins)

    assert asyncio.run(cancelled()) < 5
    assert 7 == asyncio.run(Sandboxed("lambda: 7").acall())


def test_many_threads_call_one() -> None:
    """It is defined once, whoever comes first."""
    sandboxed, values = Sandboxed(double), list[Any]()
    threads = [threading.Thread(target=lambda n=n: values.append(sandboxed(n))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [0, 2, 4, 6, 8, 10, 12, 14] == sorted(values)


def test_what_is_no_function_is_refused() -> None:
    """In the sandbox, where the text is read; and before, where it can be told."""
    with pytest.raises(GuestRaised, match="the source does not end with a function"):
        Sandboxed("x = 1")(1)
    with pytest.raises(GuestRaised, match="the source is not a function"):
        Sandboxed("1 + 1", language="javascript")()
    with pytest.raises(LoadError, match="no function of `shout`"):
        Sandboxed("x", language="shout")
    with pytest.raises(TypeError, match="a Python function is no JavaScript"):
        Sandboxed(double, language="javascript")
    with pytest.raises(TypeError, match="no arguments by name"):
        Sandboxed("x => x", language="javascript")(x=1)
    with pytest.raises(ValueError, match="`_ringfence_give`, which is ours"):
        Sandboxed(double, functions={"_ringfence_give": print})
