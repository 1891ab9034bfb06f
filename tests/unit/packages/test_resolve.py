"""Which wheels are chosen."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from ringfence import HostError, LoadError, run
from ringfence.packages._pip import Pip
from ringfence.packages._requirement import parse
from ringfence.packages._resolve import environment, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from shelf import Shelf

NATIVE = "cp313-cp313-manylinux_2_17_x86_64"


def chosen(*requirements: str) -> list[str]:
    """Resolve them."""
    return [f"{wheel.name}-{wheel.version}" for wheel in resolve(parse(requirements), "3.13.5", Pip("3.13"))]


def test_markers_are_answered_as_the_guest_would(compiled: Path) -> None:
    """Every answer is what Python in the sandbox says of itself."""
    names = "os.name, sys.platform, p.system(), p.machine(), p.python_implementation(), p.python_version()"
    code = f"import os, platform as p, sys; print({names}, sys.implementation.name, p.release(), p.version())"
    says = run(code=code, language="python").check().text.split()
    answers = environment(says[5])

    assert compiled.is_dir()
    asked = ["os_name", "sys_platform", "platform_system", "platform_machine", "platform_python_implementation"]
    asked += ["python_full_version", "implementation_name", "platform_release", "platform_version"]
    assert says == [answers[name] for name in asked]


def test_what_only_the_host_needs_is_left_out_and_what_only_the_guest_needs_comes(shelf: Shelf) -> None:
    """Pip answers markers for the Python that runs it."""
    shelf.wheel("one", needs=('host; sys_platform == "linux"', 'guest; sys_platform == "wasi"', "both"))
    for name in ("host", "both", "deeper"):
        shelf.wheel(name)
    shelf.wheel("guest", needs=('deeper; platform_machine == "wasm32"',))

    assert ["both-1.0", "deeper-1.0", "guest-1.0", "one-1.0"] == chosen("one")


def test_markers_of_what_is_asked_for_count_too(shelf: Shelf) -> None:
    """Nothing may be left to bring in."""
    shelf.wheel("one")

    assert ["one-1.0"] == chosen("one; sys_platform == 'wasi'")
    assert [] == chosen("one; sys_platform == 'linux'")


def test_extras_bring_what_they_name(shelf: Shelf) -> None:
    """And nothing of an extra that nobody asked for."""
    shelf.wheel("one", needs=('two; extra == "more"', 'three; extra == "most"'))
    shelf.wheel("two", needs=("one[most]",))
    shelf.wheel("three")

    assert ["one-1.0"] == chosen("one")
    assert ["one-1.0", "three-1.0", "two-1.0"] == chosen("one[more]")


def test_packages_that_need_each_other_come_once(shelf: Shelf) -> None:
    """A circle ends."""
    shelf.wheel("one", needs=("two",))
    shelf.wheel("two", needs=("one",))

    assert ["one-1.0", "two-1.0"] == chosen("one", "two")


def test_pure_wheel_is_taken_where_there_is_a_native_one_too(shelf: Shelf) -> None:
    """Of the same version."""
    shelf.wheel("one", tag=NATIVE)
    shelf.wheel("one")

    assert ["one-1.0"] == chosen("one")


@pytest.mark.parametrize(("name", "fix"), [("one", "add `one<1.0`"), ("numpy", "languages install python-data")])
def test_native_package_is_refused_with_its_reason(shelf: Shelf, name: str, fix: str) -> None:
    """And with where it can be had, if it can."""
    shelf.wheel(name, tag=NATIVE)

    with pytest.raises(LoadError, match="it has a compiled part") as caught:
        chosen(name)
    assert fix in caught.value.fix


def test_nothing_of_that_name_is_told(shelf: Shelf) -> None:
    """In pip's own words."""
    shelf.wheel("one")

    with pytest.raises(LoadError, match="No matching distribution found for other"):
        chosen("one", "other")


def test_versions_that_do_not_go_together_are_told(shelf: Shelf) -> None:
    """Both were asked for."""
    shelf.wheel("one", needs=("two<2",))
    shelf.wheel("two", "2.0")

    with pytest.raises(LoadError, match="no wheels that go together"):
        chosen("one", "two>=2")


def test_index_that_cannot_be_reached_is_the_hosts_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a package that does not exist."""
    for name, value in {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_FIND_LINKS": ""}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(HostError, match="cannot be reached"):
        chosen("one")


@pytest.mark.parametrize("marker", ["python_version ~= 'x'", "sys_platform ~= 'wasi'"])
def test_markers_that_compare_nothing_are_told(shelf: Shelf, marker: str) -> None:
    """Asked for here, or by a package."""
    shelf.wheel("one", needs=(f"two; {marker}",))

    with pytest.raises(LoadError, match="its marker compares what cannot be compared"):
        chosen(f"one; {marker}")
    with pytest.raises(LoadError, match="cannot be brought in"):
        chosen("one")


def test_requirements_of_packages_that_cannot_be_read_are_told(shelf: Shelf) -> None:
    """Whichever of pip and us reads them first."""
    shelf.wheel("one", needs=("two >=banana",))

    with pytest.raises(LoadError, match=r"`one`.* cannot be brought in"):
        chosen("one")


def pinned(*wheels: Path) -> list[str]:
    """Write requirements that these wheels alone meet."""
    digests = [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels]
    return [
        f"{wheel.name.partition('-')[0]} --hash=sha256:{digest}" for wheel, digest in zip(wheels, digests, strict=True)
    ]


def test_pinned_wheel_is_chosen_and_no_other(shelf: Shelf) -> None:
    """One of several digests is enough; a package that is listed twice has those that both lines have."""
    one, two = shelf.wheel("one", needs=('host; sys_platform == "linux"',)), shelf.wheel("two")
    shelf.wheel("host")
    other = f" --hash=sha256:{'0' * 64}"
    [first, second] = pinned(one, two)

    assert ["one-1.0", "two-1.0"] == chosen(first + other, second, "host; sys_platform == 'linux'")
    assert ["one-1.0", "two-1.0"] == chosen(first + other, first, "one", second)
    with pytest.raises(LoadError, match="none of those asked for"):
        chosen(first, f"one{other}", second)


def test_pure_wheel_is_the_one_whose_digest_counts(shelf: Shelf) -> None:
    """A locked file has the digests of all wheels of a version, or of that which somebody looked at."""
    native, pure = shelf.wheel("one", tag=NATIVE), shelf.wheel("one", one__py="")

    assert ["one-1.0"] == chosen(*pinned(pure))
    with pytest.raises(LoadError, match="none of those asked for"):
        chosen(*pinned(native))


def test_what_the_guest_does_not_need_needs_no_digest_either(shelf: Shelf) -> None:
    """And a digest of what it does not need pins the others all the same."""
    one, two = shelf.wheel("one"), shelf.wheel("two")
    [first, second] = pinned(one, two)

    assert ["one-1.0"] == chosen(first, f"two; sys_platform == 'linux'{second.removeprefix('two')}")
    with pytest.raises(LoadError, match="`one` cannot be brought in: there is no digest"):
        chosen("one", f"two; sys_platform == 'linux'{second.removeprefix('two')}")
