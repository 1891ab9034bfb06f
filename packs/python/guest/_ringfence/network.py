# ruff: noqa: ARG002 - the parameters are those of a socket
"""Sockets that speak HTTP and nothing else: what is written to one is read as a request, and the host sends it.

`urllib`, `requests` and `httpx` all come down to a socket. This one reads their requests, asks the host by messages
(docs/reference/guest-abi.md), and gives its answer back as a server would write it. TLS is the host's: see ssl.py.
"""

import errno
import re
import socket
import sys

import _ringfence_host

REQUEST = re.compile(rb"([!-~]+) ([!-~]+) HTTP/1\.[01]")
MAX_HEAD_BYTES = 256 << 10
PIECE_BYTES = 256 << 10
# About a connection, of which there is none between us and the host.
DROPPED = frozenset({b"host", b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding"})
ONLY_HTTP = "only HTTP can be spoken over a socket in this sandbox"


def ask(kind, value):
    """Send a message; give its answer or raise what is usual for its error."""
    status, *answer = _ringfence_host.ask(kind, value)
    if status == 0:
        return answer[0]
    raise error(*answer)


def error(kind, message):
    """Make the exception that a socket of this machine would raise."""
    import ssl

    if kind == "not-found":
        return socket.gaierror(socket.EAI_NONAME, message)
    if kind == "no-answer":
        return socket.gaierror(socket.EAI_AGAIN, message)
    if kind == "certificate":
        return ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] {message}")
    if kind == "tls":
        return ssl.SSLError(1, f"[SSL] {message}")
    if kind in ("timeout", "connect-timeout"):
        return TimeoutError("timed out")
    codes = {
        "denied": errno.ENETUNREACH, "unreachable": errno.ENETUNREACH, "refused": errno.ECONNREFUSED,
        "limit": errno.EMFILE, "too-long": errno.EMSGSIZE, "invalid": errno.EINVAL, "incomplete": errno.ECONNRESET,
        "closed": errno.ENOTCONN,
    }  # fmt: skip
    return OSError(codes.get(kind, errno.ECONNRESET), message)


def reach(host, port):
    """See whether anything is granted there; the host notes it where nothing is."""
    try:
        ask("C", [host, port])
    except OSError:
        raise OSError(errno.ENETUNREACH, "Network is unreachable") from None


def is_address(host):
    """Tell an address from a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family
    return None


def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
    """Give a name back as its own address: only the host looks names up, when a request goes there."""
    host = host.decode("ascii") if isinstance(host, bytes) else host
    port = {"http": 80, "https": 443}.get(port, port)
    try:
        port = int(port)
        if not isinstance(host, str) or not 0 < port < 1 << 16:
            raise ValueError
        found = is_address(host)
        if found is None:
            reach(host, port)
    except (OSError, TypeError, ValueError):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution") from None
    if found is None:
        found = family or socket.AF_INET
    if (family and family != found) or type not in (0, socket.SOCK_STREAM):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    place = (host, port) if found == socket.AF_INET else (host, port, 0, 0)
    return [(int(found), int(socket.SOCK_STREAM), int(socket.IPPROTO_TCP), "", place)]


class Request:
    """The bytes of one request, until they are whole."""

    def __init__(self):
        self.bytes = bytearray()
        self.method = None
        self.body = bytearray()
        self.headers = []
        self.missing = 0

    def feed(self, data):
        """Take more; tell whether it is whole."""
        self.bytes += data
        if self.method is None:
            if not self.bytes[:1].isalpha():
                raise OSError(errno.EPROTONOSUPPORT, ONLY_HTTP)
            end = self.bytes.find(b"\r\n\r\n")
            if end < 0:
                if len(self.bytes) > MAX_HEAD_BYTES:
                    raise OSError(errno.EMSGSIZE, "the head of the request does not end")
                return False
            self.head(bytes(self.bytes[:end]).split(b"\r\n"))
            del self.bytes[: end + 4]
        if self.missing is None:
            whole = self.chunks()
        else:
            taken = self.bytes[: self.missing]
            self.body += taken
            self.missing -= len(taken)
            del self.bytes[: len(taken)]
            whole = self.missing == 0
        if whole and self.bytes:
            raise OSError(errno.EPROTO, "more was sent than one request")
        return whole

    def head(self, lines):
        """Read the first line and the headers."""
        first = REQUEST.fullmatch(lines[0])
        if not first:
            raise OSError(errno.EPROTONOSUPPORT, ONLY_HTTP)
        self.method, self.target = first[1].decode(), first[2].decode()
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                raise OSError(errno.EINVAL, "a header of the request is malformed")
            value, key = value.strip(), name.lower()
            if key == b"content-length":
                if not value.isdigit():
                    raise OSError(errno.EINVAL, "a header of the request is malformed")
                self.missing = int(value)
            if key not in DROPPED:
                self.headers.append([name.decode("latin-1"), value])
            elif key == b"transfer-encoding":
                if value.lower() != b"chunked":
                    raise OSError(errno.EINVAL, "a transfer coding other than `chunked`")
                self.missing = None

    def chunks(self):
        """Take whole chunks; tell whether the last was among them."""
        while True:
            end = self.bytes.find(b"\r\n")
            if end < 0:
                return False
            size = int(self.bytes[:end].partition(b";")[0], 16)
            if len(self.bytes) < end + 4 + size:
                return False
            self.body += self.bytes[end + 2 : end + 2 + size]
            del self.bytes[: end + 4 + size]
            if not size:
                return True


class Socket(socket.socket):
    """A connection of TCP to a server of HTTP, as far as its user can tell."""

    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        if fileno is not None or type not in (-1, socket.SOCK_STREAM):
            super().__init__(family, type, proto, fileno)
            return
        self._io_refs, self._closed = 0, False
        self._family = socket.AF_INET if family == -1 else family
        self._patience = socket.getdefaulttimeout()
        self._place, self._tls = None, False
        self._request, self._number, self._ready = Request(), None, None
        self._failed = None

    family = property(lambda self: self._family)
    type = property(lambda _: socket.SOCK_STREAM)
    proto = property(lambda _: socket.IPPROTO_TCP)
    timeout = property(lambda self: self._patience)

    def settimeout(self, value):
        self._patience = value

    def gettimeout(self):
        return self._patience

    def setblocking(self, flag):
        self._patience = None if flag else 0.0

    def getblocking(self):
        return self._patience != 0

    def setsockopt(self, *_):
        """Take any option: there is nothing that it could change."""

    def getsockopt(self, *_):
        return 0

    def connect(self, address):
        if self._patience == 0:
            raise OSError(errno.ENOTSUP, "sockets in this sandbox block")
        host, port = address[:2]
        reach(host, port)
        self._place = host, port

    def connect_ex(self, address):
        try:
            self.connect(address)
        except OSError as failed:
            return failed.errno
        return 0

    def getpeername(self):
        if self._place is None:
            raise OSError(errno.ENOTCONN, "Socket is not connected")
        return self._place

    def getsockname(self):
        return ("127.0.0.1", 0)

    def send(self, data, flags=0):
        with memoryview(data) as view:
            self._send(bytes(view), sys._getframe(1))
            return view.nbytes

    def sendall(self, data, flags=0):
        with memoryview(data) as view:
            self._send(bytes(view), sys._getframe(1))

    def _send(self, data, caller):
        if self._place is None or self._number is not None or self._failed:
            raise self._failed or BrokenPipeError(errno.EPIPE, "Broken pipe")
        try:
            if self._request.feed(data):
                self._open()
        except OSError as failed:
            # httpx looks for an answer when a request cannot be sent; without a connection there is none.
            if caller.f_globals.get("__name__") == "httpcore._backends.sync":
                import httpcore

                kind = httpcore.ConnectTimeout if isinstance(failed, TimeoutError) else httpcore.ConnectError
                raise kind(failed) from failed
            self._failed = failed
            raise

    def _open(self):
        host, port = self._place
        authority = f"[{host}]" if ":" in host else host
        scheme = "https" if self._tls else "http"
        if port != (443 if self._tls else 80):
            authority = f"{authority}:{port}"
        request, self._request = self._request, None
        self._number = ask(
            "H",
            {
                "method": request.method,
                "url": f"{scheme}://{authority}{request.target}",
                "headers": request.headers,
                "body": bytes(request.body),
                "timeout": self._patience,
            },
        )

    def recv(self, count, flags=0):
        if self._failed:
            raise self._failed
        if self._number is None:
            raise OSError(errno.EPROTONOSUPPORT, ONLY_HTTP)
        if self._ready is None and not self._head():
            return b""
        if not self._ready:
            if self._number == 0:
                return b""
            self._ready = ask("B", [self._number, PIECE_BYTES, self._patience])
            if not self._ready:
                self._number = 0
        piece = self._ready[:count]
        if not flags & socket.MSG_PEEK:
            self._ready = self._ready[count:]
        return bytes(piece)

    def _head(self):
        from http import HTTPStatus

        status, *answer = _ringfence_host.ask("A", [self._number, self._patience])
        if status:
            self._number = 0
            self._ready = b""
            if answer[0] == "incomplete":
                return False
            raise error(*answer)
        head = answer[0]
        try:
            reason = HTTPStatus(head["status"]).phrase
        except ValueError:
            reason = ""
        lines = [f"HTTP/1.1 {head['status']} {reason}".encode()]
        lines += [name.encode("latin-1") + b": " + value for name, value in head["headers"]]
        self._ready = memoryview(b"\r\n".join([*lines, b"Connection: close", b"", b""]))
        return True

    def recv_into(self, buffer, nbytes=0, flags=0):
        with memoryview(buffer) as view, view.cast("B") as into:
            piece = self.recv(nbytes or len(into), flags)
            into[: len(piece)] = piece
        return len(piece)

    def shutdown(self, how):
        """Do nothing: a request says by itself where it ends."""

    def _real_close(self, *_):
        number, self._number = getattr(self, "_number", None), 0
        if number:
            _ringfence_host.ask("X", [number, None])

    def __del__(self):
        if sys is not None and not sys.is_finalizing():
            self._real_close()

    def detach(self):
        return -1


Socket.__name__ = Socket.__qualname__ = "socket"
Socket.__module__ = "socket"


def install():
    """Put it in the place of the sockets of WASI 0.1, which cannot be made."""
    import _socket

    _socket.getaddrinfo = getaddrinfo
    socket.socket = socket.SocketType = Socket
