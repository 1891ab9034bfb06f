"""Sandboxed sessions as tools of the Model Context Protocol, by its official SDK, which is imported here only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from importlib.metadata import version
from typing import TYPE_CHECKING

import mcp_types as types
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from ._answers import SCHEMA, answer, blocks, cleaned
from ._isolation import close_all
from ._rooms import Room, Rooms
from ._session import Session
from ._shares import shares
from ._units import seconds, size
from .errors import RingfenceError

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator
    from typing import Any

    from mcp.server.context import ServerRequestContext
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ._isolation import Isolation
    from ._policy import Limits, Policy
    from .languages import Pack

PATH = "/mcp"
_SESSION_HEADER = "mcp-session-id"

_INSTRUCTIONS = (
    "Code runs in a sandbox of its own. What it defines stays for the next call, until `reset`. Files, variables and "
    "the network are there only as far as the tools say; `denials` in an answer lists what the policy refused."
)


class Toolbox:
    """
    The tools, and what they do.

    Args:
        packs: the languages; each is a tool.
        policy: what code may do. Its limits of time, processor, fuel and output are those of each call.
        isolation: where sessions are, as for `Session`.
        most: how many clients may have their sessions open.
        idle_seconds: how long a client's sessions stay unused; None keeps them.
    """

    def __init__(
        self,
        packs: list[Pack],
        policy: Policy,
        *,
        isolation: Isolation = "wasm",
        most: int,
        idle_seconds: float | None = None,
    ) -> None:
        self._packs = {f"run_{pack.language}": pack for pack in packs}
        self._isolation = isolation
        self._policy, self._turn = shares(policy)
        self.rooms = Rooms(self._open, most=most, idle_seconds=idle_seconds)
        self.server: Server[None] = Server(
            "ringfence",
            version=version("ringfence"),
            instructions=_INSTRUCTIONS,
            lifespan=self._lifespan,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    def _open(self, language: str) -> Session:
        return Session(language, policy=self._policy, turn=self._turn, isolation=self._isolation)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Server[None]) -> AsyncIterator[None]:
        sweeping = asyncio.ensure_future(self.rooms.sweep())
        try:
            yield
        finally:
            sweeping.cancel()
            import anyio

            with anyio.CancelScope(shield=True):
                await self.rooms.close()

    async def _list(
        self, context: ServerRequestContext[None], _: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        granted = described(self._policy, self._turn)
        more = _SESSION_ARGUMENT if _is_loose(context) else {}
        tools = [
            _tool(
                name,
                f"Run {pack.title} source in a sandbox, and give the value of its last expression with what it printed."
                f" What it defines stays for the next call. {granted}",
                {"code": {"type": "string", "description": "the source"}, **more},
                ["code"],
                SCHEMA,
            )
            for name, pack in self._packs.items()
        ]
        tools.append(_tool("reset", "Forget everything that was defined, in all languages.", more, [*more], None))
        return types.ListToolsResult(tools=tools)

    async def _call(
        self, context: ServerRequestContext[None], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        try:
            return await self._called(context, params.name, params.arguments or {})
        except RingfenceError as error:
            return _failed(str(error))
        except _WrongCall as error:
            return _failed(str(error))

    async def _called(
        self, context: ServerRequestContext[None], name: str, arguments: dict[str, Any]
    ) -> types.CallToolResult:
        loose = _is_loose(context)
        pack = self._packs.get(name)
        if pack is None and name != "reset":
            raise _WrongCall(f"there is no tool `{cleaned(name, 80)}`: there are {', '.join([*self._packs, 'reset'])}")
        code = None if pack is None else _text(arguments, "code")
        handle = _text(arguments, "session") if loose and ("session" in arguments or pack is None) else None
        unknown = arguments.keys() - ({"code"} if pack else set()) - ({"session"} if loose else set())
        if unknown:
            raise _WrongCall(f"`{name}` takes no `{cleaned(min(unknown), 80)}`")
        room = self.rooms.of_handle(handle) if loose else self.rooms.of_connection(_connection(context))
        if code is None or pack is None:
            await room.reset([known.language for known in self._packs.values()])
            return types.CallToolResult(content=[_block("everything that was defined is gone")])
        return await self._run(room, pack, code)

    async def _run(self, room: Room, pack: Pack, code: str) -> types.CallToolResult:
        turn, lost = await room.run(pack.language, code)
        # On a thread: a value may be tens of megabytes, and other clients wait for this loop.
        made = await asyncio.to_thread(answer, turn, lost=lost, handle=room.handle)
        return types.CallToolResult(
            content=[_block(part) for part in blocks(made)], structured_content=made, is_error=not turn.ok
        )


async def serve_stdio(toolbox: Toolbox) -> None:
    """Serve the one client at the other end of our standard streams, until it closes them."""
    _end_on_signals(toolbox)
    async with stdio_server() as (read, write):
        await toolbox.server.run(read, write, toolbox.server.create_initialization_options())


async def serve_http(
    toolbox: Toolbox, listener: socket.socket, hosts: list[str], *, most: int, idle_seconds: float
) -> None:
    """
    Serve clients that come to a socket, by streamable HTTP, until a signal.

    Args:
        toolbox: what to serve.
        listener: where they come to.
        hosts: what they may call us: values of the header `Host`. A page of another origin is refused, and so is a
            name that somebody else has led to our address.
        most: how many connections may have a session.
        idle_seconds: how long such a session stays unused.
    """
    import uvicorn

    origins = [f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")]
    app = toolbox.server.streamable_http_app(
        streamable_http_path=PATH,
        transport_security=TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins),
        max_sessions=most,
        session_idle_timeout=idle_seconds,
    )
    config = uvicorn.Config(
        _ending(app, toolbox.rooms), log_level="warning", access_log=False, timeout_graceful_shutdown=1
    )
    await uvicorn.Server(config).serve(sockets=[listener])


def described(policy: Policy, turn: Limits) -> str:
    """Tell a model what code is granted: names as the code sees them, never the host's."""
    files = [f"{grant.at} ({'read only' if grant.mode == 'ro' else 'read and write'})" for grant in policy.dirs]
    files += ["/tmp (read and write)"] if policy.tmp else []  # noqa: S108 - the guest's own
    net = [*policy.net.tcp, *(f"udp://{where}" for where in policy.net.udp), *policy.net.http]
    limits = [f"{seconds(turn.wall)} a call"] if turn.wall else []
    limits += [f"{size(policy.limits.memory)} of memory"] if policy.limits.memory else []
    return f"Files: {', '.join(files) or 'none'}. Network: {', '.join(net) or 'none'}. Limits: {', '.join(limits)}."


