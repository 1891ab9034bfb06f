"""Where `ringfence mcp` listens, and by which names it may be called there."""

from __future__ import annotations

from ringfence.errors import HostError

from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    import socket

_LOCAL = ("127.0.0.1", "localhost", "::1")


def check_listening(arguments: argparse.Namespace) -> None:
    """Refuse what contradicts itself, and to listen to strangers by accident."""
    if arguments.port is None:
        for flag in ("host", "allow_host", "sessions", "idle"):
            if getattr(arguments, flag) is not None:
                name = f"--{flag.replace('_', '-')}"
                raise UsageError(f"`{name}` was given", "nothing listens without a port", "add `--port N`")
    elif arguments.host not in {None, *_LOCAL} and not arguments.allow_host:
        raise UsageError(
            f"`--host {arguments.host}` listens beyond this machine",
            "whoever reaches it runs code under this policy, and nobody is asked for a password",
            "say by which name clients may call it: `--allow-host NAME`, or leave `--host` out",
        )


def listen(host: str | None, port: str) -> socket.socket:
    """Listen at an address of ours; at this machine's own unless told otherwise."""
    import socket

    host = host or _LOCAL[0]
    number = to_count(port, least=0)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, number), family=family)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        fix = "take another port, or `--port 0` for a free one"
        raise HostError(f"cannot listen at {host} port {port}", why, fix) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Write where it listens as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def names_of(listener: socket.socket, allowed: list[str]) -> list[str]:
    """Give what a client may call us: this machine's own names with our port, and those that are allowed."""
    port = listener.getsockname()[1]
    local = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]
    return local + [one for name in allowed for one in ([name] if ":" in name else [name, f"{name}:{port}"])]


def to_count(text: str, least: int = 1) -> int:
    """Read a whole number."""
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise UsageError(f"`{text}` is no number", f"a whole number from {least} on is wanted", f"write `{least}`")
    return int(text)
