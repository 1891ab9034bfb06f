"""Plugins that begin with a template, built by the tools of their languages."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from programs.builders import packages, tools
from ringfence import Limits, Plugin, Policy
from ringfence._build import build, language_of
from ringfence._templates import LANGUAGES, files
from ringfence.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path


def made(place: Path, language: str) -> Path:
    """Write a new plugin."""
    for path, text in files("greeter", language).items():
        (place / path).parent.mkdir(exist_ok=True)
        (place / path).write_text(text)
    return place


@pytest.mark.timeout(900)  # the first on a machine fetches the tools
@pytest.mark.parametrize("language", LANGUAGES)
def test_new_plugin_is_built_and_greets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, language: str
) -> None:
    """With the tools of its language, whichever those are; its memory is used again and again."""
    place = made(tmp_path, language)
    if language == "rust":
        request.getfixturevalue("dial_program")  # adds Rust's target
    if language == "javascript":
        if shutil.which("npm") is None and not os.environ.get("CI"):
            pytest.skip("componentize-qjs is on npm, and there is no `npm`")
        (place / "node_modules").symlink_to(packages())
    else:
        for name, value in tools().items():
            monkeypatch.setenv(name, value)
            monkeypatch.syspath_prepend(value) if name == "PYTHONPATH" else None
    component = build(place)

    with Plugin(component, policy=Policy(limits=Limits(compile="160s"))) as plugin:
        assert "Hello, Ada!" == plugin.greet("Ada")
        assert "Hello, Ödön!" == plugin.greet("Ödön")
        for _ in range(500):
            assert 100_008 == len(plugin.greet("x" * 100_000))


@pytest.mark.parametrize("language", LANGUAGES)
def test_tool_that_is_missing_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    """To paste."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="there is no `") as caught:
        build(made(tmp_path, language))

    assert "install" in caught.value.fix


def test_tool_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it said it."""
    place = made(tmp_path, "c")
    (place / "plugin.c").write_text("int greet(")
    for name, value in tools().items():
        monkeypatch.setenv(name, value)
        if name == "PYTHONPATH":
            monkeypatch.syspath_prepend(value)
    with pytest.raises(HostError, match="error: expected"):
        build(place)


def test_what_a_tool_said_is_shown_from_its_begin_and_without_its_backtrace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the variables of whoever builds say: twenty frames of a tool hid the error in a plugin."""
    tool = tmp_path / "bin" / "componentize-py"
    tool.parent.mkdir()
    lines = 'echo "SyntaxError: app.py"; i=0; while [ $i -lt 400 ]; do echo "a frame"; i=$((i+1)); done'
    tool.write_text(f'#!/bin/sh\n{{ {lines}; echo "$RUST_BACKTRACE $RUST_LIB_BACKTRACE, the end"; }} >&2\nexit 1\n')
    tool.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tool.parent / "python"))
    monkeypatch.setenv("RUST_BACKTRACE", "1")
    monkeypatch.setenv("RUST_LIB_BACKTRACE", "full")
    with pytest.raises(HostError) as caught:
        build(made(tmp_path, "python"))

    assert caught.value.why.startswith("SyntaxError: app.py\n")
    assert caught.value.why.endswith("\n0 0, the end")
    assert " more) …" in caught.value.why


@pytest.mark.parametrize("text", [None, "language", 'language = "cobol"', 'language = "c"\nmore = 1'])
def test_folder_that_is_no_plugins_is_refused(tmp_path: Path, text: str | None) -> None:
    """Nothing is started."""
    if text is not None:
        (tmp_path / "plugin.toml").write_text(text)
    with pytest.raises(HostError, match=r"plugin\.toml"):
        language_of(tmp_path)
