"""What a new plugin begins with."""

from __future__ import annotations

import pytest

from ringfence._templates import LANGUAGES, files


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_one_world(language: str) -> None:
    """And says which it is."""
    written = files("page-renderer", language)

    assert "package example:page-renderer;" in written["plugin.wit"]
    assert f'language = "{language}"\n' == written["plugin.toml"]
    assert not [path for path, text in written.items() if "@" in text.replace("page@", "")]
