"""The flag that says where guests run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence._isolation import MAX_WORKERS
from ringfence.cli._isolation import check_workers
from ringfence.cli._verbs import UsageError

if TYPE_CHECKING:
    from conftest import Command


@pytest.mark.parametrize(
    ("clients", "languages", "fix"),
    [(MAX_WORKERS + 1, 1, f"--sessions {MAX_WORKERS}"), (40, 2, "--sessions 32"), (1, 65, "--language NAME")],
)
def test_more_clients_than_child_processes_are_refused_with_how_many_there_may_be(
    clients: int, languages: int, fix: str
) -> None:
    """Before the server listens, not when the last of them calls."""
    with pytest.raises(UsageError) as raised:
        check_workers(clients, languages)
    assert fix in raised.value.fix

    check_workers(MAX_WORKERS // languages or 1, min(languages, MAX_WORKERS))


def test_unknown_isolation_is_a_wrong_command_line(ringfence: Command) -> None:
    """The three words are named."""
    ended = ringfence("run", "--isolation", "container", "app.wasm")

    assert 2 == ended.exit_code
    assert "worker" in ended.stderr


def test_too_many_sessions_are_refused_on_the_command_line(ringfence: Command) -> None:
    """It says which flag to change."""
    pytest.importorskip("ringfence_language_javascript", reason="the language pack is not installed")
    words = ("mcp", "--isolation", "worker", "--language", "javascript", "--port", "0", "--sessions", "100")
    ended = ringfence(*words)

    assert 2 == ended.exit_code
    assert "`--sessions 64`" in ended.stderr
