"""Languages that are compiled beside what a server does."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from mcp import Client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mcp import StdioServerParameters

pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")

LEAVE = """
from threading import enumerate as threads
from ringfence import Policy
from ringfence.cli._compiling import compiling
from ringfence.languages import find
with compiling([find("python")], Policy()):
    print("served")
print(len(threads()))
"""


def test_client_is_answered_while_the_languages_are_compiled(
    agent_server: Callable[..., StdioServerParameters], tmp_path: Path
) -> None:
    """A client waits a minute for a server: what became of a language is told by the first call of it."""
    server = agent_server("--compile", "1ms", "--language", "python")
    server.env = {**(server.env or {}), "RINGFENCE_CACHE": str(tmp_path / "empty")}

    async def main() -> str:
        async with Client(server) as client:
            assert "run_python" in {tool.name for tool in (await client.list_tools()).tools}
            answer = await client.call_tool("run_python", {"code": "1"})
            assert answer.is_error
            return str(answer.content)

    assert "longer than ten times the limit" in asyncio.run(main())


def test_server_that_ends_takes_its_compiler_with_it(tmp_path: Path) -> None:
    """Nothing is left at work, and nothing half made in the cache."""
    environment = {**os.environ, "RINGFENCE_CACHE": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", LEAVE], env=environment, capture_output=True, text=True, check=False, timeout=60
    )

    assert ["served", "1"] == ended.stdout.split(), ended.stderr
    assert not list(tmp_path.rglob("*.cwasm"))
