"""Attacks by packages of an index, and by scripts that ask for some."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ringfence import LoadError, RingfenceError, Sandbox
from ringfence.languages import find
from ringfence.packages import bring, of_file

if TYPE_CHECKING:
    from shelf import Shelf

pytestmark = pytest.mark.usefixtures("compiled")


def locked(*wheels: Path) -> str:
    """Write the file of requirements that pins exactly these."""
    lines = (f"{'=='.join(wheel.name.split('-')[:2])} --hash=sha256:{digest(wheel)}" for wheel in wheels)
    return "".join(f"{line}\n" for line in lines)


def digest(wheel: Path) -> str:
    """Read it as it is now."""
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_attack_source_archive_is_never_built(shelf: Shelf, tmp_path: Path) -> None:
    """Building it would run it, out here."""
    mark = tmp_path / "mark"
    shelf.source("one", f"open({str(mark)!r}, 'w').close()\nimport setuptools; setuptools.setup()\n")

    with pytest.raises(LoadError, match="no wheels"):
        bring(["one"], find("python"))
    assert not mark.exists()


def test_attack_startup_files_of_a_wheel_run_nothing_out_here(shelf: Shelf, tmp_path: Path) -> None:
    """Neither a path file nor a module that is imported at the start: pip only unpacks, and we import nothing."""
    mark = tmp_path / "mark"
    evil = f"open({str(mark)!r}, 'w').close()\n"
    shelf.wheel("one", evil__pth=f"import os; {evil}", sitecustomize__py=evil, one__py=evil, usercustomize__py=evil)
    bring(["one"], find("python"))

    result = Sandbox(language="python", packages=["one"]).run(code="import one")

    assert not mark.exists()
    assert 1 == result.exit_code, "in the sandbox it may be imported, and is refused what it tries"


@pytest.mark.parametrize("member", ["../../outside", "/ringfence-outside", "one/../../../outside"])
def test_attack_wheel_with_members_outside_is_refused(shelf: Shelf, tmp_path: Path, member: str) -> None:
    """Nothing is written beside the folder it was made for."""
    about = {"one-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: one\nVersion: 1.0\n"}
    about["one-1.0.dist-info/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    shelf.raw("one-1.0-py3-none-any.whl", {member: "evil", **about, "one-1.0.dist-info/RECORD": ""})

    with pytest.raises(RingfenceError):
        bring(["one"], find("python"))
    assert not list(tmp_path.rglob("*outside*"))
    assert not Path("/ringfence-outside").exists()


def test_attack_package_that_is_rewritten_stays_as_it_was(shelf: Shelf) -> None:
    """A guest reads packages; the next one finds the same."""
    shelf.wheel("one")
    sandbox = Sandbox(language="python", packages=["one"])
    attack = """
import os
for act in (lambda: open("/packages/one.py", "w"), lambda: os.remove("/packages/one.py"),
            lambda: os.rename("/packages", "/other"), lambda: open("/packages/new.py", "w"),
            lambda: open("/packages/__pycache__/one.cpython-313.pyc", "ab"), lambda: os.utime("/packages/one.py")):
    try:
        act()
        print("done")
    except OSError:
        print("refused")
