"""`ringfence build`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from programs.builders import tools

if TYPE_CHECKING:
    from conftest import Command


def test_new_plugin_is_built_and_called(ringfence: Command) -> None:
    """From nothing to a greeting, by three commands."""
    assert 0 == ringfence("new", "greeter", "--language", "c").exit_code
    built = ringfence("build", "greeter", env=tools())

    assert 0 == built.exit_code, built.stderr
    assert "built greeter/plugin.wasm" in built.stderr
    assert '"Hello, Ada!"\n' == ringfence("call", "greeter/plugin.wasm", 'greet("Ada")').stdout


def test_folder_without_a_plugin_is_an_error(ringfence: Command) -> None:
    """That says how to make one."""
    ended = ringfence("build")

    assert 125 == ended.exit_code
    assert "ringfence new NAME --language python" in ended.stderr
