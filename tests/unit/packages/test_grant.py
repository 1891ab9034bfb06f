"""The policy of a guest that has packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import ringfence
from ringfence import Dir, LoadError, Policy, PolicyError, Sandbox, Session

if TYPE_CHECKING:
    from pathlib import Path

    from shelf import Shelf

pytestmark = pytest.mark.usefixtures("compiled")
CODE = "import one; print(one.__file__, one.VERSION)"
SAYS = "/packages/one.py 1.0\n"


def test_every_way_to_run_python_takes_packages(shelf: Shelf, tmp_path: Path) -> None:
    """Code, scripts, sandboxes and sessions."""
    shelf.wheel("one")
    script = tmp_path / "script.py"
    script.write_text(CODE, encoding="utf-8")

    assert SAYS == ringfence.run(script, packages=["one"]).check().text
    assert SAYS == Sandbox(language="python", packages=["one"]).run(code=CODE).check().text
    with Session("python", packages=["one"]) as session:
        assert "1.0" == session.eval("import one\none.VERSION").check().value


def test_packages_come_after_what_the_policy_says(shelf: Shelf, tmp_path: Path) -> None:
    """A path of the caller's is looked at first."""
    shelf.wheel("one")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "one.py").write_text("VERSION = 'mine'\n", encoding="utf-8")
    policy = Policy(dirs=[Dir(tmp_path / "mine", at="/mine")], env={"PYTHONPATH": "/mine"})

    result = ringfence.run(code=CODE, language="python", packages=["one"], policy=policy)

    assert "/mine/one.py mine\n" == result.check().text


@pytest.mark.parametrize(
    ("policy", "what"),
    [
        (Policy(dirs=[Dir.memory({}, at="/packages")]), "grants something at `/packages`"),
        (Policy(inherit_env=["PYTHONPATH"]), "hands `PYTHONPATH` on"),
    ],
)
def test_policy_that_says_otherwise_is_refused(shelf: Shelf, policy: Policy, what: str) -> None:
    """Neither may hide the other."""
    shelf.wheel("one")

    with pytest.raises(PolicyError, match=what):
        Sandbox(language="python", packages=["one"], policy=policy)


def test_program_takes_no_packages(guests: Path) -> None:
    """A module has what it needs inside."""
    with pytest.raises(LoadError, match="leave packages out"):
        Sandbox(guests / "hello.wat", packages=["one"])
