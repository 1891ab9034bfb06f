"""Functions of ours that a session's code calls."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Call
from ringfence._functions import Functions

if TYPE_CHECKING:
    from collections.abc import Iterator


def search(query: str, limit: int = 10, *, deep: object = object()) -> list[str]:
    """Find it."""
    return [query] * limit if deep else []


async def slow(value: int) -> int:
    """Take a while."""
    await asyncio.sleep(0)
    return value


in_turns: list[Functions] = []


def calling(hook: Any = None, **functions: Any) -> Functions:
    """Make functions that are ready to be called, as in a turn."""
    made = Functions(functions, hook)
    made.begin(None)
    in_turns.append(made)
    return made


@pytest.fixture(autouse=True)
def turns_end() -> Iterator[None]:
    """End every turn, as the guest's thread does."""
    yield
    for functions in in_turns:
        functions.finish()
    in_turns.clear()


def test_guest_is_told_name_signature_and_doc() -> None:
    """A default that is no plain value is not shown: it would tell of the host."""
    [found, later] = calling(search=search, slow=slow).described()

    assert ("search", "(query: str, limit: int = 10, *, deep: object = ...) -> list[str]") == found[:2]
    assert ("Find it.", False) == found[2:]
    assert ("Take a while.", True) == later[2:]


def test_functions_written_in_c_are_described_too() -> None:
    """Some do not tell their signature."""
    assert [("most", "(*args, **kwargs)")] == [row[:2] for row in calling(most=max).described()]


def test_call_gives_what_the_function_returns() -> None:
    """By position and by name, awaited where it has to be."""
    functions = calling(search=search, slow=slow)

    assert ["a", "a"] == functions("search", ["a"], {"limit": 2})
    assert 7 == functions("slow", [7], {})


def test_names_that_nobody_gave_are_not_there() -> None:
    """The guest chooses the name."""
    with pytest.raises(NameError, match=r"no function `\\x1b`"):
        calling(search=search)("\x1b", [], {})


@pytest.mark.parametrize("name", ["", "a b", "a.b", "class", 3])
def test_name_that_no_code_can_call_is_refused(name: Any) -> None:
    """It has to be an identifier."""
    with pytest.raises(ValueError, match="cannot be a function's name"):
        Functions({name: search}, None)


def test_what_cannot_be_called_is_refused() -> None:
    """At once, and not when the guest calls."""
    with pytest.raises(TypeError, match="cannot be 3"):
        Functions({"f": 3}, None)  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="before_call cannot be 3"):
        Functions({"f": search}, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("approval", [None, True])
def test_hook_approves(approval: object) -> None:
    """It sees the call, and lets it through by saying nothing against it."""
    seen: list[Call] = []

    def hook(call: Call) -> object:
        seen.append(call)
        return approval

    assert ["q"] == calling(hook, search=search)("search", ["q"], {"limit": 1})
    assert [Call("search", ("q",), {"limit": 1})] == seen


def test_hook_changes_a_call() -> None:
    """What it gives is called instead."""
    hooked = calling(lambda call: Call(call.name, ("safe",), {"limit": 1}), search=search)

    assert ["safe"] == hooked("search", ["/etc/passwd"], {})


@pytest.mark.parametrize("verdict", [False, 0, "", "yes", {}])
def test_hook_that_does_not_approve_denies(verdict: object) -> None:
    """Only None, True and a `Call` let anything through."""
    called: list[int] = []

    with pytest.raises((PermissionError, TypeError), match="refused"):
        calling(lambda _: verdict, f=lambda: called.append(1))("f", [], {})
    assert [] == called


def test_hook_that_raises_denies() -> None:
    """A broken guard never fails open."""
    called: list[int] = []

    def hook(_: Call) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        calling(hook, f=lambda: called.append(1))("f", [], {})
    assert [] == called


def test_hook_may_be_awaited() -> None:
    """An approval may have to be asked for."""

    async def hook(call: Call) -> bool:
        await asyncio.sleep(0)
        return call.name == "f"

    functions = calling(hook, f=lambda: 1, g=lambda: 2)

    assert 1 == functions("f", [], {})
    with pytest.raises(PermissionError):
        functions("g", [], {})


def test_coroutines_run_in_the_loop_of_the_caller() -> None:
    """A connection that belongs to the loop can be used."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def where() -> int:
        loops.append(asyncio.get_running_loop())
        return 1

    async def main() -> None:
        functions = Functions({"where": where}, None)
        functions.begin(asyncio.get_running_loop())
        assert 1 == await asyncio.to_thread(functions, "where", [], {})
        assert [asyncio.get_running_loop()] == loops

    asyncio.run(main())


def test_what_is_still_awaited_at_the_end_of_a_turn_is_cancelled() -> None:
    """Nothing of a turn goes on in the caller's loop."""
    cancelled = threading.Event()
    begun = threading.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            cancelled.set()

    async def main() -> None:
        functions = Functions({"forever": forever}, None)
        functions.begin(asyncio.get_running_loop())
        call = asyncio.create_task(asyncio.to_thread(functions, "forever", [], {}))
        await asyncio.to_thread(begun.wait)
        functions.end()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.to_thread(cancelled.wait, 10)

    asyncio.run(main())


def test_what_begins_to_be_awaited_while_a_turn_ends_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever ends it may not see it yet."""
    schedule = asyncio.run_coroutine_threadsafe

    async def forever() -> None:
        await asyncio.sleep(1000)

    async def main() -> None:
        functions = Functions({"forever": forever}, None)

        def meanwhile(*given: Any) -> Any:
            future = schedule(*given)
            functions.end()
            return future

        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", meanwhile)
        functions.begin(asyncio.get_running_loop())
        with pytest.raises(asyncio.CancelledError):
            await asyncio.to_thread(functions, "forever", [], {})

    asyncio.run(main())


def test_functions_see_the_context_of_their_caller() -> None:
    """Though they run on another thread; what they set in it stays there."""
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(5)

    def read() -> int:
        seen = variable.get()
        variable.set(seen + 1)
        return seen

    functions = calling(read=read)
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.extend(functions("read", [], {}) for _ in range(2)))
    thread.start()
    thread.join()

    assert [5, 5] == seen


def test_call_that_was_begun_ends_while_somebody_waits() -> None:
    """Its number comes back once, with its value or its exception."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    functions = calling(slow=slow, fail=fail)

    assert (False, None) == functions.start(1, "slow", [7], {})
    assert (False, None) == functions.start(2, "fail", [], {})
    ended: dict[int, tuple[bool, object]] = {}
    while len(ended) < 2:
        ended |= {number: (failed, value) for number, failed, value in functions.wait(10)}
    assert (False, 7) == ended[1]
    assert ended[2][0]
    assert "no" == str(ended[2][1])
    assert [] == functions.wait(10)


def test_call_that_nobody_has_to_await_ends_at_once() -> None:
    """There is nothing to wait for."""
    assert (True, ["q"]) == calling(search=search).start(1, "search", ["q"], {"limit": 1})


def test_call_that_was_begun_can_be_cancelled() -> None:
    """It hears of it, and its number does not come back."""
    cancelled: list[int] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(1)

    functions = calling(forever=forever, slow=slow)
    functions.start(1, "forever", [], {})
    assert [] == functions.wait(0.01)
    functions.cancel(1)
    functions.cancel(99)

    assert 7 == functions("slow", [7], {})
    assert [1] == cancelled
    assert [] == functions.wait(0)
