"""A component that sends requests by `wasi:http` 0.2 as it is told, and prints what came of each."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from security.guest import escaped

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
SCHEMES = ("http", "https")
ERRORS = """
DNS-timeout DNS-error destination-not-found destination-unavailable destination-IP-prohibited
destination-IP-unroutable connection-refused connection-terminated connection-timeout
connection-read-timeout connection-write-timeout connection-limit-reached TLS-protocol-error
TLS-certificate-error TLS-alert-received HTTP-request-denied HTTP-request-length-required
HTTP-request-body-size HTTP-request-method-invalid HTTP-request-URI-invalid HTTP-request-URI-too-long
HTTP-request-header-section-size HTTP-request-header-size HTTP-request-trailer-section-size
HTTP-request-trailer-size HTTP-response-incomplete HTTP-response-header-section-size
HTTP-response-header-size HTTP-response-body-size HTTP-response-trailer-section-size
HTTP-response-trailer-size HTTP-response-transfer-coding HTTP-response-content-coding
HTTP-response-timeout HTTP-upgrade-failed HTTP-protocol-error loop-detected configuration-error
internal-error
""".split()  # noqa: SIM905 - a list of names
HEADER_ERRORS = ("invalid-syntax", "forbidden", "immutable")

# Stands in a text for what the guest finds in its one variable; as long as a placeholder.
PLACEHOLDER = "{" + "P" * 52 + "}"
HOLDS = ("", "sent", "unsent")
NONE = 0xFFFFFFFF
REQUESTS_AT = 65536


@dataclass(frozen=True)
class Request:
    """One request, and how patient the guest is with it."""

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str | bytes], ...] = ()
    body: bytes | None = None
    """Written after the request was handed over."""
    authority: str | None = None
    """Instead of the one in the URL."""
    path: str | None = None
    """Instead of the one in the URL."""
    connect_seconds: float | None = None
    first_byte_seconds: float | None = None
    between_bytes_seconds: float | None = None
    hold: str = ""
    """ "unsent": make it, and keep it; "sent": leave it under way, and go on."""
    times: int = 1


@dataclass
class Answer:
    """What came of one request."""

    status: int | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    body: bytes = b""
    trailers: list[tuple[str, bytes]] = field(default_factory=list)
    error: str | None = None
    """The error code, "header: …" for a header that was not taken, or "unset" for a part of the URL."""


def answers(stdout: bytes) -> list[Answer]:  # noqa: C901 - one branch a mark
    """Read what the guest printed."""
    found = []
    for text in stdout.split(b"\1BEGIN\1")[1:]:
        answer = Answer()
        for kind, rest in re.findall(rb"\x01([A-Z])\x01([^\x01]*)", text):
            if kind == b"S":
                answer.status = int(rest)
            elif kind == b"B":
                answer.body += rest
            elif kind == b"N":
                answer.headers.append((rest.decode(), b""))
            elif kind == b"V":
                answer.headers[-1] = (answer.headers[-1][0], rest)
            elif kind == b"T":
                answer.trailers, answer.headers = answer.headers, answer.trailers
            elif kind == b"U":
                answer.error = "unset"
            elif kind == b"H":
                answer.error = f"header: {HEADER_ERRORS[int(rest)]}"
            elif kind == b"E":
                answer.error = ERRORS[int(rest)]
        if answer.trailers:
            answer.trailers, answer.headers = answer.headers, answer.trailers
        found.append(answer)
    return found


def http_guest(*requests: Request) -> bytes:
    """Write a component that makes these requests one after the other."""
    data = bytearray()
    gaps: list[int] = []

    def put(text: bytes) -> tuple[int, int]:
        at = REQUESTS_AT + len(data)
        start = 0
        while (found := text.find(PLACEHOLDER.encode(), start)) >= 0:
            gaps.append(at + found)
            start = found + 1
        data.extend(text)
        data.extend(b"\0" * (-len(data) % 8))
        return at, len(text)

    records = []
    for request in requests:
        scheme, _, rest = request.url.partition("://")
        authority, slash, path = rest.partition("/")
        authority = request.authority if request.authority is not None else authority
        path = request.path if request.path is not None else slash + path
        pairs = [
            (*put(name.encode()), *put(value if isinstance(value, bytes) else value.encode()))
            for name, value in request.headers
        ]
        headers, _ = put(b"".join(struct.pack("<4I", *pair) for pair in pairs))
        method = METHODS.index(request.method) if request.method in METHODS else len(METHODS)
        kind = SCHEMES.index(scheme) if scheme in SCHEMES else len(SCHEMES)
        body = (0, NONE) if request.body is None else put(request.body)
        patience = [
            (1, round(seconds * 1e9)) if seconds is not None else (0, 0)
            for seconds in (request.connect_seconds, request.first_byte_seconds, request.between_bytes_seconds)
        ]
        words = struct.pack(
            "<16I",
            *(method, *put(request.method.encode())),
            *(kind, *put(scheme.encode())),
            *put(authority.encode()),
            *put(path.encode()),
            *(headers, len(pairs)),
            *body,
            *(HOLDS.index(request.hold), request.times),
        )
        records.append(words + b"".join(struct.pack("<QQ", *one) for one in patience))
    first, _ = put(b"".join(records))
    marks, _ = put(b"".join(struct.pack("<I", gap) for gap in gaps))
    pages = 2 + (REQUESTS_AT + len(data)) // 65536 + 1
    names = {
        "DATA": f'(data (i32.const {REQUESTS_AT}) "{escaped(bytes(data))}")',
        "PAGES": str(pages),
        "HEAP": str((pages - 1) * 65536),
        "FIRST": str(first),
        "COUNT": str(len(requests)),
        "GAPS": str(marks),
        "GAP_COUNT": str(len(gaps)),
    }
    return re.sub(r"@([A-Z_]+)@", lambda found: names[found[1]], COMPONENT).encode()


def _functions() -> list[tuple[str, str, str, str]]:
    """Every function the guest calls: its instance, its name, its type, and its core type."""
    code = "$error-code"
    answer = f"(result (option (result (result (own $incoming-response) (error {code})))))"
    trailers = f"(result (option (result (result (option (own $fields)) (error {code})))))"
    return [
        ("$types", "[constructor]fields", "(result (own $fields))", "(result i32)"),
        (
            "$types",
            "[method]fields.append",
            (
                '(param "self" (borrow $fields)) (param "name" string) (param "value" (list u8))'
                " (result (result (error $header-error)))"
            ),
            "(param i32 i32 i32 i32 i32 i32)",
        ),
        (
            "$types",
            "[method]fields.entries",
            '(param "self" (borrow $fields)) (result (list (tuple string (list u8))))',
            "(param i32 i32)",
        ),
        (
            "$types",
            "[constructor]outgoing-request",
            '(param "headers" (own $fields)) (result (own $outgoing-request))',
            "(param i32) (result i32)",
        ),
        (
            "$types",
            "[method]outgoing-request.set-method",
            '(param "self" (borrow $outgoing-request)) (param "method" $method) (result (result))',
            "(param i32 i32 i32 i32) (result i32)",
        ),
        (
            "$types",
            "[method]outgoing-request.set-scheme",
            '(param "self" (borrow $outgoing-request)) (param "scheme" (option $scheme)) (result (result))',
            "(param i32 i32 i32 i32 i32) (result i32)",
        ),
        *(
            (
                "$types",
                f"[method]outgoing-request.set-{name}",
                f'(param "self" (borrow $outgoing-request)) (param "{name}" (option string)) (result (result))',
                "(param i32 i32 i32 i32) (result i32)",
            )
            for name in ("authority", "path-with-query")
        ),
        (
            "$types",
            "[method]outgoing-request.body",
            '(param "self" (borrow $outgoing-request)) (result (result (own $outgoing-body)))',
            "(param i32 i32)",
        ),
        (
            "$types",
            "[method]outgoing-body.write",
            '(param "self" (borrow $outgoing-body)) (result (result (own $output-stream)))',
            "(param i32 i32)",
        ),
        (
            "$types",
            "[static]outgoing-body.finish",
            (
                f'(param "this" (own $outgoing-body)) (param "trailers" (option (own $fields)))'
                f" (result (result (error {code})))"
            ),
            "(param i32 i32 i32 i32)",
        ),
        ("$types", "[constructor]request-options", "(result (own $request-options))", "(result i32)"),
        *(
            (
                "$types",
                f"[method]request-options.set-{name}-timeout",
                '(param "self" (borrow $request-options)) (param "duration" (option u64)) (result (result))',
                "(param i32 i32 i64) (result i32)",
            )
            for name in ("connect", "first-byte", "between-bytes")
        ),
        (
            "$types",
            "[method]future-incoming-response.subscribe",
            '(param "self" (borrow $future-incoming-response)) (result (own $pollable))',
            "(param i32) (result i32)",
        ),
        (
            "$types",
            "[method]future-incoming-response.get",
            f'(param "self" (borrow $future-incoming-response)) {answer}',
            "(param i32 i32)",
        ),
        (
            "$types",
            "[method]incoming-response.status",
            '(param "self" (borrow $incoming-response)) (result u16)',
            "(param i32) (result i32)",
        ),
        (
            "$types",
            "[method]incoming-response.headers",
            '(param "self" (borrow $incoming-response)) (result (own $fields))',
            "(param i32) (result i32)",
        ),
        (
            "$types",
            "[method]incoming-response.consume",
            '(param "self" (borrow $incoming-response)) (result (result (own $incoming-body)))',
            "(param i32 i32)",
        ),
        (
            "$types",
            "[method]incoming-body.stream",
            '(param "self" (borrow $incoming-body)) (result (result (own $input-stream)))',
            "(param i32 i32)",
        ),
        (
            "$types",
            "[static]incoming-body.finish",
            '(param "this" (own $incoming-body)) (result (own $future-trailers))',
            "(param i32) (result i32)",
        ),
        (
            "$types",
            "[method]future-trailers.subscribe",
            '(param "self" (borrow $future-trailers)) (result (own $pollable))',
            "(param i32) (result i32)",
        ),
        (
            "$types",
            "[method]future-trailers.get",
            f'(param "self" (borrow $future-trailers)) {trailers}',
            "(param i32 i32)",
        ),
        ("$types", "http-error-code", f'(param "err" (borrow $error)) (result (option {code}))', "(param i32 i32)"),
    ]


OTHERS = [
    ("$handler", "handle", "(param i32 i32 i32 i32)"),
    ("$streams", "[method]input-stream.blocking-read", "(param i32 i64 i32)"),
    ("$streams", "[method]output-stream.blocking-write-and-flush", "(param i32 i32 i32 i32)"),
    ("$poll", "[method]pollable.block", "(param i32)"),
    ("$environment", "get-environment", "(param i32)"),
    ("$stdout", "get-stdout", "(result i32)"),
]
DROPPED = ("fields", "incoming-response", "future-incoming-response", "input-stream", "output-stream", "pollable")

ERROR_CODE = "\n".join(
    f'(case "{name}"{payload})'
    for name, payload in (
        (
            name,
            {
                "DNS-error": " $DNS-error-payload",
                "TLS-alert-received": " $TLS-alert-received-payload",
                "HTTP-request-body-size": " (option u64)",
                "HTTP-response-body-size": " (option u64)",
                "HTTP-request-header-section-size": " (option u32)",
                "HTTP-request-trailer-section-size": " (option u32)",
                "HTTP-response-header-section-size": " (option u32)",
                "HTTP-response-trailer-section-size": " (option u32)",
                "HTTP-request-header-size": " (option $field-size-payload)",
                "HTTP-request-trailer-size": " $field-size-payload",
                "HTTP-response-header-size": " $field-size-payload",
                "HTTP-response-trailer-size": " $field-size-payload",
                "HTTP-response-transfer-coding": " (option string)",
                "HTTP-response-content-coding": " (option string)",
                "internal-error": " (option string)",
            }.get(name, ""),
        )
        for name in ERRORS
    )
)


def _id(name: str) -> str:
    """Make an identifier of a name."""
    return name.replace("[constructor]", "new-").replace("[method]", "").replace("[static]", "")


def _resources(*names: str) -> str:
    return "\n".join(f'(export "{name}" (type ${name} (sub resource)))' for name in names)


def _named(name: str, kind: str) -> str:
    return f'(type ${name}-is {kind})\n(export "{name}" (type ${name} (eq ${name}-is)))'


def _outer(*names: str) -> str:
    return "\n".join(f"(alias outer 1 ${name} (type ${name}))" for name in names)


def _aliases(instance: str, *names: str) -> str:
    return "\n".join(f'(alias export {instance} "{name}" (type ${name}))' for name in names)


def _lowered() -> str:
    lines = []
    everything = [(instance, name) for instance, name, _, _ in _functions()]
    everything += [(instance, name) for instance, name, _ in OTHERS]
    for instance, name in everything:
        lines.append(f'(alias export {instance} "{name}" (func ${_id(name)}))')
        lowered = f"(canon lower (func ${_id(name)}) (memory $memory) (realloc (func $realloc)))"
        lines.append(f"(core func ${_id(name)}-core {lowered})")
    lines += [f"(core func $drop-{name} (canon resource.drop ${name}))" for name in DROPPED]
    exports = [f'(export "{name}" (func ${_id(name)}-core))' for _, name in everything]
    exports += [f'(export "drop-{name}" (func $drop-{name}))' for name in DROPPED]
    lines.append("(core instance $host " + "\n".join(exports) + ")")
    return "\n".join(lines)


def _imports() -> str:
    lines = [(name, core) for _, name, _, core in _functions()] + [(name, core) for _, name, core in OTHERS]
    lines += [(f"drop-{name}", "(param i32)") for name in DROPPED]
    return "\n".join(f'(import "host" "{name}" (func ${_id(name)} {core}))' for name, core in lines)


_STREAM_ERROR = _named("stream-error", '(variant (case "last-operation-failed" (own $error)) (case "closed"))')
_TYPE_EXPORTS = "\n".join(f'(export "{name}" (func {kind}))' for _, name, kind, _ in _functions())

_HEADER_ERROR = _named("header-error", "(variant " + " ".join(f'(case "{name}")' for name in HEADER_ERRORS) + ")")
# What WASI 0.2 and 0.3 have in common.
SHARED_TYPES = "\n".join(
    (
        _named("scheme", '(variant (case "HTTP") (case "HTTPS") (case "other" string))'),
        _named("DNS-error-payload", '(record (field "rcode" (option string)) (field "info-code" (option u16)))'),
        _named(
            "TLS-alert-received-payload",
            '(record (field "alert-id" (option u8)) (field "alert-message" (option string)))',
        ),
        _named("field-size-payload", '(record (field "field-name" (option string)) (field "field-size" (option u32)))'),
        _named("error-code", f"(variant {ERROR_CODE})"),
    )
)
_HEAP, _MAIN = re.findall(
    r"^\(core module.*?(?=^\(core module|\Z)", Path(__file__).with_suffix(".wat").read_text(), re.DOTALL | re.MULTILINE
)
COMPONENT = f"""(component
(import "wasi:io/error@0.2.0" (instance $io-error {_resources("error")}))
{_aliases("$io-error", "error")}
(import "wasi:io/poll@0.2.0" (instance $poll {_resources("pollable")}
  (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
{_aliases("$poll", "pollable")}
(import "wasi:io/streams@0.2.0" (instance $streams
  {_outer("error")}
  {_resources("input-stream", "output-stream")}
  {_STREAM_ERROR}
  (export "[method]input-stream.blocking-read" (func (param "self" (borrow $input-stream)) (param "len" u64)
    (result (result (list u8) (error $stream-error)))))
  (export "[method]output-stream.blocking-write-and-flush" (func (param "self" (borrow $output-stream))
    (param "contents" (list u8)) (result (result (error $stream-error)))))))
{_aliases("$streams", "input-stream", "output-stream")}
(import "wasi:cli/environment@0.2.0" (instance $environment
  (export "get-environment" (func (result (list (tuple string string)))))))
(import "wasi:cli/stdout@0.2.0" (instance $stdout
  {_outer("output-stream")}
  (export "get-stdout" (func (result (own $output-stream))))))
(import "wasi:http/types@0.2.0" (instance $types
  {_outer("error", "pollable", "input-stream", "output-stream")}
  {_resources("fields", "outgoing-request", "outgoing-body", "request-options", "future-incoming-response")}
  {_resources("incoming-response", "incoming-body", "future-trailers")}
  {_named("method", "(variant " + " ".join(f'(case "{name.lower()}")' for name in METHODS) + ' (case "other" string))')}
  {_HEADER_ERROR}
  {SHARED_TYPES}
  {_TYPE_EXPORTS}))
{_aliases("$types", "fields", "outgoing-request", "request-options", "future-incoming-response", "incoming-response")}
{_aliases("$types", "error-code")}
(import "wasi:http/outgoing-handler@0.2.0" (instance $handler
  {_outer("outgoing-request", "request-options", "future-incoming-response", "error-code")}
  (export "handle" (func (param "request" (own $outgoing-request)) (param "options" (option (own $request-options)))
    (result (result (own $future-incoming-response) (error $error-code)))))))
{_HEAP}
(core instance $heap (instantiate $Heap))
(alias core export $heap "memory" (core memory $memory))
(alias core export $heap "realloc" (core func $realloc))
{_lowered()}
{_MAIN.replace("@IMPORTS@", _imports())}
(core instance $main (instantiate $Main (with "heap" (instance $heap)) (with "host" (instance $host))))
(func $run (result (result)) (canon lift (core func $main "run")))
(instance $cli (export "run" (func $run)))
(export "wasi:cli/run@0.2.0" (instance $cli)))
"""
