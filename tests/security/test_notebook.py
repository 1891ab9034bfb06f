"""Attacks on a notebook's page, which has a kernel with its reader's rights: in a real kernel and a real browser."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

import notebooks
from browser import Browser
from ringfence.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("compiled")
SVG = 'svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9"'

# What a browser does with each of them as it is: runs `evil()`, asks for `ORIGIN/evil`, or has it cover the page.
PAGES = [
    "<script>evil()</script>",
    "<img src=x onerror=evil()>",
    "<svg onload=evil()>",
    "<svg/onload=evil()//",
    "<IMG SRC=x ONERROR=evil()>",
    "<a href='javascript:evil()' class=click>link</a>",
    "<a href='&#106;avascript:evil()' class=click>link</a>",
    "<a href='data:text/html,<script>opener.evil()</script>' target=_blank>link</a>",
    "<iframe srcdoc='<script>parent.evil()</script>'></iframe>",
    "<iframe src='javascript:parent.evil()'></iframe>",
    "<iframe src='ORIGIN/evil'></iframe>",
    "<object data='ORIGIN/evil'></object><embed src='ORIGIN/evil'>",
    "<link rel=stylesheet href='ORIGIN/evil'>",
    "<link rel=prefetch href='ORIGIN/evil'>",
    "<style>@import url('ORIGIN/evil');</style>",
    "<style>#x{background:url(ORIGIN/evil)}</style><table id=x><tr><td>1</table>",
    "<style>#x{background:u\\72l(ORIGIN/evil)}</style><table id=x><tr><td>1</table>",
    "<style>#x{position:fixed;inset:0;background:red;z-index:99}</style><table id=x><tr><td>1</table>",
    "<style>*{display:none}</style>",
    "<style></style><img src=x onerror=evil()>",
    "<style><!--</style><img src=x onerror=evil()>-->",
    "<div style='background:url(ORIGIN/evil)'>1</div>",
    "<div style='background-image:image-set(\"ORIGIN/evil\" 1x)'>1</div>",
    "<div style='width:1px;color:red;background:url(&quot;ORIGIN/evil&quot;)'>1</div>",
    "<div style='position:fixed;top:0;left:0;width:100%;height:100%;background:red'>covers</div>",
    "<div style='margin:-9999px;padding:9999px;background:red'>covers</div>",
    "<div style='transform:scale(99);box-shadow:0 0 0 9999px red'>covers</div>",
    "</div></div></div><script>evil()</script>",
    "<!--><script>evil()</script>-->",
    "<!-- --!><script>evil()</script>-->",
    "<svg><style><img title='</style><img src=x onerror=evil()>'></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=evil()&gt;'>",
    "<noscript><p title='</noscript><img src=x onerror=evil()>'>",
    "<textarea><p title='</textarea><img src=x onerror=evil()>'>",
    "<title><p title='</title><img src=x onerror=evil()>'>",
    "<template><script>evil()</script></template><img src=x onerror=evil()>",
    "<details open ontoggle=evil()>1</details>",
    "<input autofocus onfocus=evil()><button onclick=evil() class=click>press</button>",
    "<form action='ORIGIN/evil'><button class=click>press</button></form>",
    "<video><source onerror=evil()></video><audio src='ORIGIN/evil'></audio>",
    "<video poster='ORIGIN/evil'></video>",
    "<img src='ORIGIN/evil'><img srcset='ORIGIN/evil 1x'>",
    "<table background='ORIGIN/evil'><tr><td>1</table>",
    "<svg><image href='ORIGIN/evil' width=9 height=9 /></svg>",
    "<svg><a xlink:href='javascript:evil()'><text class=click y=9>x</text></a></svg>",
    "<svg><script>evil()</script></svg>",
    "<svg><foreignObject><iframe srcdoc='<script>parent.evil()</script>'></iframe></foreignObject></svg>",
    "<b id=evils>1</b><form id=evil></form><img name=evils>",
    "<td style='color:red\"onmouseover=\"evil()'>1",
    '<p title="<img src=x onerror=evil()>">1</p>',
    "<scr<script>ipt>evil()</script>",
    "<body onload=evil()><marquee onstart=evil()>1</marquee>",
    "<meta http-equiv=refresh content='0;url=ORIGIN/evil'>",
]  # fmt: skip
DRAWINGS = [
    f"<{SVG}><script>evil()</script></svg>",
    f"<{SVG} onload='evil()'><rect width='9' height='9' onclick='evil()' class='click'/></svg>",
    f"<{SVG}><foreignObject><iframe xmlns='http://www.w3.org/1999/xhtml' src='ORIGIN/evil'/></foreignObject></svg>",
    f"<{SVG}><image href='ORIGIN/evil' width='9' height='9'/><image xlink:href='ORIGIN/evil' width='9'/></svg>",
    f"<{SVG}><use href='ORIGIN/evil#a'/></svg>",
    f"<{SVG}><style>@import url(ORIGIN/evil);</style><rect width='9' height='9'/></svg>",
    f"<{SVG}><style>rect{{fill:url(ORIGIN/evil#a)}}</style><rect width='9' height='9'/></svg>",
    f"<{SVG}><rect width='9' height='9' fill='url(ORIGIN/evil#a)' style='filter:url(ORIGIN/evil#b)'/></svg>",
    f"<{SVG}><a href='javascript:evil()'><text y='9' class='click'>x</text></a></svg>",
    f"<{SVG}><a><text y='9' class='click'>x</text><set attributeName='href' to='javascript:evil()'/></a></svg>",
    f"<{SVG}><animate attributeName='x' dur='1s' onbegin='evil()'/></svg>",
    f"<{SVG}><filter id='f'><feImage href='ORIGIN/evil'/></filter><rect width='9' height='9' filter='url(#f)'/></svg>",
    f"<?xml version='1.0'?><?xml-stylesheet href='ORIGIN/evil'?><{SVG}></svg>",
    f"<!DOCTYPE svg [<!ENTITY a '<script>evil()</script>'>]><{SVG}>&a;</svg>",
    f"<!DOCTYPE svg [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><{SVG}><text>&a;</text></svg>",
    f"<{SVG}><text>]]&gt;&lt;script&gt;evil()&lt;/script&gt;</text></svg>",
    f"<{SVG}><title>&lt;/title&gt;&lt;script&gt;evil()&lt;/script&gt;</title></svg>",
    f"<{SVG}></svg><script>evil()</script>",
    "<html><script>evil()</script></html>",
]
OTHERS = [
    ("application/javascript", "evil()"),
    ("text/javascript", "evil()"),
    ("application/vnd.plotly.v1+json", {"data": [], "layout": {"images": [{"source": "ORIGIN/evil"}]}}),
    ("application/vnd.vegalite.v5+json", {"data": {"url": "ORIGIN/evil"}, "mark": "point"}),
    ("application/vnd.jupyter.widget-view+json", {"model_id": "0"}),
    ("application/pdf", "JVBERi0="),
    ("text/markdown", "![](ORIGIN/evil) <img src=x onerror=evil()> [x](javascript:evil())"),
    ("text/latex", r"$\href{javascript:evil()}{x}$"),
    ("text/latex", r"$\require{html}\style{position:fixed}{x}$"),
    ("text/latex", r"$\def\a{\a\a}\a$"),
    ("text/latex", "<img src=x onerror=evil()>"),
    ("text/latex", r"$x$ <script>evil()</script> $\includegraphics{ORIGIN/evil}$"),
    ("image/png", "PHN2ZyBvbmxvYWQ9ImV2aWwoKSI+"),
    ("image/png", '"><script>evil()</script>'),
    ('image/svg+xml;x="><script>evil()</script>', f"<{SVG}/>"),
    ("text/html", ["<script>evil()</script>"]),
    ("text/html", b"<script>evil()</script>"),
    ("text/html", 7),
    ("application/json", {"a": float("nan")}),
    ("application/json", "{}"),
]  # fmt: skip
LOOKS = """(async () => {
    const outputs = [...document.querySelectorAll(".output")];
    const inside = outputs.flatMap(output => [...output.querySelectorAll("*")]);
    for (const each of inside)
        for (const kind of ["mouseover", "focus", "click"]) each.dispatchEvent(new MouseEvent(kind, {bubbles: true}));
    await new Promise(done => setTimeout(done, 1000));
    const covered = [...document.querySelectorAll(".mark")].filter(mark => {
        mark.scrollIntoView();
        const box = mark.getBoundingClientRect();
        return document.elementFromPoint(box.x + 5, box.y + box.height / 2) != mark;
    }).length;
    const acting = inside.filter(each => each.matches(
        "a, area, base, button, embed, form, iframe, input, link, meta, object, script, style, svg, [id], [name]")
        || [...each.attributes].some(attribute => attribute.name.startsWith("on"))).map(each => each.outerHTML);
    const images = outputs.flatMap(output => [...output.querySelectorAll("img")]);
    return {evils: evils.length, covered, acting, images: images.length,
            broken: images.filter(image => image.naturalWidth == 0).length};
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start a browser once."""
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def attacks(browser: Browser) -> list[tuple[str, Any]]:
    """Give all of them, with the address that they tell of themselves."""
    told: list[tuple[str, Any]] = [("text/html", page) for page in PAGES]
    told += [(kind, drawing) for drawing in DRAWINGS for kind in ("image/svg+xml", "text/html")]
    told += OTHERS
    return [(kind, eval(repr(data).replace("ORIGIN", browser.origin), {"nan": float("nan")})) for kind, data in told]  # noqa: S307


def test_attacks_do_harm_where_nobody_guards(browser: Browser, attacks: list[tuple[str, Any]]) -> None:
    """In this browser, in this page: or the test below would prove nothing."""
    harmless = [bundle for bundle in attacks if "refresh" not in str(bundle) and "action=" not in str(bundle)]

    seen, asked = browser.see(notebooks.page([{kind: data} for kind, data in harmless]), LOOKS)

    assert seen["evils"] > 20
    assert len(asked) > 10
    assert seen["covered"]
    assert len(seen["acting"]) > 40


def test_attack_nothing_of_a_guest_acts_in_the_page(browser: Browser, attacks: list[tuple[str, Any]]) -> None:
    """Nothing runs, is loaded, or covers what is not its own; every cell is shown, and the kernel lives."""
    cells = {
        str(n): f"%%ringfence\ndisplay({{{kind!r}: {data!r}}}, raw=True)" for n, (kind, data) in enumerate(attacks)
    }
    cells = {name: cell.replace("nan", "float('nan')") for name, cell in cells.items()}
    outputs = notebooks.run({**cells, "alive": "6 * 7"})

    assert "42" == notebooks.text(outputs["alive"])
    assert not [each for cell in outputs.values() for each in cell if each["output_type"] == "error"]
    bundles = [each["data"] for cell in outputs.values() for each in cell if "data" in each]
    kinds = {kind for bundle in bundles for kind in bundle}
    assert {"text/html", "text/latex", "text/plain"} == kinds
    assert [r"$\lt img src=x onerror=evil()\gt $"] == [each["text/latex"] for each in bundles if "text/latex" in each]
    seen, asked = browser.see(notebooks.page(bundles), LOOKS)

    assert [] == asked
    assert {"evils": 0, "covered": 0, "acting": [], "broken": 0} == {k: v for k, v in seen.items() if k != "images"}
    assert seen["images"] > 10


ENDLESS = ["<!", "<a ", "</", "<!--", "<![CDATA[", "&", "<", "<a b='", "<?", "<b>", "<style>", "<script><!--", "<a b="]
ENDLESS += [
    "<!--a--!",
    "&#x",
    "<svg>",
    "<b></i>",
    "<style>a{",
    "/*",
    "<table><style>#a td{color:red}</style><td>",
    "<i ",
]
ENDLESS += ["<style>/*", "<p style='a:b;'>"]
ENDLESS += ["<div style='", '<b a="', "&#9", "{", "<svg><g>", "<img src='data:image/png;base64,"]


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "text/latex", "text/plain", "image/png"])
def test_attack_markup_without_end_does_not_hold_the_kernel(kind: str) -> None:
    """Python's own reader of HTML took 18 seconds for 64 KiB of `<a b=`: all is read in one pass."""
    slow = []
    for unit in ENDLESS:
        for head in ("", "<svg>", "<style>", "<table id=a><tr>", "$"):
            before = time.process_time()
            shown({kind: head + unit * ((1 << 17) // len(unit))}, {})
            slow += [(head, unit)] if time.process_time() - before > 2 else []

    assert [] == slow


@pytest.mark.parametrize(
    "drawn",
    [
        "".join(f"<g id='a{n}'>" + f"<use href='#a{n + 1}'/>" * 10 + "</g>" for n in range(30)) + "<use href='#a0'/>",
        "<g id='a'>" + "<rect/>" * 10_000 + "</g>" + "<use href='#a'/>" * 10_000,
        "".join(f"<pattern id='a{n}'><rect fill='url(#a{n + 1})'/></pattern>" for n in range(30))
        + "<rect fill='url(#a0)'/>",
        "<marker id='a'>" + "<rect/>" * 1000 + "</marker><path marker-mid='url(#a)' d='" + "M0 0L1 1" * 100_000 + "'/>",
        "<g>" * 100_000 + "</g>" * 100_000,
        "<rect/>" * 300_000,
    ],
    ids=["use", "uses", "patterns", "markers", "deep", "many"],
)
def test_attack_drawing_that_multiplies_is_cut(drawn: str) -> None:
    """A browser would draw it for hours."""
    import base64
    import re

    page = shown({"image/svg+xml": f"<svg>{drawn}</svg>"}, {}).data.get("text/html")
    if page is not None:
        found = re.search('base64,([^"]*)', page)
        assert found is not None
        text = base64.b64decode(found[1]).decode()
        # What is shown by its name shows nothing.
        assert text.count("<use") <= 1
        assert text.count("url(#") <= 1


def test_attack_flood_of_outputs_is_cut() -> None:
    """By their number, their size, and the size of each."""
    outputs = notebooks.run(
        {
            "number": "%%ringfence\nfor n in range(1000): display(n)",
            "size": "%%ringfence\nfor n in range(20): display({'text/html': 'x' * (8 << 20)}, raw=True)",
            "long": "%%ringfence\nclass Long:\n    def __repr__(self): return 'x' * (8 << 20)\nLong()",
            "picture": "%%ringfence\nimport struct\n"
            "head = struct.pack('>I4sIIBBBBB', 13, b'IHDR', 60000, 60000, 8, 2, 0, 0, 0)\n"
            "display({'image/png': b'\\x89PNG\\r\\n\\x1a\\n' + head}, raw=True)",
            "alive": "6 * 7",
        }
    )

    assert 200 == len([each for each in outputs["number"] if "data" in each])
    assert "not shown: 800 more" in notebooks.text(outputs["number"])
    assert "more, which were too many or too large" in notebooks.text(outputs["size"])
    assert len(notebooks.text(outputs["long"])) < 2 << 20
    assert "not shown: image/png (only" in notebooks.text(outputs["picture"])
    assert "42" == notebooks.text(outputs["alive"])
