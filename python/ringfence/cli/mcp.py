"""`ringfence mcp`: sandboxed sessions as tools for agents, over standard streams or HTTP."""

from __future__ import annotations

from ringfence.errors import HostError

from . import _output
from ._compiling import compiled, compiling
from ._exit import Exit
from ._grants import add_grants, policy_of, to_number
from ._isolation import add_isolation, check_workers
from ._listening import address_of, check_listening, listen, names_of, to_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    import socket

    from ringfence._policy import Policy
    from ringfence.languages import Pack

_MOST = 16
_IDLE = "30m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.epilog = (
        "Without --port it serves one client over standard input and output, which is how agents start it. TIME and "
        "SIZE are written as for `ringfence run`. --wall, --cpu, --fuel and --output are for each call, the rest for "
        "a session. It needs the SDK of the protocol: pip install 'ringfence[mcp]'."
    )
    add = parser.add_argument
    add(
        "--language",
        metavar="NAME",
        action="append",
        help="serve this language; unless given, all that are installed and hold sessions",
    )
    add("--port", metavar="N", help="serve HTTP here, at /mcp; 0 takes a free one")
    add("--host", metavar="ADDRESS", help="listen at this address of ours; 127.0.0.1 unless given")
    add(
        "--allow-host",
        metavar="NAME[:PORT]",
        action="append",
        help="let clients call us by this name; to listen beyond this machine it has to be given",
    )
    add("--sessions", metavar="N", help=f"clients that may have sessions open; {_MOST} unless given")
    add("--idle", metavar="TIME", help=f"end what no client over HTTP has used for so long; {_IDLE} unless given")
    add_grants(parser)
    add_isolation(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Serve until the client goes or a signal comes."""
    check_listening(arguments)
    try:
        import mcp.server  # noqa: F401
    except ImportError as error:
        raise HostError(
            "`ringfence mcp` cannot start",
            f"the SDK of the Model Context Protocol is not there ({error})",
            "install it: `pip install 'ringfence[mcp]'`",
        ) from error
    from ringfence._isolation import close_all
    from ringfence._policy import Limits

    most = to_count(arguments.sessions) if arguments.sessions is not None else _MOST
    idle = Limits(wall=to_number(arguments.idle if arguments.idle is not None else _IDLE)).wall or 0.0
    packs = _packs(arguments.language)
    if arguments.isolation != "wasm":
        check_workers(most if arguments.port is not None else 1, len(packs))
    policy = policy_of(arguments)
    listener = None if arguments.port is None else listen(arguments.host, arguments.port)
    # Who starts us over standard streams waits for our first answer a minute at most: the large languages take longer.
    with compiled(packs, policy) if listener else compiling(packs, policy):
        try:
            _serve(arguments, packs, policy, listener, most, idle)
        finally:
            close_all()
    return Exit.OK


def _packs(names: list[str] | None) -> list[Pack]:
    from ringfence.languages import find, installed

    packs = [find(name) for name in dict.fromkeys(names)] if names else [p for p in installed() if p.kind == "module"]
    for pack in packs:
        pack.check_sessions()
    return packs or [find("python")]  # which says how it is installed


def _serve(
    flags: argparse.Namespace, packs: list[Pack], policy: Policy, listener: socket.socket | None, most: int, idle: float
) -> None:
    import asyncio

    from ringfence._mcp import PATH, Toolbox, serve_http, serve_stdio

    if listener is None:
        asyncio.run(serve_stdio(Toolbox(packs, policy, isolation=flags.isolation, most=1)))
        return
    _output.say(f"serving {', '.join(pack.title for pack in packs)} at {address_of(listener)}{PATH}")
    toolbox = Toolbox(packs, policy, isolation=flags.isolation, most=most, idle_seconds=idle)
    names = names_of(listener, flags.allow_host or [])
    asyncio.run(serve_http(toolbox, listener, names, most=most, idle_seconds=idle))
