"""SVG of a guest's, written anew."""

from __future__ import annotations

import pytest

from ringfence.shown._svg import drawing, rewritten

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


@pytest.mark.parametrize(
    ("drawn", "written"),
    [
        ('<svg x="9"><path d="M0 0z" fill="red"/></svg>', f'{HEAD} x="9"><path d="M0 0z" fill="red"></path></svg>'),
        ("<svg><script>1</script><text>a &lt; b</text></svg>", f"{HEAD}><text>a &lt; b</text></svg>"),
        ('<svg onload="1"><a href="x"><rect/></a></svg>', f"{HEAD}></svg>"),
        ('<svg><g id="a"/><use xlink:href="#a"/></svg>', f'{HEAD}><g id="a"></g><use xlink:href="#a"></use></svg>'),
        ('<svg><use href="http://x#a"/></svg>', f"{HEAD}><use></use></svg>"),
        ('<svg><rect fill="url(#a)" stroke="url(x#a)"/></svg>', f'{HEAD}><rect fill="url(#a)"></rect></svg>'),
        ("<svg><style>@import 'x'; .a &gt; b{fill:red;behavior:url(x)}</style></svg>", f"{HEAD}><style></style></svg>"),
        ("<svg><style>a &gt; b{fill:red;x:()}</style></svg>", f"{HEAD}><style>a &gt; b {{fill: red}}</style></svg>"),
        ("<?xml version='1.0' encoding='latin-1'?>\n<!DOCTYPE svg PUBLIC 'a' 'b'><svg>é</svg>", f"{HEAD}></svg>"),
    ],
)  # fmt: skip
def test_drawing_is_made_of_what_draws(drawn: str, written: str) -> None:
    """Elements and attributes that are known, with names in the same drawing."""
    assert written == rewritten(drawn)


@pytest.mark.parametrize(
    "drawn",
    [
        "", "text", "<svg>", "<html/>", "<svg></svg><svg/>", "<svg>&nbsp;</svg>", "<svg a=1/>",
        "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg>&a;</svg>", "<svg>\0</svg>", "<g><svg/></g>",
    ],
)  # fmt: skip
def test_what_is_no_drawing_is_none(drawn: str) -> None:
    """Nothing is guessed of it."""
    assert rewritten(drawn) is None
    assert drawing(drawn) is None


def test_what_is_shown_by_its_name_shows_nothing_that_way() -> None:
    """Or a few elements would be drawn a billion times."""
    once = rewritten('<svg><g id="a"><use href="#b"/><rect fill="url(#c)"/></g><g id="b"/><use href="#a"/></svg>')

    assert once is not None
    assert 1 == once.count("<use")
    assert "url" not in once


def test_drawing_is_a_picture() -> None:
    """A browser runs and loads nothing in one."""
    assert str(drawing("<svg/>")).startswith('<img style="max-width: 100%" src="data:image/svg+xml;base64,')
