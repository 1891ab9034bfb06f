"""What is in the wheel of a pack."""

from __future__ import annotations

import getpass
import hashlib
import platform
import tomllib
from importlib.metadata import distribution, entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest
from packs.building import cache, pack

# Those that are built when they are named.
PACKS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            name in {"c", "perl", "php", "python_data", "ruby"} and find_spec(f"ringfence_language_{name}") is None,
            reason=f"NOT TESTED: {name} is not installed",
        ),
    )
    for name in pack.names()
]


@pytest.mark.parametrize("name", PACKS)
def test_digest_and_size_are_those_of_the_module(name: str) -> None:
    """As `pack.toml` says."""
    folder = files(f"ringfence_language_{name}")
    told = tomllib.loads((folder / "pack.toml").read_text(encoding="utf-8"))
    module = (folder / told["wasm"]).read_bytes()

    assert (told["sha256"], told["size"]) == (hashlib.sha256(module).hexdigest(), len(module))


@pytest.mark.parametrize("name", PACKS)
def test_entry_point_leads_to_the_pack(name: str) -> None:
    """It is how Ringfence finds a language."""
    [found] = [
        each for each in entry_points(group="ringfence.languages") if each.name == pack.description(name)["language"]
    ]

    assert f"ringfence_language_{name}" == found.value


@pytest.mark.parametrize("name", PACKS)
def test_wheel_has_the_licences_and_the_sources(name: str) -> None:
    """Texts of everything that is linked in, and what it was built from, with digests."""
    told = distribution(f"ringfence_language_{name}")
    licences = [file for file in told.files or () if "licenses" in file.parts]
    sources = (files(f"ringfence_language_{name}") / "SOURCES.txt").read_text(encoding="utf-8")

    assert len(licences) >= 2
    assert all(file.read_text().strip() for file in licences)
    assert pack.description(name)["licence"] == told.metadata["License-Expression"]
    kinds = {"component": "@bytecodealliance/componentize-js-", "compiler": "@yowasp/clang-"}
    linked = kinds.get(str(pack.description(name).get("kind")), "wasi-libc_")
    assert [line for line in sources.splitlines() if line.split()[-1].startswith(linked)]


@pytest.mark.parametrize("name", PACKS)
def test_nothing_of_the_builder_is_in_the_module(name: str) -> None:
    """No path of the machine it was built on."""
    folder = files(f"ringfence_language_{name}")
    module = (folder / f"{name}.wasm").read_bytes()

    builder = {f"{Path.home()}/", str(cache.directory()), str(cache.ROOT), "/ringfence/packs/"}
    # Perl tells who linked it; another `root` is no trace of this machine.
    builder.add(f"{getpass.getuser()}@{platform.node()}")

    if name == "c":
        # clang knows where compilers of some Linuxes are: below `/opt/rh/devtoolset-9/root/`.
        builder -= {"/root/"}

    assert [] == [path for path in sorted(builder) if path.encode() in module]
