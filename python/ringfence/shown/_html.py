"""
Pages: HTML written anew with tags of ours.

What a guest wrote must run nothing in a page that has a kernel, load nothing, since that would tell the network, and
cover nothing. It is read in one pass: parsers that go back take hours for a text that was made for that.
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from ._image import picture
from ._style import IN_PAGES, declarations, rules
from ._svg import drawing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_CHARACTERS = 4 << 20
_MAX_DEPTH = 100
_MAX_SPAN = 1000
# One rule may be for every cell.
_MAX_STYLE_CHARACTERS = 4 << 20
_MAX_RULES = 16

_KEPT = {"table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption", "div", "p", "span", "b", "i", "em", "strong"}
_KEPT |= {"code", "pre", "ul", "ol", "li", "small", "sub", "sup", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote"}
_KEPT |= {"dl", "dt", "dd", "u", "s", "kbd", "samp", "var", "mark", "details", "summary", "figure", "figcaption"}
_ALONE = {"br", "hr"}
# What is inside of them is no text for a reader.
_DROPPED = {"math", "iframe", "object", "template", "noscript", "select", "audio", "video", "canvas", "head"}
# What is inside of them is no markup, up to their end.
_RAW = {
    name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in ("script", "style", "textarea", "title", "xmp", "svg")
}
_TAG = re.compile(r"<(?P<end>/?+)(?P<name>[a-zA-Z][^\s/>]*+)")
_ATTRIBUTE = re.compile(
    r"[\s/]*+(?:(?P<close>>)|(?P<name>[^\s/>=][^\s/>=]*+)(?:\s*+=\s*+(?:\"(?P<two>[^\"]*+)\"|'(?P<one>[^']*+)'|(?P<bare>[^\s>]++)))?+)"
)
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif);base64,")
_IDENTIFIED = re.compile(r"#(?P<id>[\w-]++)(?:\s++(?P<what>\.?[\w-]++))?+")


class Tag(NamedTuple):
    """A tag that begins."""

    name: str
    attributes: Mapping[str, str]


def rebuilt(page: str) -> str | None:
    """Write a page anew; None where nothing of it is left to be seen, or it is too long."""
    if len(page) > _MAX_CHARACTERS:
        return None
    writer = _Writer(page)
    writer.read()
    if not writer.has_content:
        return None
    # The classes keep formulas, and links in them, from being made of text; what is wider than the page is scrolled.
    return f'<div class="tex2jax_ignore mathjax_ignore" style="overflow: auto">{writer.written()}</div>'


class _Writer:
    """Reads from the first character to the last, and writes what is kept, every tag closed."""

    def __init__(self, page: str) -> None:
        self.has_content = False
        self._page, self._place = page, 0
        self._parts: list[str] = []
        self._open: list[str] = []
        self._dropped = self._style_characters = 0
        self._styles: dict[tuple[str, str], list[str]] = {}
        self._tables: list[str] = []

    def read(self) -> None:
        while self._place < len(self._page):
            start = self._page.find("<", self._place)
            if start < 0:
                start = len(self._page)
            self._text(self._page[self._place : start])
            self._place = start
            if start < len(self._page):
                self._markup()

    def written(self) -> str:
        """Give it all, with what is open closed."""
        return "".join([*self._parts, *(f"</{tag}>" for tag in reversed(self._open))])

    def _markup(self) -> None:
        """Go past what begins with `<`; what has no end is the last."""
        page, start = self._page, self._place
        if page.startswith(("<!", "<?"), start):
            comment = page.startswith("<!--", start)
            end = page.find("-->" if comment else ">", start + 2)
            self._place = len(page) if end < 0 else end + (3 if comment else 1)
            return
        found = _TAG.match(page, start)
        if found is None:
            self._text("<")
            self._place = start + 1
            return
        self._place = found.end()
        attributes = self._attributes()
        name = found["name"].lower()
        if found["end"]:
            self._end(name)
        elif name in _RAW:
            self._raw(Tag(name, attributes), start)
        else:
            self._begin(Tag(name, attributes))

    def _attributes(self) -> dict[str, str]:
        attributes: dict[str, str] = {}
        while (found := _ATTRIBUTE.match(self._page, self._place)) is not None:
            self._place = found.end()
            if found["close"]:
                return attributes
            value = next((found[kind] for kind in ("two", "one", "bare") if found[kind] is not None), "")
            attributes.setdefault(found["name"].lower(), _unescaped(value))
        self._place = self._page.find(">", self._place) + 1 or len(self._page)
        return attributes

    def _raw(self, tag: Tag, start: int) -> None:
        found = _RAW[tag.name].search(self._page, self._place)
        if found is None:
            self._place = len(self._page)
            return
        inside = self._page[self._place : found.start()]
        self._place = self._page.find(">", found.end()) + 1 or len(self._page)
        if self._dropped:
            return
        if tag.name == "style":
            self._learn(inside)
        elif tag.name == "svg" and (drawn := drawing(self._page[start : self._place])) is not None:
            self._put(drawn)

    def _learn(self, sheet: str) -> None:
        """Keep styles of what has a name, as pandas writes them: `#T_1_row0_col0`, `#T_1 th`, `#T_1 .data`."""
        for selectors, text in rules(sheet):
            said = declarations(text, IN_PAGES)
            for selector in selectors.split(",") if said else ():
                found = _IDENTIFIED.fullmatch(selector.strip())
                if found is not None:
                    known = self._styles.setdefault((found["id"], found["what"] or ""), [])
                    known += [said] if len(known) < _MAX_RULES else []

    def _begin(self, tag: Tag) -> None:
        if tag.name in _DROPPED:
            self._dropped += 1
        elif self._dropped:
            return
        elif tag.name in _ALONE:
            self._parts.append(f"<{tag.name}>")
        elif tag.name == "img":
            self._image(tag.attributes)
        elif tag.name in _KEPT and len(self._open) < _MAX_DEPTH:
            if tag.name == "table":
                self._tables.append(tag.attributes.get("id", ""))
            self._parts.append(f"<{tag.name}{self._said(tag)}>")
            self._open.append(tag.name)

    def _end(self, name: str) -> None:
        if name in _DROPPED:
            self._dropped = max(0, self._dropped - 1)
        elif name in self._open and not self._dropped:
            while (above := self._open.pop()) != name:
                self._close(above)
            self._close(name)

    def _close(self, name: str) -> None:
        if name == "table":
            self._tables.pop()
        self._parts.append(f"</{name}>")

    def _said(self, tag: Tag) -> str:
        """Write what stays of its attributes: numbers, and styles of tables and text."""
        said = ""
        for name in ("colspan", "rowspan"):
            number = tag.attributes.get(name, "")
            if number.isascii() and number.isdecimal() and len(number) < 5:  # noqa: PLR2004
                said += f' {name}="{min(int(number), _MAX_SPAN)}"'
        if tag.name == "table":
            said += ' class="dataframe"'
        style = "; ".join(self._styles_of(tag)) if self._style_characters < _MAX_STYLE_CHARACTERS else ""
        self._style_characters += len(style)
        return f'{said} style="{html.escape(style)}"' if style else said

    def _styles_of(self, tag: Tag) -> list[str]:
        found: list[str] = []
        if self._styles:
            table = self._tables[-1] if self._tables else ""
            found += self._styles.get((table, tag.name), [])
            for name in tag.attributes.get("class", "").split()[:10]:
                found += self._styles.get((table, f".{name}"), [])
            found += self._styles.get((tag.attributes.get("id", ""), ""), [])
        own = declarations(tag.attributes.get("style", ""), IN_PAGES)
        return [*found, own] if own else found

    def _image(self, attributes: Mapping[str, str]) -> None:
        """Keep a picture that is inside of the page."""
        source = attributes.get("src", "")
        found = _PICTURE.match(source)
        image = None if found is None else picture(source[found.end() :])
        if image is not None:
            self._put(f'<img style="max-width: 100%" src="data:{image[0]};base64,{image[1]}">')

    def _put(self, element: str) -> None:
        self._parts.append(element)
        self.has_content = True

    def _text(self, data: str) -> None:
        if not self._dropped and data:
            self._parts.append(html.escape(_unescaped(data)))
            self.has_content = self.has_content or not data.isspace()


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a number of a character with thousands of digits
        return text
