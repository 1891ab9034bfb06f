"""One table of acts, for WASI 0.1 and 0.2 and for every mode of a grant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import ringfence
from files.acts import Stat
from files.modes import MODES, STANDARDS, WORKER_MODES, Place
from files.table import HERE, ROWS, TWELVE

if TYPE_CHECKING:
    from pathlib import Path

    from files.acts import Script


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("standard", STANDARDS)
def test_acts_answer_what_the_table_says(tmp_path: Path, standard: str, mode: str) -> None:
    """The same act has the same answer, whatever the standard and wherever the files are."""
    answers(Place(mode, tmp_path), standard)


@pytest.mark.parametrize("mode", WORKER_MODES)
@pytest.mark.parametrize("standard", STANDARDS)
def test_acts_in_a_worker_answer_what_the_table_says(tmp_path: Path, standard: str, mode: str) -> None:
    """Another process with a wall around it answers the same."""
    answers(Place(mode, tmp_path, "worker"), standard)


def answers(place: Place, standard: str) -> None:
    """Do every act of the table there."""
    script = STANDARDS[standard]()
    asked = []
    for number, (row, acts) in enumerate(ROWS.items()):
        tree(place, script, f"{number:02}")
        script.open(HERE, place.path(f"{number:02}"), directory=True)
        for one in acts:
            options = {"base": HERE, **one.options} if one.name in WITH_PATHS else one.options
            if "base" in options and one.name in {"rename", "link"}:
                options["to"] = options["base"]
            getattr(script, "stat" if one.name == "times" else one.name)(*one.args, **options)
            asked.append((len(script.acts) - 1, row, one))
    ran = script.run(place.sandbox(script, limits=ringfence.Limits(disk="64MiB")))

    wrong = []
    for at, row, one in asked:
        expected, said = one.expected(standard, place.mode), seen(one.name, ran.said[at])
        if expected is not None and expected != said:
            wrong.append(f"{row}: {one.name} {one.args} {one.options}: expected {expected}, got {said}")
    assert not wrong, "\n".join(wrong)


WITH_PATHS = {"open", "stat", "times", "set_times", "mkdir", "rmdir", "unlink", "rename", "link", "symlink", "readlink"}


def tree(place: Place, script: Script, name: str) -> None:
    """Make the tree of a row."""
    place.mkdir(script, name)
    place.file(script, f"{name}/file", TWELVE)
    place.mkdir(script, f"{name}/dir")
    place.file(script, f"{name}/dir/inner", b"inner")
    place.mkdir(script, f"{name}/empty")
    for link, target in {"link": "file", "dirlink": "dir", "dangling": "nowhere", "loop": "loop"}.items():
        place.symlink(script, f"{name}/{link}", target)


def seen(name: str, said: Any) -> Any:
    """Leave out what is not the same everywhere: sizes and links of directories, times nobody set."""
    if not isinstance(said, Stat):
        return said
    if name == "times":
        return said.accessed, said.modified
    return (said.kind,) if said.kind == "directory" else (said.kind, said.links, said.size)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "ro"])
@pytest.mark.parametrize("standard", STANDARDS)
def test_full_answers_the_same_everywhere(tmp_path: Path, standard: str, mode: str) -> None:
    """A full disk, a full table of names and a full table of open files have one error each."""
    place, script = Place(mode, tmp_path), STANDARDS[standard]()
    at, full = place.path, script
    full.open(3, at("a"), write=True, create=True, append=True)
    full.write(3, 0, bytes(60))
    full.write(3, 60, bytes(60))
    full.write(3, 100, b"x")
    full.set_size(3, 1 << 40)
    full.append(3, b"x")
    full.set_size(3, 50)
    full.write(3, 0, bytes(100))
    full.fstat(3)
    full.mkdir(at("b"))
    full.mkdir(at("c"))
    full.symlink("a", at("c"))
    full.link(at("a"), at("c"))
    full.open(4, at("c"), write=True, create=True)
    full.rename(at("a"), at("c"))
    full.rmdir(at("b"))
    full.mkdir(at("d"))
    full.open(4, at("c"))
    full.open(5, at("c"))
    full.open(6, at("c"))
    full.close(4)
    full.open(6, at("c"))
    full.unlink(at("c"))
    full.set_size(3, 100)
    for slot in (3, 5, 6):
        full.close(slot)
    full.open(3, at("e"), write=True, create=True)
    full.write(3, 0, bytes(100))
    ran = full.run(place.sandbox(script, limits=ringfence.Limits(disk=100, files=2, open_files=3)))

    table_full = "mfile" if standard == "wasi01" else "nomem"
    assert [
        *(True, 60, 40, "nospc", "nospc", "nospc", True, 100, ("file", 1, 100)),
        *(True, "nospc", "nospc", "nospc", "nospc", True, True, True),
        *(True, True, table_full, True, True),
        *(True, True, True, True, True, True, 100),
    ] == [seen("", said) for said in ran.said]
    assert {"disk", "files", "open_files"} == {denial.kind for denial in ran.result.denials}
