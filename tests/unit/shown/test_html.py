"""HTML of a guest's, written anew."""

from __future__ import annotations

import pytest

from ringfence.shown._html import rebuilt

WALL = '<div class="tex2jax_ignore mathjax_ignore" style="overflow: auto">{}</div>'
# What pandas' Styler gives, shortened.
STYLER = """<style type="text/css">
#T_0 th {
  color: green;
  position: fixed;
}
#T_0_row0_col1, #T_0_row1_col1 {
  background-color: yellow;
  background: linear-gradient(90deg, #d65f5f 28.6%, transparent 28.6%);
}
#T_0 .data { text-align: right; }
</style><table id="T_0"><tr><th class="blank" >&nbsp;</th>
<td id="T_0_row0_col1" class="data row0 col1" >3.50</td></tr></table><th>other</th>"""


@pytest.mark.parametrize(
    ("page", "safe"),
    [
        ("<b>1", "<b>1</b>"),
        ("</div></div>1", "1"),
        ("<table><svg><td>x</svg>1", '<table class="dataframe">1</table>'),
        ('<td colspan="9999" rowspan="x">1', '<td colspan="1000">1</td>'),
        ("&lt;script&gt;", "&lt;script&gt;"),
        ("<!--<script>-->1", "1"),
        ("1 < 2 <3", "1 &lt; 2 &lt;3"),
        ("<p title='>'>1</p >2", "<p>1</p>2"),
        ("<i><b>1</i>2</b>", "<i><b>1</b></i>2"),
        ("a<br/>b<hr>", "a<br>b<hr>"),
        ("&#" + "9" * 5000 + ";", "&amp;#" + "9" * 5000 + ";"),
        (
            "<p style='color: red; position: fixed; font-weight:bold'>1",
            '<p style="color: red; font-weight: bold">1</p>',
        ),
    ],
)
def test_page_is_made_of_our_own_tags(page: str, safe: str) -> None:
    """Whatever is in it, no tag is the guest's, and each is closed."""
    assert WALL.format(safe) == rebuilt(page)


@pytest.mark.parametrize("page", ["", " \n", "<script>1</script>", "<style>a{}</style>", "<div></div>", "<!-- -->"])
def test_page_without_content_is_none(page: str) -> None:
    """Another form of the value is shown instead, or its text."""
    assert rebuilt(page) is None


def test_tags_in_tags_are_text() -> None:
    """What is left of it is nothing that a browser would put together."""
    assert "<script" not in str(rebuilt("<scr<script>ipt>1</script>2"))


def test_sheet_of_a_table_is_said_in_its_cells() -> None:
    """By names, as pandas writes them; for no other table."""
    page = str(rebuilt(STYLER))

    assert '<th style="color: green">\xa0</th>' in page
    bar = "linear-gradient(90deg, #d65f5f 28.6%, transparent 28.6%)"
    assert f'<td style="text-align: right; background-color: yellow; background: {bar}">3.50</td>' in page
    assert "<th>other</th>" in page
    assert "T_0" not in page


def test_drawings_and_pictures_in_a_page_stay() -> None:
    """As pictures of ours."""
    assert '<img style="max-width: 100%" src="data:image/svg+xml;base64,' in str(rebuilt("<p><svg><rect/></svg>"))
    gif = "R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="
    assert f'src="data:image/gif;base64,{gif}"' in str(
        rebuilt(f"<img onerror=evil() src='data:image/png;base64,{gif}'>")
    )


def test_styles_are_cut_where_they_multiply() -> None:
    """One rule may be for every cell."""
    rule = "color: red; " * 1000
    page = rebuilt(f"<style>#a td {{{rule}}}</style><table id=a>{'<td>1' * 50_000}")

    assert page is not None
    assert len(page) < 6 << 20
