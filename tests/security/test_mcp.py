"""Agents: code that a model was talked into, clients that vanish, and pages that look for a server on this machine."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client

from security import isolated
from waiting import late

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mcp import StdioServerParameters

pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")
pytestmark = pytest.mark.usefixtures("isolation")

ENDLESS = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"


def told(server: StdioServerParameters | str, *sources: str, mode: str = "legacy") -> list[dict[str, Any]]:
    """Run sources one after the other as one client; give the answers."""

    async def main() -> list[dict[str, Any]]:
        async with Client(server, mode=mode) as client:
            answers = [await client.call_tool("run_python", {"code": source}) for source in sources]
        return [answer.structured_content or {} for answer in answers]

    return asyncio.run(main())


def test_endless_call_returns_at_its_limit_and_the_server_lives(
    agent_server: Callable[..., StdioServerParameters],
) -> None:
    """One that listens keeps its session, one that does not begins anew."""
    kept, after, stopped, anew = told(
        agent_server("--wall", "1s"), "x = 1\nwhile True: pass", "x", ENDLESS, "'x' in globals()"
    )

    assert ("wall", False, 1) == (kept["limit"], kept["lost"], after["value"])
    assert ("limited", "wall", True) == (stopped["outcome"], stopped["limit"], stopped["lost"])
    assert anew["value"] is False
    assert 1 + late() > max(kept["seconds"], stopped["seconds"])


def test_flood_is_cut_and_the_server_lives(agent_server: Callable[..., StdioServerParameters]) -> None:
    """Of 60 MB a client is sent what it can read; of values and errors too."""
    flood, value, error, after = told(
        agent_server(), "print('x' * 60_000_000)", "'x' * 5_000_000", "raise ValueError('x' * 5_000_000)", "1"
    )

    assert ("output", True) == (flood["limit"], flood["truncated"])
    assert 40_000 > len(flood["stdout"])
    assert 40_000 > len(str(value["value"]))
    assert 40_000 > len(error["error"]["message"])
    assert 1 == after["value"]


@pytest.mark.parametrize(
    "source",
    [
        "open('/etc/passwd').read()",
        "open('/proc/self/environ').read()",
        "import os; os.environ['API_TOKEN']",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1/').read()",
        "import socket; socket.create_connection(('127.0.0.1', 1))",
        "import subprocess; subprocess.run(['id'])",
        "open('/tmp/planted', 'w')",
    ],
)
def test_code_of_a_model_reaches_nothing_of_the_host(
    agent_server: Callable[..., StdioServerParameters], source: str
) -> None:
    """No file, no variable, no network, no process."""
    [answer] = told(agent_server(), source)

    assert ("raised", False) == (answer["outcome"], answer["ok"])
    assert "s3cr3t" not in str(answer)


def test_forged_control_characters_reach_no_terminal_and_no_model(
    agent_server: Callable[..., StdioServerParameters],
) -> None:
    """Escaped in every part of an answer."""
    bad = "'\\x1b]0;owned\\x07\\u202e\\x00'"
    answers = told(
        agent_server(),
        f"import sys; print({bad}); print({bad}, file=sys.stderr); {bad}",
        f"raise ValueError({bad})",
        f"open({bad}.replace('\\0', ''))",
        f"type({bad}, (Exception,), {{}})()",
        f"raise type({bad}.replace('\\0', ''), (Exception,), {{}})",
    )

    assert not {"\x1b", "\x07", "\u202e", "\x00"} & {
        one for answer in answers for text in texts(answer) for one in text
    }
    assert "\\x1b]0;owned\\x07\\u202e\\x00\n" == answers[0]["stdout"]


def texts(value: object) -> list[str]:
    """Collect all texts in an answer."""
    if isinstance(value, dict):
        return [text for one in (*value.keys(), *value.values()) for text in texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


def test_calls_of_one_client_at_once_do_not_mix(agent_server: Callable[..., StdioServerParameters]) -> None:
    """Each sees the whole of what the one before did."""

    async def main() -> list[str]:
        async with Client(agent_server()) as client:
            await client.call_tool("run_python", {"code": "seen = []"})
            sources = [f"seen.append({n}); print({n}); print({n})" for n in range(10)]
            answers = await asyncio.gather(*(client.call_tool("run_python", {"code": one}) for one in sources))
        return [answer.structured_content["stdout"] for answer in answers if answer.structured_content]

    assert [f"{n}\n{n}\n" for n in range(10)] == asyncio.run(main())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_client_that_goes_takes_its_endless_call_with_it(agent_url: Callable[..., str], mode: str) -> None:
    """Its place is free long before the call's own limit, and others are served meanwhile."""
    url = agent_url("--wall", "10m", "--sessions", "2", "--language", "python")

    async def main() -> None:
        async with Client(url, mode=mode) as leaving:
            call = asyncio.create_task(leaving.call_tool("run_python", {"code": ENDLESS}))
            async with Client(url, mode="legacy") as other:
                answer = await other.call_tool("run_python", {"code": "1"})
                assert not answer.is_error
            await asyncio.sleep(0.1)
            call.cancel()
            await asyncio.wait([call])
        began = time.monotonic()
        async with Client(url, mode="legacy") as one, Client(url, mode="legacy") as two:
            while True:
                answers = [await client.call_tool("run_python", {"code": "1"}) for client in (one, two)]
                if not any(answer.is_error for answer in answers):
                    break
                assert time.monotonic() - began < 60

    asyncio.run(main())


