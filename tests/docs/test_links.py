"""Links lead somewhere."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(set(ROOT.glob("*.md")) - {ROOT / "THIRD-PARTY-NOTICES.md"}),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]


def links(page: Path) -> list[str]:
    """Give every link of a page that stays in the repository."""
    inline = [token for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")) if token.children]
    found = [str(child.attrs.get("href", "")) for token in inline for child in token.children or ()]
    return [link for link in found if link and "://" not in link]


def anchors(page: Path) -> set[str]:
    """Give what can follow the `#`: the headings, as they are shortened everywhere."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_to_files_and_headings(page: Path) -> None:
    """A link names a file that is there, and a heading that is in it."""
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_found_from_the_first() -> None:
    """From that of the documentation, or of the decisions."""
    firsts = [ROOT / "docs" / "README.md", ROOT / "docs" / "explanation" / "decisions" / "README.md"]
    listed = {(first.parent / link.partition("#")[0]).resolve() for first in firsts for link in links(first)}

    assert set() == {*(ROOT / "docs").rglob("*.md")} - listed - {*firsts}
