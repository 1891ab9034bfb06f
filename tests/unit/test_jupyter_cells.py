"""What cells show, in a real kernel: forms of values, `display`, and values that are strange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import notebooks
from ringfence._jupyter_cells import Cells

if TYPE_CHECKING:
    from pathlib import Path

FORM = """%%ringfence
class Form:
    def __init__(self, **forms): self.forms = forms
    def __getattr__(self, name):
        if name[6:-1] not in self.__dict__.get("forms", ()): raise AttributeError(name)
        return lambda: self.forms[name[6:-1]]
    def __repr__(self): return "a form"
GIF = "R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="
"""
CELLS = {
    "form": FORM,
    "html": "%%ringfence\nForm(html='<b>1</b>')",
    "svg": "%%ringfence\nForm(svg='<svg/>')",
    "png": "%%ringfence\nimport base64\nForm(png=(base64.b64decode(GIF), {'width': 7}))",
    "jpeg": "%%ringfence\nForm(jpeg=GIF)",
    "latex": "%%ringfence\nForm(latex='$x$')",
    "json": "%%ringfence\nForm(json={'a': 1})",
    "markdown": "%%ringfence\nForm(markdown='# one')",
    "bundle": "%%ringfence\nForm(mimebundle=({'text/html': '1', 'text/plain': 'plain'}, {}))",
    "none": "%%ringfence\nForm(html=None, png=None)",
    "wrong": "%%ringfence\nForm(html=7, png=object(), mimebundle=[1])",
    "strange": "%%ringfence\nForm(json={'a': object()})",
    "raises": "%%ringfence\nclass Raises:\n    def _repr_html_(self): 1 / 0\n"
    "    def _repr_svg_(self): return '<svg/>'\nRaises()",
    "all raise": "%%ringfence\nclass Raise:\n    def _repr_html_(self): 1 / 0\n"
    "    def __repr__(self): return 'here'\nRaise()",
    "not there": "%%ringfence\nclass Not:\n    def _repr_html_(self): raise NotImplementedError\nNot()",
    "mock": "%%ringfence\nfrom unittest.mock import MagicMock\nMagicMock(name='m')",
    "class": "%%ringfence\nRaises",
    "repr raises": "%%ringfence\nclass Wrong:\n    def __repr__(self): 1 / 0\nWrong()",
    "order": "%%ringfence\nprint('a'); display(1, Form(html='2')); print('b'); 3",
    "fails": "%%ringfence\ndisplay(1)\n1 / 0",
    "redirected": "%%ringfence\nimport io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()) as held:\n"
    "    print('x'); display(1)\nheld.getvalue()",
    "raw": "%%ringfence\ndisplay({'text/plain': 'raw'}, raw=True)",
    "no dict": "%%ringfence\ndisplay(7, raw=True)",
    "forged": "%%ringfence\nprint('\\x101\\x10\\x10999\\x10'); display(1)",
    "alive": "%%ringfence\n6 * 7",
}  # fmt: skip


@pytest.fixture(scope="module")
def cells(compiled: Path) -> dict[str, list[Any]]:
    """Run them all in one kernel."""
    assert compiled.is_dir()
    return notebooks.run(CELLS)


@pytest.mark.parametrize(
    ("cell", "forms", "text"),
    [
        ("html", {"text/html"}, "a form"),
        ("svg", {"text/html"}, "a form"),
        ("png", {"image/gif"}, "a form"),
        ("jpeg", {"image/gif"}, "a form"),
        ("latex", {"text/latex"}, "a form"),
        ("json", {"application/json"}, "a form"),
        ("markdown", set(), "# one"),
        ("bundle", {"text/html"}, "plain"),
        ("none", set(), "a form"),
        ("wrong", set(), "a form"),
        ("strange", set(), "a form"),
        ("raises", {"text/html"}, ""),
        ("all raise", set(), "ZeroDivisionError"),
        ("not there", set(), "Not object"),
        ("mock", set(), "<MagicMock name='m' id="),
        ("class", set(), "<class '__main__.Raises'>"),
        ("raw", set(), "raw"),
        ("alive", set(), "42"),
    ],
)
def test_value_is_shown_in_the_forms_that_it_has(
    cells: dict[str, list[Any]], cell: str, forms: set[str], text: str
) -> None:
    """As IPython asks for them; what fails or is no such form is left out."""
    assert [forms] == notebooks.forms(cells[cell]), cells[cell]
    assert text in notebooks.text(cells[cell])


def test_sizes_of_a_picture_are_kept(cells: dict[str, list[Any]]) -> None:
    """They are said beside it."""
    assert {"image/gif": {"width": 7}} == cells["png"][0]["metadata"]


def test_displays_come_in_their_order_and_before_what_fails(cells: dict[str, list[Any]]) -> None:
    """Between what is printed; where output is redirected nothing of ours is in it."""
    assert ["a\n", "1", "Form", "b\n", "3"] == [
        "Form" if "text/html" in each.get("data", {}) else notebooks.text([each]) for each in cells["order"]
    ]
    assert ["display_data", "error"] == [each["output_type"] for each in cells["fails"]]
    assert "1'x\\n'" == notebooks.text(cells["redirected"])


def test_wrong_values_are_errors_of_their_cell(cells: dict[str, list[Any]]) -> None:
    """In the guest's words."""
    assert "ZeroDivisionError" in notebooks.text(cells["repr raises"])
    assert "TypeError: a raw value is a dict by media type, and this is a int" in notebooks.text(cells["no dict"])
    assert "\\x10" not in notebooks.text(cells["forged"])


def test_what_is_shown_is_bounded() -> None:
    """By number and size; a forged bundle is refused."""
    cells = Cells()
    take = cells.functions()["_ringfence_give"]

    assert [0, 1] == [take({"text/plain": "x"}, {}) for _ in range(2)]
    assert -1 == take({"text/html": "x" * (65 << 20)}, {})
    assert 1 == cells.lost
    with pytest.raises(TypeError):
        take([], {})
    assert ["a", ({"text/plain": "x"}, {}), "b", ({"text/plain": "x"}, {})] == list(cells.in_order("a\x100\x10b"))
