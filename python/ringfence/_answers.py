"""What a client of `ringfence mcp` is told of a turn: bounded, escaped, and plain JSON."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from ._turn import Turn

# Of each stream, of a traceback and of a value: about what a model can use, and no more than one is ready to pay for.
SHOWN_CHARACTERS = 32 * 1024
_SHOWN_DENIALS = 20
# Beyond it a number of JavaScript, and so of most readers of JSON, is no longer exact.
_EXACT = 1 << 53

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "ok": {"type": "boolean", "description": "whether it came to its end"},
        "outcome": {**_TEXT, "description": "returned, raised, exited, limited, trapped, denied, cancelled or crashed"},
        "value": {"description": "of a last expression"},
        "is_repr": {"type": "boolean", "description": "whether `value` is text that was printed of another type"},
        "stdout": _TEXT,
        "stderr": _TEXT,
        "error": {
            "type": ["object", "null"],
            "properties": {"type": _TEXT, "message": _TEXT, "traceback": _TEXT},
            "required": ["type", "message", "traceback"],
        },
        "exit_code": {"type": ["integer", "null"]},
        "limit": {**_TEXT_OR_NULL, "description": "the limit that was reached"},
        "denials": {
            "type": "array",
            "description": "what the policy refused",
            "items": {
                "type": "object",
                "properties": {"kind": _TEXT, "what": _TEXT, "count": {"type": "integer"}},
                "required": ["kind", "what", "count"],
            },
        },
        "truncated": {"type": "boolean", "description": "whether output was cut"},
        "lost": {"type": "boolean", "description": "whether what was defined is gone, and a new session begun"},
        "seconds": {"type": "number"},
        "session": {**_TEXT, "description": "to be given with the next call, where a connection does not say it"},
    },
    "required": ["ok", "outcome", "value", "is_repr", "stdout", "stderr", "error", "limit", "denials", "lost"],
}


def answer(turn: Turn, *, lost: bool, handle: str | None = None) -> dict[str, Any]:
    """Make the structured answer of a turn."""
    value, is_repr = _shown_value(turn)
    streams = [stream.decode("utf-8", "replace") for stream in (turn.stdout, turn.stderr)]
    error = turn.error
    made: dict[str, Any] = {
        "ok": turn.ok,
        "outcome": turn.outcome,
        "value": value,
        "is_repr": is_repr,
        "stdout": cleaned(streams[0]),
        "stderr": cleaned(streams[1]),
        "error": error and {name: cleaned(getattr(error, name)) for name in ("type", "message", "traceback")},
        "exit_code": turn.exit_code,
        "limit": turn.limit,
        "denials": [
            {"kind": denial.kind, "what": cleaned(denial.what), "count": denial.count}
            for denial in turn.denials[:_SHOWN_DENIALS]
        ],
        "truncated": turn.truncated or any(len(stream) > SHOWN_CHARACTERS for stream in streams),
        "lost": lost,
        "seconds": round(turn.usage.wall_seconds, 6),
    }
    if handle is not None:
        made["session"] = handle
    return made


def blocks(made: dict[str, Any]) -> list[str]:
    """
    Make the same as texts.

    Each is a block of its own: code that prints what looks like one of ours still cannot end its own block.
    """
    parts = [f"{name}:\n{made[name]}" for name in ("stdout", "stderr") if made[name]]
    if made["error"]:
        parts.append(f"error:\n{made['error']['traceback'] or made['error']['message']}")
    elif made["value"] is not None:
        shown = made["value"] if made["is_repr"] else json.dumps(made["value"], ensure_ascii=False)
        parts.append(f"value:\n{shown}")
    notes = list(_notes(made))
    if notes or not parts:
        parts.append("\n".join(notes or ["it ended and printed nothing"]))
    return parts


def cleaned(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    r"""
    Escape what a terminal, a log or a reader could be fooled with, keep lines and tabs, and cut.

    >>> cleaned("a\x1b[2J\n\u202eb")
    'a\\x1b[2J\n\\u202eb'
    """
    missing = len(text) - limit
    shown = "".join(
        one if one in "\n\t" or one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in text[:limit]
    )
    return f"{shown}… ({missing} more)" if missing > 0 else shown


def _notes(made: dict[str, Any]) -> list[str]:
    notes = []
    if made["limit"]:
        notes.append(f"ringfence: it reached its limit `{made['limit']}`")
    elif made["outcome"] not in {"returned", "raised"}:
        code = f" with code {made['exit_code']}" if made["exit_code"] is not None else ""
        notes.append(f"ringfence: it {'ended' if code else 'was ended'} as {made['outcome']}{code}")
    if made["truncated"]:
        notes.append("ringfence: output was cut")
    notes += [f"ringfence: the policy refused {denial['kind']} {denial['what']}" for denial in made["denials"]]
    if made["lost"]:
        notes.append("ringfence: what was defined before is gone, the next call begins anew")
    if "session" in made:
        notes.append(f"ringfence: to go on, call with session {made['session']}")
    return notes


class _NotJson(Exception):
    """A value that JSON cannot hold as it is."""


def _shown_value(turn: Turn) -> tuple[object, bool]:
    """Give the value where JSON holds it and it is not too long, else as text."""
    value = turn.value
    if turn.is_repr:
        return cleaned(value), True
    try:
        plain = _plain(value)
        if len(json.dumps(plain)) <= SHOWN_CHARACTERS:
            return plain, False
    except (_NotJson, RecursionError):
        pass
    try:
        return cleaned(repr(value)), True
    except RecursionError:
        return "…", True


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return cleaned(value, len(value))
    if isinstance(value, int) and abs(value) <= _EXACT:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {cleaned(name, len(name)): _plain(one) for name, one in value.items()}
    raise _NotJson
