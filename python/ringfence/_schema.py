"""The published shape of `Result.json()`."""

from __future__ import annotations

import json

_OUTCOMES = ["exited", "trapped", "limited", "denied", "cancelled", "crashed"]
_LIMITS = ["wall", "cpu", "fuel", "memory", "output", "host_bytes", "net_bytes"]
_REFUSED = ["read", "write", "resolve", "connect", "listen", "http"]
_EXHAUSTED = ["open_files", "connections", "disk", "files", "path", "memory"]


def result_schema() -> str:
    """Write the JSON schema of a result."""
    usage = _object(
        "What the run used up.",
        wall_seconds=_of("number", "Time on the clock, waiting included."),
        cpu_seconds=_of("number", "Processor time."),
        memory_bytes=_of("integer", "Memories, tables and heaps together, at most."),
        output_bytes=_of("integer", "Standard output and standard error together."),
        fuel=_of(["integer", "null"], "Instructions; null unless the policy limits them."),
    )
    denial = _object(
        "Something the guest asked for and was refused.",
        kind={"description": "What was refused.", "enum": [*_REFUSED, *_EXHAUSTED]},
        what=_of("string", "Of what; a guest path, escaped."),
        count=_of("integer", "How often."),
        first_seconds=_of("number", "When first, in seconds from the start of the run."),
    )
    change = _object(
        "A name that is not as it was before the run.",
        path=_of("string", "Where the guest has it."),
        act={"description": "What became of it.", "enum": ["added", "modified", "deleted"]},
        kind={"description": "What it is, or was.", "enum": ["file", "dir", "link", "other"]},
        size_before=_of(["integer", "null"], "Bytes it had."),
        size=_of(["integer", "null"], "Bytes it has."),
    )
    result = _object(
        "How a run ended.",
        outcome={"description": "How it ended.", "enum": _OUTCOMES},
        ok=_of("boolean", "Whether it exited with code 0."),
        exit_code=_of(["integer", "null"], "The code it exited with; null if it did not."),
        limit={"description": "The limit that ended it, or null.", "enum": [*_LIMITS, None]},
        trap=_of(["string", "null"], "What it could not go on from, escaped."),
        backtrace=_of(["string", "null"], "Where it trapped, escaped."),
        stdout=_of("string", "Standard output; U+FFFD stands for what is not UTF-8."),
        stdout_base64=_of(["string", "null"], "Standard output exactly, where the text loses some of it."),
        stderr=_of("string", "Standard error; U+FFFD stands for what is not UTF-8."),
        stderr_base64=_of(["string", "null"], "Standard error exactly, where the text loses some of it."),
        truncated=_of("boolean", "Whether output was cut at its limit."),
        usage=usage,
        denials={"type": "array", "description": "Each thing refused, once.", "items": denial},
        changes={
            "type": ["array", "null"],
            "description": "What it changed in private layers; null where that is not known.",
            "items": change,
        },
    )
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Result", **result}
    return json.dumps(schema, indent=2)


def _of(kind: str | list[str], description: str) -> dict[str, object]:
    return {"type": kind, "description": description}


def _object(description: str, **properties: dict[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
