"""What a page tells readers to put into a client's configuration starts a server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from mcp import Client, StdioServerParameters

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "serve-agents.md"

pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")


@pytest.mark.usefixtures("compiled")
def test_configuration_of_the_page_starts_a_server(tmp_path: Path) -> None:
    """As it stands, but for a directory that is the reader's."""
    (tmp_path / "note.txt").write_text("granted", encoding="utf-8")
    [text] = [token.content for token in MarkdownIt().parse(PAGE.read_text(encoding="utf-8")) if token.info == "json"]
    [entry] = json.loads(text.replace("/home/you/data", str(tmp_path)))["mcpServers"].values()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    async def main() -> object:
        async with Client(StdioServerParameters(**entry, env={**os.environ, "PATH": path})) as client:
            answer = await client.call_tool("run_python", {"code": "open('/data/note.txt').read()"})
        assert answer.structured_content is not None
        return answer.structured_content["value"]

    assert "granted" == asyncio.run(main())
