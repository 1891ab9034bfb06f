"""Functions of the host that are `async def`: several may be under way while a guest goes on."""

from __future__ import annotations

import asyncio
import contextvars
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Call, Limits, Policy
from security import isolated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ringfence import Session

    Open = Callable[..., Session]

pytestmark = pytest.mark.usefixtures("isolation")

GATHER = {
    "python": "import asyncio\nawait asyncio.gather(*[meet(n) for n in range({n})])",
    "javascript": "await Promise.all(Array.from({{length: {n}}}, (_, n) => meet(n)))",
}


class Meeting:
    """Waits for so many callers: it ends only where their calls overlap."""

    def __init__(self, expected: int) -> None:
        self.expected, self.here, self.most = expected, 0, 0
        self.all_here: asyncio.Event | None = None

    async def __call__(self, number: int) -> int:
        """Give the number back when everybody is here."""
        self.all_here = self.all_here or asyncio.Event()
        self.here += 1
        self.most = max(self.most, self.here)
        if self.here == self.expected:
            self.all_here.set()
        await self.all_here.wait()
        self.here -= 1
        return number


@pytest.fixture(params=["python", "javascript"])
def language(request: pytest.FixtureRequest) -> str:
    """Give each language that is installed."""
    name = str(request.param)
    if find_spec(f"ringfence_language_{name}") is None:
        pytest.skip("the language pack is not installed")
    return name


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open sessions, and close them."""
    sessions: list[Session] = []

    def make(language: str = "python", **options: Any) -> Session:
        if find_spec(f"ringfence_language_{language}") is None:
            pytest.skip("the language pack is not installed")
        sessions.append(isolated.Session(language, **options))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


def test_calls_of_one_turn_overlap_on_the_host(opened: Open, language: str) -> None:
    """Each of them waits for the others."""
    turn = opened(language, functions={"meet": Meeting(5)}).eval(GATHER[language].format(n=5))

    assert ([0, 1, 2, 3, 4], 5) == (turn.value, turn.usage.calls), turn.error


def test_calls_overlap_in_the_loop_of_the_caller(opened: Open, language: str) -> None:
    """A connection that belongs to it can be used by all of them."""
    loops = set()
    meeting = Meeting(3)

    async def meet(number: int) -> int:
        loops.add(asyncio.get_running_loop())
        return await meeting(number)

    async def main() -> None:
        session = opened(language, functions={"meet": meet})
        assert [0, 1, 2] == (await session.aeval(GATHER[language].format(n=3))).value
        assert {asyncio.get_running_loop()} == loops

    asyncio.run(main())


def test_more_calls_than_may_be_under_way_wait_for_their_turn(opened: Open, language: str) -> None:
    """The host lets 100 be so at once."""
    meeting = Meeting(100)
    turn = opened(language, functions={"meet": meeting}).eval(GATHER[language].format(n=230))

    assert (list(range(230)), 100) == (turn.value, meeting.most), turn.error


@pytest.mark.parametrize(
    ("language", "code"),
    [
        (
            "python",
            "import asyncio\nr = await asyncio.gather(bad(), good(), return_exceptions=True)\n[str(r[0]), r[1]]",
        ),
        ("javascript", "const r = await Promise.allSettled([bad(), good()]); [r[0].reason.message, r[1].value]"),
    ],
)
def test_call_that_fails_does_not_touch_the_others(opened: Open, language: str, code: str) -> None:
    """Its exception is raised where it is awaited."""

    async def bad() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def good() -> int:
        await asyncio.sleep(0)
        return 1

    assert ["no", 1] == opened(language, functions={"bad": bad, "good": good}).eval(code).value


TICKS = """\
import asyncio
async def tick():
    for _ in range(3): await asyncio.sleep(0.001)
    release()
(await asyncio.gather(held(), tick()))[0]
"""


@pytest.mark.parametrize(
    ("language", "code"), [("python", TICKS), ("javascript", "setTimeout(() => release(), 5); await held()")]
)
def test_guest_goes_on_while_a_call_is_under_way(opened: Open, language: str, code: str) -> None:
    """Its timers and its other tasks, which here let the call end."""
    released = False

    def release() -> None:
        nonlocal released
        released = True

    async def held() -> str:
        while not released:  # noqa: ASYNC110 - another thread lets it go
            await asyncio.sleep(0.001)
        return "released"

    turn = opened(language, functions={"held": held, "release": release}).eval(code)

    assert "released" == turn.value, turn.error


def test_call_that_nobody_awaits_any_more_is_cancelled_on_the_host(opened: Open) -> None:
    """As a task that is cancelled is."""
    cancelled = []

    async def held() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    async def count() -> int:
        await asyncio.sleep(0)
        return len(cancelled)

    turn = opened(functions={"held": held, "count": count}).eval(
        "import asyncio\n"
        "try: await asyncio.wait_for(held(), 0.05)\n"
        "except TimeoutError: pass\n"
        "while not await count(): pass\n"
        "await count()"
    )

    assert 1 == turn.value, turn.error


def test_hook_judges_calls_that_overlap(opened: Open) -> None:
    """Each by itself, before it begins."""
    meeting = Meeting(2)

    def judge(call: Call) -> bool:
        return bool(call.args[0] != 1)

    session = opened(functions={"meet": meeting}, before_call=judge)
    turn = session.eval(
        "import asyncio\nr = await asyncio.gather(*map(meet, range(3)), return_exceptions=True)\n"
        "[r[0], type(r[1]).__name__, r[2]]"
    )

    assert [0, "PermissionError", 2] == turn.value, turn.error


def test_deadline_is_heard_while_calls_are_under_way(opened: Open, language: str) -> None:
    """The guest is told, and the session goes on: nothing of the host was blocked."""
    cancelled = []

    async def held() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(1)

    session = opened(language, functions={"held": held})
    turn = session.eval("await held()", turn=Limits(wall=0.3))

    assert ("limited", "wall", False) == (turn.outcome, turn.limit, turn.poisoned)
    assert [1] == cancelled
    assert 2 == session.eval("1 + 1").value


def test_call_of_a_turn_that_is_over_fails_in_the_next(opened: Open) -> None:
    """A loop that a guest kept does not wait for it for ever."""

    async def held() -> None:
        await asyncio.Event().wait()

    session = opened(functions={"held": held})
    session.eval(
        "import asyncio\nloop = asyncio.new_event_loop()\n"
        "async def use(): await held()\n"
        "task = loop.create_task(use())\nloop.run_until_complete(asyncio.sleep(0.01))"
    )
    turn = session.eval("loop.run_until_complete(task)")

    assert turn.error is not None
    assert ("ConnectionAbortedError", "the call ended with its turn") == (turn.error.type, turn.error.message)


def test_calls_see_the_context_of_their_caller(opened: Open) -> None:
    """Those that are awaited too, in whatever loop they go on."""
    variable = contextvars.ContextVar("variable", default=0)

    async def read() -> int:
        await asyncio.sleep(0)
        return variable.get()

    session = opened(functions={"read": read}, policy=Policy())
    code = "import asyncio\nawait asyncio.gather(read(), read())"

    async def main() -> None:
        variable.set(6)
        assert [6, 6] == (await session.aeval(code)).value

    variable.set(5)
    assert [5, 5] == session.eval(code).value
    asyncio.run(main())