@pytest.mark.parametrize("end", [None, signal.SIGINT, signal.SIGTERM])
def test_server_ends_in_the_middle_of_an_endless_call(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: signal.Signals | None
) -> None:
    """When its client closes its input, and when it is told to; nothing is left behind."""
    assert compiled.is_dir()
    (tmp_path / "marks").mkdir()
    (tmp_path / "private").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "private"))
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    code = f"open('/tmp/left', 'w').close(); open('/marks/begun', 'w').close()\n{ENDLESS}"
    call = {"name": "run_python", "arguments": {"code": code}}
    sent: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
    ]
    flags = ["--wall", "10m", "--tmp", "--dir", f"{tmp_path}/marks:/marks:rw", "--language", "python"]
    words = [sys.executable, "-m", "ringfence", "mcp", *isolated.flags(), *flags]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as running:
        assert running.stdin is not None
        running.stdin.writelines(f"{json.dumps(message)}\n" for message in sent)
        running.stdin.flush()
        began = time.monotonic()
        while not (tmp_path / "marks" / "begun").exists():
            assert time.monotonic() - began < 60
            time.sleep(0.02)
        if end is None:
            running.stdin.close()
        else:
            running.send_signal(end)
        assert (0 if end is None else 128 + end) == running.wait(timeout=60)

    assert [] == list((tmp_path / "private").iterdir())


def test_page_in_a_browser_cannot_call_the_server(agent_url: Callable[..., str]) -> None:
    """Neither from its own origin, nor by a name that it leads to this machine."""
    url = agent_url("--language", "python")
    port = url.split(":")[2].split("/")[0]
    usual = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    for modern in ({}, {"MCP-Protocol-Version": "2026-07-28"}):
        for headers, code in (
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": f"http://localhost.evil.example:{port}"}, 403),
            ({"Origin": f"http://localhost:{int(port) - 1}"}, 403),
            ({"Host": f"evil.example:{port}"}, 421),
            ({"Host": "127.0.0.1.evil.example"}, 421),
            ({"Content-Type": "text/plain"}, 400),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", int(port))
            connection.request("POST", "/mcp", b"{}", {**usual, **modern, **headers})
            assert code == connection.getresponse().status, headers
            connection.close()


def test_guessed_session_is_nobodys(agent_url: Callable[..., str]) -> None:
    """Nor is one of another protocol's name; a header that the client makes up is not looked at."""
    url = agent_url("--language", "python")

    async def main() -> None:
        async with Client(url, mode="legacy") as theirs, Client(url) as ours:
            await theirs.call_tool("run_python", {"code": "x = 1"})
            for guess in ("", "connection ", "../", "a" * 1_000_000):
                answer = await ours.call_tool("run_python", {"code": "x", "session": guess})
                assert answer.is_error
                assert "there is no such session" in str(answer.content)

    asyncio.run(main())
