"""What a script asks for in its comments."""

from __future__ import annotations

import pytest

from ringfence import LoadError
from ringfence.packages import asked_for


def script(*lines: str) -> bytes:
    """Write a script with these lines of metadata."""
    return "\n".join(
        ["#!/usr/bin/env python3", "# /// script", *(f"# {line}" for line in lines), "# ///", "print(1)"]
    ).encode()


def test_dependencies_are_found() -> None:
    """As PEP 723 has them, with other tables beside."""
    source = script(
        'requires-python = ">=3.11"', "dependencies = [", '  "rich<16",', '  "httpx",', "]", "[tool.x]", "y = 1"
    )

    assert ["rich<16", "httpx"] == asked_for(source, "3.13.5")
    assert ["rich<16", "httpx"] == asked_for(source.replace(b"\n", b"\r\n"), "3.13.5")
    assert ["rich<16", "httpx"] == asked_for(b"\xef\xbb\xbf" + source.partition(b"\n")[2], "3.13.5")


@pytest.mark.parametrize(
    "source", [b"", b"print(1)", b"\xff\xfe", b"# /// other\n# dependencies = 1\n# ///\n", script()]
)
def test_script_without_any_asks_for_nothing(source: bytes) -> None:
    """Whatever else is in it."""
    assert [] == asked_for(source, "3.13.5")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (script("dependencies = ["), "Invalid value"),
        (script("dependencies = 1"), "no list of texts"),
        (script("dependencies = [1]"), "no list of texts"),
        (script('requires-python = ">=3.14"'), "wants Python >=3.14"),
        (script('requires-python = "new"'), "cannot be read"),
        (script("requires-python = 3"), "cannot be read"),
        (script("x = " + "9" * 5000), "4300 digits"),
        (script("x = " + "[" * 5000 + "]" * 5000), "recursion"),
        (script("x = 1") + b"\n" + script("x = 1"), "several blocks"),
    ],
)
def test_metadata_that_cannot_be_used_is_named(source: bytes, why: str) -> None:
    """The text is not trusted: what is wrong with it is an error of ours."""
    with pytest.raises(LoadError, match=why):
        asked_for(source, "3.13.5")
