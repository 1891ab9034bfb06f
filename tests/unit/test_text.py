"""Guest text made safe."""

from ringfence._text import quote


def test_escape_codes_cannot_reach_a_terminal() -> None:
    """Control, format and direction characters are escaped: ESC, LF, a right-to-left override, a zero-width space."""
    assert r"a\x1b[2J\nb\u202ec\u200bd" == quote("a\x1b[2J\nb\u202ec\u200bd")


def test_giant_text_is_cut_and_says_so() -> None:
    """A name of 100 kB becomes a line."""
    assert f"{'x' * 200}… (99800 more)" == quote("x" * 100_000)


def test_ordinary_text_is_left_alone() -> None:
    """Letters of any script, spaces and backslashes stay as they are."""
    assert "naïve 名前 \\ ok" == quote("naïve 名前 \\ ok")
