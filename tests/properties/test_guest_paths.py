"""Guest paths against a model: whatever path a guest makes up, it reads what the model says, and never a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ringfence import Dir, Policy, PolicyError, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_LINKS = 20
# Names that mean something in the tree below, and some that do not.
NAMES = [
    "data",
    "file.txt",
    "sub",
    "deep.txt",
    "inside",
    "back",
    "directory",
    "up",
    "absolute",
    "root",
    "loop",
    "chain",
]
NAMES += ["secret.txt", "etc", "passwd", "..", ".", "", "no-such", "\u00e9", "..."]
LINKS = {
    "inside": "sub/deep.txt",
    "directory": "sub",
    "chain": "directory/deep.txt",
    "up": "../secret.txt",
    "absolute": "{house}/secret.txt",
    "root": "/",
    "loop": "loop",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a granted tree with links of every kind, beside a secret."""
    house = tmp_path_factory.mktemp("house")
    granted = house / "granted"
    (granted / "sub").mkdir(parents=True)
    (granted / "file.txt").write_text("file")
    (granted / "sub" / "deep.txt").write_text("deep")
    (granted / "sub" / "back").symlink_to("../file.txt")
    (house / "secret.txt").write_text("SECRET")
    for name, target in LINKS.items():
        (granted / name).symlink_to(target.format(house=house))
    return house


@pytest.fixture(scope="module")
def read(house: Path, guests: Path) -> Callable[[str], bytes | None]:
    """Read a path in a guest: what it holds, or nothing where it was refused."""
    sandbox = Sandbox(guests / "print_file.wat", policy=Policy(dirs=[Dir(house / "granted", at="/data")]))

    def read(path: str) -> bytes | None:
        result = sandbox.run([f"/{path}"])  # it takes the first slash off
        assert "exited" == result.outcome
        return result.stdout if result.exit_code == 0 else None

    return read


def expected(granted: Path, path: str) -> bytes | None:  # noqa: C901, PLR0911 - the law, in one piece
    """Walk a path name by name, as a guest should see it: its root holds `data`, and nothing is above either."""
    if path.startswith("/"):
        return None
    left = path.split("/")[::-1]
    here: list[str] = []
    links = 0
    while left:
        name = left.pop()
        if name == "..":
            if not here:
                return None
            here.pop()
            continue
        if name in {"", "."}:
            if left or not here:
                continue
            # A slash at the end asks for a directory, which nobody can read.
            return None
        if not here:
            if name != "data":
                return None
            here.append(name)
            continue
        at = granted.joinpath(*here[1:], name)
        if at.is_symlink():
            links += 1
            target = str(at.readlink())
            if target.startswith("/") or links > MAX_LINKS or climbs(here[1:], target):
                return None
            left += target.split("/")[::-1]
        elif at.exists() and (not left or at.is_dir()):
            here.append(name)
        else:
            return None
    at = granted.joinpath(*here[1:])
    return at.read_bytes() if here and at.is_file() else None


def climbs(here: list[str], target: str) -> bool:
    """Tell whether a link leads above the grant it lies in."""
    depth = len(here)
    for name in target.split("/"):
        depth += -1 if name == ".." else 1
        if depth < 0:
            return True
    return False


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=9))
@example(names=["data", "sub", "..", "..", "secret.txt"])
@example(names=["data", "directory", "back"])
@example(names=["data", "chain"])
def test_path_is_read_as_the_model_says(names: list[str], read: Callable[[str], bytes | None], house: Path) -> None:
    """Names in any order, links among them: the file that the model finds inside the grant, or a refusal."""
    path = "/".join(names)

    assert expected(house / "granted", path) == read(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_path_of_any_text_reads_no_secret(path: str, read: Callable[[str], bytes | None]) -> None:
    """Any text at all: an error number, or a file of the grant."""
    assert read(f"data/{path}") in {None, b"file", b"deep"}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.one_of(
        st.lists(st.sampled_from(["", ".", "..", "a", "b c", "\u00e9", "x" * 256]), max_size=5).map("/".join),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    )
)
def test_place_of_a_grant_has_one_normal_form(at: str, house: Path) -> None:
    """Refused, or a path without `.`, `..` and empty names; and two places of one normal form are one place."""
    try:
        Policy(dirs=[Dir(house / "granted", at=at)])
    except PolicyError as refused:
        assert refused.fix  # noqa: PT017
        return

    names = [name for name in at.split("/") if name not in {"", "."}]
    assert at.startswith("/")
    assert ".." not in names
    with pytest.raises(PolicyError):
        Policy(dirs=[Dir(house / "granted", at=at), Dir(house / "granted" / "sub", at="/" + "/".join(names))])
