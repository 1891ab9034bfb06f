"""Classes for the resources of a plugin, and those of yours."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ringfence._plugin_resources import Resource, class_in, classes_of, given_for


class Blob:
    """Stands for a resource."""


@pytest.mark.parametrize("given", [{"blob": Blob}, {"Blob": Blob}, SimpleNamespace(Blob=Blob)])
@pytest.mark.parametrize("key", ["app:host/blobs@1.0.0", "app:host/blobs", "blobs"])
def test_class_of_yours_is_found_under_its_name(key: str, given: object) -> None:
    """In a mapping or an object, for the interface under any of its names."""
    assert [Blob] == classes_of([("app:host/blobs@1.0.0", "blob", True)], {key: given})
    assert (key, given) == given_for({key: given}, "app:host/blobs@1.0.0")
    assert Blob is class_in(given, "blob")


def test_resource_of_yours_without_a_class_takes_any_object() -> None:
    """Where nothing is given, nothing is looked at."""
    assert [None] == classes_of([("app:host/blobs", "blob", True)], {})


def test_resource_of_the_plugin_has_a_class_of_its_own() -> None:
    """Spelled as a type; without a constructor it cannot be called."""
    [made] = classes_of([("app:host/blobs", "large-blob", False)], {})
    assert made is not None
    assert issubclass(made, Resource)
    assert ("LargeBlob", "ringfence.plugin.app:host/blobs") == (made.__name__, made.__module__)
    with pytest.raises(TypeError, match="LargeBlob has no constructor"):
        made()