"""

    assert ["refused"] * 6 == sandbox.run(code=attack).check().text.split()
    assert "1.0" == sandbox.run(code="import one; print(one.VERSION)").check().text.strip()


def test_attack_package_sees_nothing_of_the_host_while_it_is_compiled(shelf: Shelf) -> None:
    """The compiler runs in the sandbox, which has that folder only; and compiling imports nothing."""
    shelf.wheel("one", one__py="raise SystemExit('imported')\n", encodings__py="raise SystemExit('imported')\n")

    assert Path(bring(["one"], find("python")).folder, "one.py").is_file()


def test_attack_script_names_more_than_packages(shelf: Shelf, tmp_path: Path) -> None:
    """What it asks for is refused where it leads past the index, though somebody agreed."""
    from ringfence.packages import asked_for

    wheel = shelf.wheel("one")
    for evil in (f"one @ file://{wheel}", "--extra-index-url=https://example.org", str(wheel)):
        found = asked_for(f"# /// script\n# dependencies = [{evil!r}]\n# ///\n".encode(), "3.13.5")
        with pytest.raises(LoadError, match="cannot be brought in"):
            bring(found, find("python"))
    assert not (tmp_path / "packages").exists()


def test_attack_package_that_needs_an_address_leads_nowhere(shelf: Shelf, tmp_path: Path) -> None:
    """Of a file, a server or a repository: pip would fetch it, and build it out here by code that is in it."""
    import tarfile

    mark = tmp_path / "mark"
    evil = tmp_path / "evil-1.0"
    evil.mkdir()
    backend = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    evil.joinpath("pyproject.toml").write_text(backend)
    evil.joinpath("backend.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    with tarfile.open(tmp_path / "evil-1.0.tar.gz", "w:gz") as archive:
        archive.add(evil, "evil-1.0")
    places = [f"file://{tmp_path}/evil-1.0.tar.gz", f"git+file://{evil}", "https://127.0.0.1:1/evil-1.0.tar.gz"]
    for number, place in enumerate(places):
        shelf.wheel(f"one{number}", needs=(f"evil @ {place}",))
        with pytest.raises(LoadError, match=r"`evil` is asked for by an address, not by its name|Invalid URL: git"):
            bring([f"one{number}"], find("python"))
    shelf.wheel("two", needs=(f"evil @ {places[0]} ; sys_platform == 'wasi'",))
    with pytest.raises(LoadError, match="an address, not"):
        bring(["two"], find("python"))
    assert not mark.exists()


def test_attack_modules_in_the_working_directory_are_not_imported(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of a stranger may be there: pip is Python, which begins to look there for what it imports."""
    shelf.wheel("one")
    folder = tmp_path / "strange"
    folder.mkdir()
    for name in ("json", "pip", "runpy", "email", "sitecustomize"):
        folder.joinpath(f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()\n")
    monkeypatch.chdir(folder)

    bring(["one"], find("python"))

    assert not (tmp_path / "mark").exists()


def test_attack_index_that_serves_another_wheel_than_was_pinned(shelf: Shelf, tmp_path: Path) -> None:
    """Its own digest of that is right; the list's is what counts, though the same was brought in without one."""
    lock = locked(shelf.wheel("one"))
    evil = shelf.wheel("one", one__py="VERSION = 'evil'\n")
    bring(["one==1.0"], find("python"))

    with pytest.raises(LoadError, match=f"`one` 1.0 .* digest sha256:{digest(evil)}, and that is none of those"):
        bring(of_file(lock), find("python"))
    code = "import one; print(one.VERSION)"
    assert "evil" == Sandbox(language="python", packages=["one==1.0"]).run(code=code).text.strip()
    assert 1 == len(list((tmp_path / "packages").iterdir()))


def test_attack_index_that_changes_what_a_pinned_package_needs(shelf: Shelf) -> None:
    """Where one package has a digest, all have, those that others pull in and those of other flags too."""
    one, two = shelf.wheel("one", needs=("two",)), shelf.wheel("two")
    for loose in (of_file(locked(one)), [*of_file(locked(one)), "two==1.0"], ["one", *of_file(locked(two))]):
        with pytest.raises(LoadError, match=r"`(one|two)` cannot be brought in: there is no digest for"):
            bring(loose, find("python"))
    lock = of_file(locked(one, two))
    assert 2 == len(bring(lock, find("python")).wheels)
    shelf.wheel("two", two__py="VERSION = 'evil'\n")

    code = "import two; print(two.VERSION)"
    assert "1.0" == Sandbox(language="python", packages=lock).run(code=code).text.strip(), "what is kept is as it was"
    with pytest.raises(LoadError, match=r"`two` .* cannot be brought in: the index has a wheel with the digest"):
        bring([*lock, lock[0] + " --hash=sha256:" + "0" * 64], find("python"))