class _WrongCall(Exception):
    """A call that does not say what it has to."""


_SESSION_ARGUMENT = {
    "session": {"type": "string", "description": "from the last answer, to go on there; begins anew without it"}
}


def _tool(
    name: str, description: str, properties: dict[str, Any], required: list[str], output: dict[str, Any] | None
) -> types.Tool:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return types.Tool(name=name, description=description, input_schema=schema, output_schema=output)


def _text(arguments: dict[str, Any], name: str) -> str:
    text = arguments.get(name)
    if not isinstance(text, str):
        raise _WrongCall(f"`{name}` has to be given, as text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _WrongCall(f"`{name}` is no Unicode text: it has half of a surrogate pair") from error
    return text


def _failed(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[_block(text)], is_error=True)


def _block(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)


def _is_loose(context: ServerRequestContext[None]) -> bool:
    """Tell whether each request comes by itself: by HTTP none has a connection since version 2026-07-28."""
    return context.request is not None and context.protocol_version in MODERN_PROTOCOL_VERSIONS


def _connection(context: ServerRequestContext[None]) -> str:
    """Name the connection: the SDK has looked up the header, which it made up itself."""
    return "" if context.request is None else str(context.request.headers[_SESSION_HEADER])


def _ending(app: ASGIApp, rooms: Rooms) -> ASGIApp:
    """End a connection's sessions when its client says that it is over."""

    async def ending(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        name = headers.get(_SESSION_HEADER.encode(), b"").decode("latin-1")
        ends = False

        async def heard(message: Message) -> None:
            nonlocal ends
            ends = ends or (message["type"] == "http.response.start" and message["status"] < 300)  # noqa: PLR2004
            await send(message)

        if scope.get("method") != "DELETE" or not name:
            await app(scope, receive, send)
            return
        try:
            await app(scope, receive, heard)
        finally:
            if ends:
                await rooms.end(name)

    return ending


def _end_on_signals(toolbox: Toolbox) -> None:
    """
    End at once when told to, with nothing left behind.

    What reads standard input is a thread that hears of no signal: without this, Ctrl-C waits for the next line.
    """
    loop = asyncio.get_running_loop()
    ending: list[asyncio.Future[None]] = []

    async def end(number: signal.Signals) -> None:
        await toolbox.rooms.close()
        close_all()
        os._exit(128 + number)

    def told(number: signal.Signals) -> None:
        ending.append(asyncio.ensure_future(end(number)))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told, number)
