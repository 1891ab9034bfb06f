"""`ringfence mcp`: a real process, and the SDK's own client."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mcp import StdioServerParameters

    from conftest import Command

for pack in ("ringfence_language_javascript", "ringfence_language_python"):
    pytest.importorskip(pack, reason="the language packs are not installed")

PROTOCOLS = ["auto", "legacy"]  # since 2026-07-28 each request stands alone, before that there were connections


async def value(client: Client, code: str, tool: str = "run_python", **more: str) -> Any:
    """Call a tool and give the value."""
    answer = await client.call_tool(tool, {"code": code, **more})
    assert answer.structured_content is not None, answer
    return answer.structured_content["value"]


@pytest.mark.parametrize("mode", PROTOCOLS)
def test_state_stays_between_calls_and_languages_are_apart(
    agent_server: Callable[..., StdioServerParameters], mode: str
) -> None:
    """Each language is a tool, and `reset` is one."""

    async def main() -> None:
        async with Client(agent_server(), mode=mode) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert {"run_python", "run_javascript", "reset"} <= tools
            assert 2 == await value(client, "x = 1\nx + 1")
            assert "undefined" == await value(client, "typeof x", "run_javascript")
            assert 1 == await value(client, "x")
            await client.call_tool("reset", {})
            assert not await value(client, "'x' in globals()")

    asyncio.run(main())


def test_policy_is_that_of_the_flags(agent_server: Callable[..., StdioServerParameters], tmp_path: Path) -> None:
    """The same words as for `ringfence run`, from a file too."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "note.txt").write_text("granted", encoding="utf-8")
    (tmp_path / "policy.toml").write_text('env = { WHO = "agent" }\n', encoding="utf-8")
    flags = ("--policy", tmp_path / "policy.toml", "--dir", f"{tmp_path}/data:/data", "--language", "python")

    async def main() -> None:
        async with Client(agent_server(*flags)) as client:
            [run, reset] = (await client.list_tools()).tools
            assert ("run_python", "reset") == (run.name, reset.name)
            assert "Files: /data (read only)." in (run.description or "")
            assert "granted" == await value(client, "open('/data/note.txt').read()")
            assert "agent" == await value(client, "import os; os.environ['WHO']")
            assert await value(client, "open('/data/new', 'w')") is None

    asyncio.run(main())
    assert ["note.txt"] == [path.name for path in (tmp_path / "data").iterdir()]


def test_standard_output_is_the_protocols_alone(compiled: Path) -> None:
    """Whatever the code prints; and the server ends with its input."""
    assert compiled.is_dir()
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    call = {"name": "run_python", "arguments": {"code": "import os; print('loud', flush=True); os.write(1, b'raw')"}}
    sent: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
    ]
    words = [sys.executable, "-m", "ringfence", "mcp"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.writelines(f"{json.dumps(message)}\n" for message in sent)
        running.stdin.flush()
        answers = [json.loads(running.stdout.readline()) for _ in range(2)]
        running.stdin.close()
        assert "" == running.stdout.read()
        assert 0 == running.wait()

    assert [1, 2] == [answer["id"] for answer in answers]
    assert "loud\nraw" == answers[1]["result"]["structuredContent"]["stdout"]


def test_clients_over_http_have_sessions_of_their_own(agent_url: Callable[..., str]) -> None:
    """By their connection, or by what the first answer told them."""
    url = agent_url("--language", "python")

    async def main() -> None:
        async with Client(url) as loose, Client(url, mode="legacy") as ours, Client(url, mode="legacy") as theirs:
            first = (await loose.call_tool("run_python", {"code": "x = 'loose'"})).structured_content
            assert first is not None
            await value(ours, "x = 'ours'")
            assert not await value(theirs, "'x' in globals()")
            assert not await value(loose, "'x' in globals()")
            assert "loose" == await value(loose, "x", session=first["session"])
            assert "ours" == await value(ours, "x")
            await loose.call_tool("reset", {"session": first["session"]})
            assert not await value(loose, "'x' in globals()", session=first["session"])

    asyncio.run(main())


def test_session_ends_with_its_connection(agent_url: Callable[..., str]) -> None:
    """Where there is room for one, the next finds it free."""
    url = agent_url("--language", "javascript", "--sessions", "1")

    async def main() -> None:
        for _ in range(3):
            async with Client(url, mode="legacy") as client:
                assert 1 == await value(client, "globalThis.x = (globalThis.x ?? 0) + 1", "run_javascript")

    asyncio.run(main())


@pytest.mark.parametrize(("name", "code"), [("127.0.0.1", 400), ("sandbox.example", 400), ("evil.example", 421)])
def test_server_answers_to_the_names_it_was_given(agent_url: Callable[..., str], name: str, code: int) -> None:
    """400 is for an empty request, 421 for a name that somebody else led here."""
    url = agent_url("--language", "javascript", "--host", "0.0.0.0", "--allow-host", "sandbox.example")  # noqa: S104
    port = url.split(":")[2].split("/")[0]
    connection = http.client.HTTPConnection("127.0.0.1", int(port))
    headers = {"Host": f"{name}:{port}", "Accept": "application/json, text/event-stream"}
    connection.request("POST", "/mcp", b"{}", {**headers, "Content-Type": "application/json"})
    answer = connection.getresponse()
    connection.close()

    assert code == answer.status


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--host", "192.0.2.1", "--port", "0"], "`--host 192.0.2.1` listens beyond this machine"),
        (["--host", "127.0.0.1"], "nothing listens without a port: "),
        (["--idle", "5s"], "nothing listens without a port: "),
        (["--port", "http"], "`http` is no number"),
        (["--port", "99999"], "cannot listen at 127.0.0.1 port 99999"),
        (["--sessions", "2"], "nothing listens without a port: "),
        (["--sessions", "0", "--port", "0"], "`0` is no number"),
        (["--language", "cobol"], "cobol"),
        (["--wall", "soon"], "wall"),
    ],
)
def test_wrong_flag_says_what_is_wrong(ringfence: Command, flags: list[str], says: str) -> None:
    """Before anything listens or is compiled."""
    ended = ringfence("mcp", *flags)

    assert "" == ended.stdout
    assert ended.exit_code in {2, 125}
    assert says.removesuffix(": ") in ended.stderr
    assert "hint: " in ended.stderr


def test_missing_sdk_names_the_command(ringfence: Command, tmp_path: Path) -> None:
    """It is an extra: most who use Ringfence need no server."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mcp.py").write_text("raise ImportError('No module named mcp')\n", encoding="utf-8")
    ended = ringfence("mcp", env={"PYTHONPATH": str(tmp_path / "site")})

    assert (125, "") == (ended.exit_code, ended.stdout)
    assert "hint: install it: `pip install 'ringfence[mcp]'`" in ended.stderr
