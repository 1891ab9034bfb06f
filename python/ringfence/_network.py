"""What a guest may reach over the network: `Net`, and what it may send there without seeing it: `Secret`."""

from __future__ import annotations

from ._value import Value
from .errors import PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Net(Value):
    """
    What a guest may reach over the network, and only outwards.

    A name is resolved once a run, by the host. An address that is not public (loopback, private, link-local, …) is
    refused even behind a granted name, unless it is granted as an address itself.

    Attributes:
        tcp: hosts and ports: "db.example.com:5432", "*.example.com:443", "10.0.0.0/8:8000-8100",
            "[2001:db8::1]:443", "1.1.1.1:*".
        udp: the same for UDP.
        http: requests by `wasi:http`, as methods and a URL: "GET,POST https://api.example.com/v1/*". Without methods
            GET and HEAD, without a path the whole origin; "*" stands for all methods.
    """

    __slots__ = ("tcp", "udp", "http")
    tcp: tuple[str, ...]
    udp: tuple[str, ...]
    http: tuple[str, ...]

    def __init__(self, *, tcp: Iterable[str] = (), udp: Iterable[str] = (), http: Iterable[str] = ()) -> None:
        self._fill(tcp=_texts("tcp", tcp), udp=_texts("udp", udp), http=_texts("http", http))

    def _given(self) -> dict[str, object]:
        return {name: grants for name, grants in self._fields().items() if grants}


class Secret(Value):
    """
    A value of our environment that a guest may send to one origin, in one header, without seeing it.

    The guest finds a placeholder in the variable `name`, another one in every run. Where it stands in `header` of a
    request over https to `origin`, the value is put; everywhere else it stays what it is. The policy holds the name
    of the variable, never the value.

    Attributes:
        name: the variable in which the guest finds the placeholder.
        env: the variable of our environment that holds the value, read when a run starts.
        origin: where it may be sent: "https://api.example.com". A grant in `Net.http` has to reach it.
        header: the header that may carry it.
    """

    __slots__ = ("name", "env", "origin", "header")
    name: str
    env: str
    origin: str
    header: str

    def __init__(self, name: str, *, env: str, origin: str, header: str = "authorization") -> None:
        self._fill(name=name, env=env, origin=origin, header=header)


def _texts(name: str, entries: Iterable[str]) -> tuple[str, ...]:
    if isinstance(entries, str):
        raise PolicyError(
            f"{entries!r} is not a list of grants", "it is one text", f"write `Net({name}=[{entries!r}])`"
        )
    return tuple(entries)
