"""Servers on loopback that a guest talks to: helpful, silent, slow, or full."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Talk(Protocol):
    """What a server does with one connection."""

    def __call__(self, connection: socket.socket, /) -> None:
        """Talk until it is over."""


class Peer:
    """A TCP server, with what it saw."""

    def __init__(self, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.connections = 0
        self.received = 0
        self.ended = 0

    def wait_until(self, done: Callable[[Peer], bool]) -> bool:
        """Give the other end a moment to see what has happened."""
        until = time.monotonic() + 5
        while not done(self) and time.monotonic() < until:
            time.sleep(0.01)
        return done(self)


def echo(connection: socket.socket) -> None:
    """Send back what comes."""
    while data := connection.recv(65536):
        connection.sendall(data)


def silent(connection: socket.socket) -> None:
    """Say nothing until the guest is gone."""
    while connection.recv(65536):
        pass


def deaf(connection: socket.socket) -> None:
    """Take nothing until the guest is gone."""
    gone = select.poll()
    gone.register(connection, select.POLLRDHUP)
    gone.poll(5000)


def drip(connection: socket.socket) -> None:
    """Say one byte every 20 ms."""
    while True:
        connection.sendall(b".")
        time.sleep(0.02)


def flood(connection: socket.socket) -> None:
    """Send without end."""
    while True:
        connection.sendall(bytes(65536))


@contextlib.contextmanager
def serving(talk: Talk) -> Iterator[Peer]:
    """Serve TCP on a free port of loopback."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    peer = Peer(listener)
    talks: list[threading.Thread] = []

    class Counted(socket.socket):
        def recv(self, *args: int) -> bytes:
            data = super().recv(*args)
            peer.received += len(data)
            return data

    def one(connection: socket.socket) -> None:
        counted = Counted(fileno=connection.detach())
        with contextlib.suppress(OSError), counted:
            talk(counted)
        peer.ended += 1

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                peer.connections += 1
                talks.append(threading.Thread(target=one, args=(connection,), daemon=True))
                talks[-1].start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield peer
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for running in (thread, *talks):
            running.join()


@contextlib.contextmanager
def full() -> Iterator[Peer]:
    """Listen and never accept, with a queue that is full: a connection to it hangs half open."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as waiting:
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield Peer(listener)


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket, bytes, tuple[str, int]], None]) -> Iterator[int]:
    """Serve UDP on a free port of loopback; give the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    data, sender = server.recvfrom(65536)
                    if data == b"stop serving":
                        return
                    answer(server, data, sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.sendto(b"stop serving", server.getsockname())
        thread.join()
