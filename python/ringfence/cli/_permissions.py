"""Imports in plain words: what a program that has them is able to ask for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ringfence._program import Program

_WASI_01 = ("wasi_snapshot_preview1", "wasi_unstable")

# From the beginning of an import, WASI 0.1 function or later interface, to what it lets a program do.
_WORDS = {
    "path_": "open and change files",
    "fd_prestat": "open and change files",
    "fd_readdir": "open and change files",
    "fd_": "read and write its open files and streams",
    "args_": "read its arguments",
    "environ_": "read its variables",
    "clock_": "tell the time",
    "random_": "draw random numbers",
    "poll_": "wait",
    "sched_": "wait",
    "proc_": "exit",
    "sock_": "use sockets",
    "wasi:filesystem/": "open and change files",
    "wasi:cli/environment": "read its arguments and variables",
    "wasi:cli/exit": "exit",
    "wasi:cli/terminal": "ask whether it talks to a terminal",
    "wasi:cli/": "read and write its streams",
    "wasi:io/poll": "wait",
    "wasi:io/": "read and write its open files and streams",
    "wasi:clocks/": "tell the time",
    "wasi:random/": "draw random numbers",
    "wasi:sockets/": "use sockets",
    "wasi:http/": "send HTTP requests",
}
_UNKNOWN = "something nobody provides"

# What grants it; an empty text where every policy does, None where no policy can.
_GRANTS: dict[str, str | None] = {
    "open and change files": '# it sees no files unless granted:\n# [[dirs]]\n# host = "data"\n# at = "/data"',
    "read its variables": '# it sees no variables unless set or handed on:\n# env = { NAME = "value" }',
    "read its arguments and variables": '# it sees no variables unless set or handed on:\n# env = { NAME = "value" }',
    "tell the time": '# its clocks are coarse unless granted:\n# clock = "precise"',
    "draw random numbers": "# its random numbers are real unless seeded:\n# random = 42",
    "use sockets": '# it reaches nobody unless granted:\n# net.tcp = ["db.example.com:5432"]',
    "send HTTP requests": '# it sends no requests unless granted:\n# net.http = ["GET https://api.example.com/v1/*"]',
}


def permissions(program: Program) -> dict[str, list[str]]:
    """Group what it imports by what that lets it do."""
    grouped: dict[str, list[str]] = {}
    for wanted in program.imports:
        # A component's imports are interfaces, which stand in no module; a module's are told by their level already.
        in_module = wanted.module and wanted.module not in _WASI_01
        name = f"{wanted.module}.{wanted.name}" if in_module else wanted.name
        words = next((words for start, words in _WORDS.items() if name.startswith(start)), _UNKNOWN)
        grouped.setdefault(words if wanted.known else _UNKNOWN, []).append(name)
    return dict(sorted(grouped.items()))


def least_policy(program: Program) -> str:
    """Write the least policy file it runs under, with what it could be granted as comments."""
    lines = ['wasi = "0.3"'] if program.wasi == "0.3" else []
    lines += dict.fromkeys(grant for words in permissions(program) if (grant := _GRANTS.get(words)))
    return "\n".join(lines or ["# nothing to grant: it asks for nothing"])
