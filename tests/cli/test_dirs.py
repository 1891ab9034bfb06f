"""`--dir`."""

from __future__ import annotations

import pytest

from ringfence import Dir
from ringfence.cli._dirs import to_dir
from ringfence.cli._verbs import UsageError


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        ("data", Dir("data")),
        ("/", Dir("/")),
        ("data:rw", Dir("data", mode="rw")),
        ("data:/in", Dir("data", at="/in")),
        ("data:/", Dir("data", at="/")),
        ("data:/in:rw", Dir("data", at="/in", mode="rw")),
        ("/etc:/etc:ro", Dir("/etc", at="/etc")),
        ("a:b:/in", Dir("a:b", at="/in")),
        ("a:rw:/in:rw", Dir("a:rw", at="/in", mode="rw")),
        ("data:/a:b:ro", Dir("data", at="/a:b")),
        (":/scratch:memory", Dir.memory(at="/scratch")),
        ("in.zip:/in:memory", Dir.memory("in.zip", at="/in")),
    ],
)
def test_dir_is_host_guest_and_mode(text: str, grant: Dir) -> None:
    """HOST[:GUEST][:MODE], where a host path with a colon needs the guest path written out."""
    assert grant == to_dir(text)


@pytest.mark.parametrize(
    "text", ["", ":/in", ":rw", "data:in", "data:wr", "data:/in:wr", "data:/a:b", "in.zip:memory", ":memory"]
)
def test_unclear_dir_is_refused(text: str) -> None:
    """A mistyped mode never becomes part of a path."""
    with pytest.raises(UsageError, match="cannot read `--dir"):
        to_dir(text)
