"""How packs that are components are built: what comes from the registry of node is what was pinned."""

from __future__ import annotations

import base64
import hashlib
import tarfile
from typing import TYPE_CHECKING

import pytest
from packs.building import pack as modules
from packs.building.failure import Failure
from packs.components import npm, pack
from packs.javascript_web import recipe

if TYPE_CHECKING:
    from pathlib import Path


def archive(folder: Path, name: str = "package/index.js") -> Path:
    """Make an archive as the registry has them."""
    (folder / "index.js").write_text("1", encoding="utf-8")
    with tarfile.open(folder / "one.tgz", "w:gz") as made:
        made.add(folder / "index.js", arcname=name)
    return folder / "one.tgz"


def test_package_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    """By the digest that the registry gives, as it stands in the recipe."""
    made = archive(tmp_path)
    right = base64.b64encode(hashlib.sha512(made.read_bytes()).digest()).decode()
    npm.verify(made, "one", right)

    with pytest.raises(Failure, match="the package one is not the pinned one"):
        npm.verify(made, "one", right[::-1])


def test_package_is_unpacked_under_its_own_name_and_nowhere_else(tmp_path: Path) -> None:
    """Whatever its archive calls its folder; a name that climbs is refused."""
    npm.unpack(archive(tmp_path), tmp_path / "node_modules" / "@scope" / "one")
    assert "1" == (tmp_path / "node_modules" / "@scope" / "one" / "index.js").read_text(encoding="utf-8")

    with pytest.raises(tarfile.OutsideDestinationError):
        npm.unpack(archive(tmp_path, "../../climbed.js"), tmp_path / "node_modules" / "two")


def test_packages_are_pinned_by_version_and_digest() -> None:
    """Exact versions, and digests of 64 bytes."""
    packages = [modules.recipe(name).PACKAGE for name in pack.fetched()]
    pins = {package.name: (package.version, package.sha512) for package in packages}
    assert 4 == len(pins)
    for name, (version, sha512) in {**recipe.PACKAGES, **pins}.items():
        assert version.replace(".", "").replace("-", "").isdigit(), name
        assert 64 == len(base64.b64decode(sha512)), name


def test_only_packs_that_say_so_are_built_as_components() -> None:
    """Those that were there before are not built anew for them."""
    assert ["javascript_web"] == [name for name in modules.names() if pack.is_component(name)]


def test_shared_files_are_part_of_what_a_pack_is_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change in how the other JavaScript prints builds this one anew."""
    before = pack.inputs("javascript_web")
    monkeypatch.setattr(recipe, "SHARED", recipe.SHARED[:1])

    assert before != pack.inputs("javascript_web")
