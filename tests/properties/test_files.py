"""
Acts drawn at random, in the manner of fsx: in every mode and standard, files answer as a model of them in memory.

`RINGFENCE_TEST_EXAMPLES` says how many sequences for each mode and standard; without it there are 40.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ringfence
from ringfence.errors import PolicyError

sys.path.insert(0, str(Path(__file__).parents[1]))
from files.acts import Stat
from files.model import Dir, File, Link, Model, Quota, difference, flat
from files.modes import MODES, STANDARDS, WORKER_MODES, Place

EXAMPLES = int(os.environ.get("RINGFENCE_TEST_EXAMPLES", "40"))
WITH_PATHS = {"open", "stat", "mkdir", "rmdir", "unlink", "symlink", "readlink"}

names = st.sampled_from(["a", "b", "c", "d"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
targets = st.sampled_from(["a", "b", "a/b", "../a", "../b/c", "../../d", ".", "b/../c", "nowhere"])
slots = st.integers(3, 6)
# Mostly from the tree's root, at times from whatever is open.
bases = st.one_of(st.just(0), st.just(0), slots)
offsets = st.integers(0, 40)
data = st.binary(max_size=30)
flag = st.booleans()


def act(name: str, *args: st.SearchStrategy[Any], **options: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw one act."""
    return st.tuples(st.just(name), st.tuples(*args), st.fixed_dictionaries(options))


@st.composite
def openings(draw: st.DrawFn) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Draw an open; to make or cut a file one writes it, as 0.2 has it."""
    options = {name: draw(flag) for name in ("create", "exclusive", "truncate", "directory", "follow")}
    options["write"] = draw(flag) or options["create"] or options["truncate"]
    return "open", (draw(slots), draw(paths)), {**options, "base": draw(bases)}


acts = st.one_of(
    openings(),
    st.tuples(slots, paths).map(lambda drawn: ("open", drawn, {"write": True, "create": True})),
    st.tuples(slots, paths).map(lambda drawn: ("open", drawn, {"directory": True})),
    act("close", slots),
    act("read", slots, offsets, offsets),
    act("write", slots, offsets, data),
    act("append", slots, data),
    act("set_size", slots, offsets),
    act("fstat", slots),
    act("list", slots),
    act("stat", paths, base=bases, follow=flag),
    act("readlink", paths, base=bases),
    act("mkdir", paths, base=bases),
    act("mkdir", paths),
    act("rmdir", paths, base=bases),
    act("unlink", paths, base=bases),
    act("symlink", targets, paths, base=bases),
    act("link", paths, paths, base=bases, to=bases),
    act("rename", paths, paths, base=bases, to=bases),
    act("rename", paths, paths),
)
limits = st.one_of(st.none(), st.tuples(st.integers(0, 100), st.integers(0, 6)))


def begun(place: Place) -> Dir:
    """Make the tree that a run starts with, on the host too; what a run makes itself starts empty."""
    if place.host is None:
        return Dir()
    sub = Dir({"a": File(bytearray(b"inner")), "l": Link("../b"), "c": Dir()})
    root = Dir({"a": sub, "b": File(bytearray(b"twelve bytes")), "c": Link("a"), "d": Link("nowhere")})
    for path, holds in flat(root).items():
        at = place.host / path
        if holds is None:
            at.mkdir()
        elif isinstance(holds, str):
            at.symlink_to(holds)
        else:
            at.write_bytes(holds)
    return root


def host_tree(place: Path) -> dict[str, Any]:
    """Write down a tree of the host as the model does."""
    found: dict[str, Any] = {}
    for path in place.rglob("*"):
        name = str(path.relative_to(place))
        found[name] = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("standard", STANDARDS)
def test_acts_answer_and_leave_what_a_model_of_files_does(standard: str, mode: str) -> None:
    """Answers, bytes, listings, the host, `result.changes` and what applying them leaves: all as in the model."""

    @settings(max_examples=EXAMPLES)
    @given(st.lists(acts, min_size=1, max_size=40), limits)
    def law(drawn: list[Any], quota: tuple[int, int] | None) -> None:
        with tempfile.TemporaryDirectory() as host:
            holds(standard, Place(mode, Path(host)), drawn, quota)

    law()


@pytest.mark.parametrize("mode", WORKER_MODES)
def test_acts_in_a_worker_answer_as_the_model_does(mode: str) -> None:
    """The same across processes, changes and their applying too."""

    @settings(max_examples=max(1, EXAMPLES // 4))
    @given(st.lists(acts, min_size=1, max_size=40), limits)
    def law(drawn: list[Any], quota: tuple[int, int] | None) -> None:
        with tempfile.TemporaryDirectory() as host:
            holds("wasi01", Place(mode, Path(host), "worker"), drawn, quota)

    law()


def holds(standard: str, place: Place, drawn: list[Any], quota: tuple[int, int] | None) -> None:
    """Do it in a guest and in the model."""
    script = STANDARDS[standard]()
    script.open(10, place.path(""), directory=True)
    root = begun(place)
    before = flat(root)
    model = Model(root, writable=place.mode != "ro", quota=Quota(*quota) if quota else Quota(), standard=standard)
    expected: list[Any] = [True]
    for name, args, options in drawn:
        expected.append(model.said(name, *args, **options))
        opened = {"append": True} if name == "open" and options.get("write") else {}
        based = {key: 10 if options.get(key, 0) == 0 else options[key] for key in places(name)}
        getattr(script, name)(*args, **{**options, **opened, **based})
    bounds = ringfence.Limits(disk=quota[0], files=quota[1]) if quota else ringfence.Limits()
    ran = script.run(place.sandbox(script, limits=bounds))

    told = [(said[0],) if isinstance(said, Stat) and said.kind == "directory" else said for said in ran.said]
    told = [said[:3] if isinstance(said, Stat) else said for said in told]
    for at, one in enumerate(drawn, 1):
        assert expected[at] == told[at], (at, one)
    after = flat(root)
    if place.host:
        assert (after if place.mode == "rw" else before) == host_tree(place.host)
    if place.mode in {"overlay", "memory"}:
        found = [(one.path[4:], one.act, one.kind, one.size_before, one.size) for one in ran.result.changes]
        assert difference(before, after) == sorted(found, key=str)
    if place.host and place.mode == "overlay":
        # A link that may lead out of the directory is not put on the host.
        with suppress(PolicyError):
            ran.result.changes.apply()
            assert after == host_tree(place.host)


def places(name: str) -> set[str]:
    """Name the directories that an act takes its paths from."""
    return {"base", "to"} if name in {"link", "rename"} else {"base"} if name in WITH_PATHS else set()
