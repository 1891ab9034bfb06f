"""Sessions of many clients, in the language of letters: `c` counts, `l` and `W` do not end."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ringfence import Limits, Policy, Program, Session, SessionError
from ringfence._engine import core
from ringfence._rooms import MOST_WAITING, Room, Rooms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Opening = Callable[[str], Session]

SOON_SECONDS = 20.0


@pytest.fixture
def opening(guests: Path) -> Opening:
    """Open sessions of letters, whatever the language is called, with a minute for each turn."""
    letters = Program(core.Program.from_file(str(guests / "letters.wat"), "letters"))
    policy = Policy(limits=Limits(wall="1h"))
    return lambda _: Session(letters, policy=policy, turn=Limits(wall=60))


async def count(room: Room, language: str = "letters") -> object:
    """Count one further in a room."""
    turn, _ = await room.run(language, "c")
    return turn.value


async def at_work(room: Room) -> asyncio.Task[object]:
    """Begin a turn that does not end; give it once it has begun."""
    task: asyncio.Task[object] = asyncio.create_task(room.run("letters", "l"))
    began = time.monotonic()
    while not any(thread.name == "ringfence" for thread in threading.enumerate()):
        assert time.monotonic() - began < SOON_SECONDS
        await asyncio.sleep(0.01)
    return task


def test_rooms_share_nothing_and_keep_what_they_know(opening: Opening) -> None:
    """Each connection has its room, each language in it its session."""

    async def main() -> None:
        rooms = Rooms(opening, most=2)
        ours, theirs = rooms.of_connection("ours"), rooms.of_connection("theirs")
        assert [1, 2, 1] == [await count(ours), await count(ours), await count(theirs)]
        assert 1 == await count(ours, "other")
        assert 3 == await count(rooms.of_connection("ours"))
        await rooms.close()

    asyncio.run(main())


def test_calls_at_once_are_made_one_after_the_other(opening: Opening) -> None:
    """None is refused, and none is lost."""

    async def main() -> None:
        room = Room(opening)
        assert list(range(1, 11)) == sorted(await asyncio.gather(*(count(room) for _ in range(10))))  # type: ignore[type-var]
        await room.close()

    asyncio.run(main())


def test_no_more_calls_wait_than_may(opening: Opening) -> None:
    """The one too many is refused at once, the others are made."""

    async def main() -> None:
        room = Room(opening)
        made = await asyncio.gather(*(count(room) for _ in range(MOST_WAITING + 1)), return_exceptions=True)
        assert 1 == sum(isinstance(one, SessionError) for one in made)
        assert not room.busy
        await room.close()

    asyncio.run(main())


def test_reset_forgets(opening: Opening) -> None:
    """The next call begins anew."""

    async def main() -> None:
        room = Room(opening)
        await count(room)
        await room.reset(["letters", "never used"])
        assert 1 == await count(room)
        await room.close()

    asyncio.run(main())


def test_lost_session_begins_anew_and_says_so(guests: Path) -> None:
    """A turn that could not be ended softly costs what was defined, and no more."""
    letters = Program(core.Program.from_file(str(guests / "letters.wat"), "letters"))

    async def main() -> None:
        room = Room(lambda _: Session(letters, turn=Limits(wall=0.2)))
        await count(room)
        turn, lost = await room.run("letters", "l")
        assert ("limited", True) == (turn.outcome, lost)
        assert 1 == await count(room)
        await room.close()

    asyncio.run(main())


def test_cancelled_call_ends_its_guest_and_the_room_goes_on(opening: Opening) -> None:
    """The guest is gone when the cancelled task is."""

    async def main() -> None:
        room = Room(opening)
        task = await at_work(room)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not any(thread.name == "ringfence" for thread in threading.enumerate())
        turn, lost = await room.run("letters", "c")
        assert (1, True) == (turn.value, lost)
        await room.close()

    asyncio.run(main())


def test_room_that_is_closed_ends_what_is_at_work(opening: Opening) -> None:
    """Its callers are told, those that wait too, and nobody begins another."""

    async def main() -> None:
        rooms = Rooms(opening, most=1)
        room = rooms.of_connection("ours")
        task = await at_work(room)
        waits = asyncio.create_task(count(room))
        await asyncio.sleep(0)
        await rooms.end("ours")
        for one in (task, waits):
            with pytest.raises(SessionError, match="no such session"):
                await one
        with pytest.raises(SessionError, match="no such session"):
            await count(room)
        assert 0 == len(rooms)

    asyncio.run(main())


def test_handle_is_the_only_way_to_a_room_without_a_connection(opening: Opening) -> None:
    """It is long, and the name of a connection is none."""

    async def main() -> None:
        rooms = Rooms(opening, most=3)
        made, other = rooms.of_handle(None), rooms.of_handle(None)
        rooms.of_connection("known")
        assert made.handle is not None
        assert made.handle != other.handle
        assert len(made.handle) >= 20
        assert made is rooms.of_handle(made.handle)
        for wrong in ("", "known", "connection known", made.handle[:-1]):
            with pytest.raises(SessionError, match="no such session"):
                rooms.of_handle(wrong)

    asyncio.run(main())


def test_room_is_made_where_nobody_is_connected(opening: Opening) -> None:
    """The one unused for longest goes; a connection keeps its room, and so does who is at work."""

    async def main() -> None:
        rooms = Rooms(opening, most=3)
        connected, first, second = rooms.of_connection("ours"), rooms.of_handle(None), rooms.of_handle(None)
        await count(second)
        await count(connected)
        await count(first)
        third = rooms.of_handle(None)
        with pytest.raises(SessionError, match="no such session"):
            rooms.of_handle(second.handle)
        task = await at_work(first)
        working = asyncio.create_task(third.run("letters", "l"))
        await asyncio.sleep(0)
        with pytest.raises(SessionError, match="no room for another client"):
            rooms.of_handle(None)
        assert connected is rooms.of_connection("ours")
        await rooms.close()
        await asyncio.gather(task, working, return_exceptions=True)

    asyncio.run(main())


def test_room_that_nobody_uses_ends(opening: Opening) -> None:
    """Unless it is at work."""

    async def main() -> None:
        rooms = Rooms(opening, most=2, idle_seconds=0.2)
        sweeping = asyncio.create_task(rooms.sweep())
        busy = rooms.of_connection("busy")
        task = await at_work(busy)
        rooms.of_handle(None)
        began = time.monotonic()
        while len(rooms) > 1:
            assert time.monotonic() - began < SOON_SECONDS
            await asyncio.sleep(0.02)
        assert busy is rooms.of_connection("busy")
        sweeping.cancel()
        await rooms.close()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
