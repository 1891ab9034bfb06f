"""Servers for guests to talk to: each answers as it is told, honest or not, and remembers what it heard."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    Script = Callable[[socket.socket, bytes], None]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """A server on loopback that runs a script for each connection, after the head of a request has come."""

    def __init__(self, script: Script | bytes = OK, *, tls: ssl.SSLContext | None = None, reads: bool = True) -> None:
        self.script: Script = says(script) if isinstance(script, bytes) else script
        self.tls = tls
        self.reads = reads
        self.heard: list[bytes] = []
        self.closed = threading.Semaphore(0)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port: int = self.listener.getsockname()[1]
        self.authority = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.authority}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection:
            wrapped = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            with wrapped:
                request = read_request(wrapped) if self.reads else wrapped.recv(65536)
                self.heard.append(request)
                self.script(wrapped, request)
        self.closed.release()


def says(*pieces: bytes) -> Script:
    """Answer with these, whatever was asked."""

    def script(connection: socket.socket, _: bytes) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return script


def read_request(connection: socket.socket) -> bytes:
    """Read a request with its body, as far as it comes."""
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(65536)
        if not piece:
            return request
        request += piece
    head, _, body = request.partition(b"\r\n\r\n")
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        while not body.endswith(b"0\r\n\r\n") and (piece := connection.recv(65536)):
            body += piece
    elif b"content-length: " in lower:
        length = int(lower.partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length and (piece := connection.recv(65536)):
            body += piece
    return head + b"\r\n\r\n" + body


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Write an honest answer."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def echo(connection: socket.socket, request: bytes) -> None:
    """Answer with the request itself."""
    connection.sendall(answer(request))
