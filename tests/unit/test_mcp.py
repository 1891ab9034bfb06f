"""Sessions as tools, in this process, by the SDK's own client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client

from ringfence import Dir, Net, Policy
from ringfence._mcp import Toolbox, described
from ringfence._shares import shares
from ringfence.languages import find

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("ringfence_language_javascript", reason="the language pack is not installed")


def called(*calls: tuple[str, dict[str, Any]], policy: Policy | None = None) -> list[Any]:
    """Make calls one after the other by one client."""

    async def main() -> list[Any]:
        toolbox = Toolbox([find("javascript")], policy or Policy(), most=1)
        async with Client(toolbox.server, mode="legacy") as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(main())


def test_value_output_and_error_come_as_structure_and_as_text() -> None:
    """State stays between calls; an error is the call's, not the protocol's."""
    one, two, raised = called(
        ("run_javascript", {"code": "let x = 20; console.log('hi'); x + 1"}),
        ("run_javascript", {"code": "x"}),
        ("run_javascript", {"code": "null.x"}),
    )

    assert (21, "hi\n", False) == (one.structured_content["value"], one.structured_content["stdout"], one.is_error)
    assert ["stdout:\nhi\n", "value:\n21"] == [block.text for block in one.content]
    assert 20 == two.structured_content["value"]
    assert (True, "TypeError") == (raised.is_error, raised.structured_content["error"]["type"])


def test_reset_forgets() -> None:
    """What was defined is gone."""
    *_, after = called(
        ("run_javascript", {"code": "globalThis.x = 1"}), ("reset", {}), ("run_javascript", {"code": "typeof x"})
    )

    assert "undefined" == after.structured_content["value"]


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("run_ruby", {"code": "1"}, "there is no tool `run_ruby`: there are run_javascript, reset"),
        ("run_\x1b[2J", {"code": "1"}, "there is no tool `run_\\x1b[2J`: there are run_javascript, reset"),
        ("run_javascript", {}, "`code` has to be given, as text"),
        ("run_javascript", {"code": 1}, "`code` has to be given, as text"),
        ("run_javascript", {"code": "1", "more": 1}, "`run_javascript` takes no `more`"),
        ("run_javascript", {"code": "1", "session": "a"}, "`run_javascript` takes no `session`"),
        ("reset", {"code": "1"}, "`reset` takes no `code`"),
    ],
)
def test_wrong_call_says_what_is_wrong(name: str, arguments: dict[str, Any], says: str) -> None:
    """As an answer that a model can learn from."""
    [answer] = called((name, arguments))

    assert (True, [says]) == (answer.is_error, [block.text for block in answer.content])


def test_tools_tell_what_is_granted_by_the_names_that_code_sees(tmp_path: Path) -> None:
    """And nothing of the host."""
    policy = Policy(dirs=[Dir(tmp_path, at="/data")], tmp=True, net=Net(tcp=["db.example.com:5432"]))
    told = described(*shares(policy))

    assert "Files: /data (read only), /tmp (read and write)." in told
    assert "Network: db.example.com:5432." in told
    assert "30s a call, 256MiB of memory" in told
    assert str(tmp_path) not in told
