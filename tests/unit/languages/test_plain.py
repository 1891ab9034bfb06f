"""The plain part of TOML is read as TOML is, and the rest is left alone."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.languages._plain import read_plain

ROOT = Path(__file__).parents[3]
PACKS = [*sorted(ROOT.glob("packs/*/pack.toml")), *sorted(ROOT.glob("examples/*/*/*/pack.toml"))]
# What documents are made of, right and wrong.
PIECES = st.sampled_from(
    ["a", "b-c", "=", " = ", '"', '"x"', '"#"', "'x'", "[", "]", "[t]", "[[t]]", ",", "\n", "\n\n", "\r\n", "\t"]
) | st.sampled_from(
    [
        " ",
        "#",
        "# x",
        "1",
        "01",
        "-1",
        "1_0",
        "1.5",
        "true",
        "\\",
        "\\n",
        '"""',
        ".",
        "é",
        "\x00",
        '["x"]',
        '["x", "y",]',
    ]
)


@pytest.mark.parametrize("file", PACKS, ids=[file.parent.name for file in PACKS])
def test_packs_of_this_repository_are_plain(file: Path) -> None:
    """So that a start with one of them needs no more than this."""
    text = file.read_text(encoding="utf-8")

    assert tomllib.loads(text) == read_plain(text)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_what_is_read_is_what_toml_says(text: str) -> None:
    """A document that is read here means the same there; one that is an error there is never read here."""
    plain = read_plain(text)
    if plain is not None:
        assert tomllib.loads(text) == plain


@given(
    st.dictionaries(
        st.text("abc-_1", min_size=1),
        st.one_of(
            st.integers(0, 10**17),
            st.text(st.characters(blacklist_categories=("C", "Z"), blacklist_characters='"\\')),
            st.lists(st.text("abc. #=[],", max_size=5), max_size=4),
        ),
    )
)
def test_whatever_is_plain_is_read(document: dict[str, object]) -> None:
    """Texts, whole numbers and lists of texts come back as they were."""

    def shown(value: object) -> str:
        if isinstance(value, list):
            return f"[{', '.join(map(shown, value))}]"
        return f'"{value}"' if isinstance(value, str) else str(value)

    text = "\n".join(f"{key} = {shown(value)} # a note" for key, value in document.items())

    assert document == read_plain(text)


@pytest.mark.parametrize(
    "text",
    [
        'a = "\\n"',
        "a = 'x'",
        "a = 1.5",
        "a.b = 1",
        "[[a]]",
        "a = 1\na = 2",
        "[a]\n[a]",
        'a = """x"""',
        "a = [1]",
        "a",
        "a =",
    ],
)
def test_what_is_not_plain_is_left_alone(text: str) -> None:
    """Right or wrong, `tomllib` says."""
    assert read_plain(text) is None
