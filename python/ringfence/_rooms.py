"""Sessions of many clients: a room for each, with a session for each language, and one turn at a time in it."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, TypeVar

from .errors import SessionError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from ._session import Session
    from ._turn import Turn

    Opening = Callable[[str], Session]

T = TypeVar("T")

# Of calls that wait for their turn in one room: a client that sends more does not wait for the answers.
MOST_WAITING = 16


class Room:
    """
    One client's sessions.

    Args:
        opening: opens a session of a language; called on a thread.
        handle: what the client names the room by, where its connection does not.
    """

    def __init__(self, opening: Opening, handle: str | None = None) -> None:
        self.handle = handle
        self.used = time.monotonic()
        self._opening = opening
        self._sessions: dict[str, Session] = {}
        self._turns = asyncio.Lock()
        self._waiting = 0
        self._work: asyncio.Future[Any] | None = None
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a call is at work or waits in it."""
        return self._waiting > 0

    async def run(self, language: str, code: str) -> tuple[Turn, bool]:
        """
        Run a turn; give it, and whether its session was lost, and begun anew.

        Raises:
            SessionError: too many calls wait, the room is closed, or a total of the session was used up.
            LoadError: the language cannot be opened.
        """
        return await self._in_turn(lambda: self._run(language, code))

    async def reset(self, languages: list[str]) -> None:
        """Forget what the code of these languages has defined."""
        await self._in_turn(lambda: self._reset(languages))

    async def close(self) -> None:
        """End what is at work, and give everything back; its calls end as cancelled."""
        self._closed = True
        if self._work is not None:
            self._work.cancel()
        async with self._turns:
            for session in self._sessions.values():
                session.close()
            self._sessions.clear()

    async def _in_turn(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if self._waiting >= MOST_WAITING:
            raise SessionError(
                "the call was not made",
                f"{MOST_WAITING} calls wait in this session, which runs one at a time",
                "wait for their answers",
            )
        self._waiting += 1
        try:
            async with self._turns:
                if self._closed:
                    raise _gone()
                self._work = task = asyncio.ensure_future(work())
                try:
                    return await _whole(task)
                except asyncio.CancelledError:
                    ours = asyncio.current_task()
                    if ours is None or ours.cancelling():
                        raise
                    raise _gone() from None  # it was the room that was closed
                finally:
                    self._work = None
        finally:
            self._waiting -= 1
            self.used = time.monotonic()

    async def _run(self, language: str, code: str) -> tuple[Turn, bool]:
        session = self._sessions.get(language)
        if session is None:
            session = self._sessions[language] = await asyncio.to_thread(self._opening, language)
        lost = session.poisoned is not None  # by a turn that was cancelled
        if lost:
            session.restart()
        try:
            turn = await session.aeval(code)
        except SessionError:
            session.restart()
            raise
        if turn.poisoned:
            session.restart()
        return turn, lost or turn.poisoned

    async def _reset(self, languages: list[str]) -> None:
        for language in languages:
            session = self._sessions.pop(language, None)
            if session is not None:
                session.close()


class Rooms:
    """
    All rooms of a server; used from one event loop.

    Args:
        opening: opens a session of a language.
        most: how many there may be. Who comes without a connection takes the place of the one unused for longest.
        idle_seconds: how long one stays unused; None keeps it until its connection ends.
    """

    def __init__(self, opening: Opening, *, most: int, idle_seconds: float | None = None) -> None:
        self._opening = opening
        self._most = most
        self._idle_seconds = idle_seconds
        self._rooms: dict[str, Room] = {}

    def of_connection(self, name: str) -> Room:
        """Give the room of a connection, known by a name that no client can choose."""
        key = f"connection {name}"
        return self._rooms.get(key) or self._add(key, None)

    def of_handle(self, handle: str | None) -> Room:
        """Give the room that a client names, or a new one with a name that cannot be guessed."""
        if handle is None:
            handle = secrets.token_urlsafe(16)
            return self._add(f"handle {handle}", handle)
        room = self._rooms.get(f"handle {handle}")
        if room is None:
            raise _gone()
        return room

    def __len__(self) -> int:
        return len(self._rooms)

    async def end(self, name: str) -> None:
        """End the room of a connection that has ended."""
        room = self._rooms.pop(f"connection {name}", None)
        if room is not None:
            await room.close()

    async def close(self) -> None:
        """End all of them."""
        rooms = [*self._rooms.values()]
        self._rooms.clear()
        await asyncio.gather(*(room.close() for room in rooms))

    async def sweep(self) -> None:
        """End those that nobody has used for too long, until cancelled."""
        while self._idle_seconds is not None:
            await asyncio.sleep(min(self._idle_seconds / 4, 60.0))
            oldest = time.monotonic() - self._idle_seconds
            for key, room in [*self._rooms.items()]:
                if not room.busy and room.used < oldest:
                    del self._rooms[key]
                    await room.close()

    def _add(self, key: str, handle: str | None) -> Room:
        if len(self._rooms) >= self._most:
            self._make_room()
        room = self._rooms[key] = Room(self._opening, handle)
        return room

    def _make_room(self) -> None:
        idle = [(room.used, key) for key, room in self._rooms.items() if room.handle is not None and not room.busy]
        if not idle:
            raise SessionError(
                "there is no room for another client",
                f"{self._most} have their sessions open, which is the most there may be",
                "come back later, or start the server with more: `ringfence mcp --sessions N`",
            )
        room = self._rooms.pop(min(idle)[1])
        _closing.add(task := asyncio.ensure_future(room.close()))
        task.add_done_callback(_closing.discard)


# An event loop holds its tasks weakly.
_closing: set[asyncio.Future[None]] = set()


async def _whole(work: asyncio.Future[T]) -> T:
    """
    Await work; when we are cancelled, cancel it once, and wait until its guest is gone.

    The SDK's scopes cancel again and again what they are about, which the end of a guest would not be waited for in.
    """
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        import anyio

        work.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([work])
        raise


def _gone() -> SessionError:
    return SessionError(
        "there is no such session",
        "it was not used for long, made room for others, or never was",
        "call without `session` to begin a new one",
    )
