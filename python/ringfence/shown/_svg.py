"""Drawings: SVG written anew of elements that draw, and shown as a picture, where a browser runs and loads nothing."""

from __future__ import annotations

import base64
from collections import Counter
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from ._style import IN_DRAWINGS, declarations, is_plain, rules

_MAX_CHARACTERS = 8 << 20
_MAX_ELEMENTS = 200_000
_MAX_DEPTH = 200
# What is drawn in the end: each `use` draws what it shows, each corner of a line its marker.
_MAX_DRAWN = 1_000_000
_MAX_MARKED = 20_000_000

_KEPT = {"svg", "g", "defs", "title", "desc", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon"}
_KEPT |= {"text", "tspan", "use", "symbol", "style"}
# What draws wherever it is referred to. Nothing in them refers to anything: a few that show each other many times
# would be drawn a billion times.
_STAMPS = {"clipPath", "linearGradient", "marker", "mask", "pattern", "radialGradient", "symbol"}
_KEPT |= _STAMPS | {"stop"}
_TEXTS = {"text", "tspan", "title", "desc"}
_HREFS = {"href", "xlink:href"}
_PLAIN = IN_DRAWINGS | {
    "x",
    "y",
    "x1",
    "y1",
    "x2",
    "y2",
    "cx",
    "cy",
    "r",
    "rx",
    "ry",
    "fx",
    "fy",
    "dx",
    "dy",
    "width",
    "height",
}
_PLAIN |= {"offset", "rotate", "textLength", "lengthAdjust", "viewBox", "preserveAspectRatio", "spreadMethod", "orient"}
_PLAIN |= {"gradientUnits", "gradientTransform", "clipPathUnits", "maskUnits", "maskContentUnits", "overflow"}
_PLAIN |= {"markerWidth", "markerHeight", "markerUnits", "refX", "refY"}
_PLAIN |= {"patternUnits", "patternContentUnits", "patternTransform"}
_LETTERS = {"d": "MmZzLlHhVvCcSsQqTtAaeE0123456789+-., \t\r\n", "points": "eE0123456789+-., \t\r\n"}
_NAMES = {"id", "class"}


def drawing(text: str) -> str | None:
    """Give a picture, as an element of a page; None where it is no drawing."""
    written = rewritten(text)
    if written is None:
        return None
    data = base64.b64encode(written.encode("utf-8", "replace")).decode("ascii")
    return f'<img style="max-width: 100%" src="data:image/svg+xml;base64,{data}">'


def rewritten(text: str) -> str | None:
    """Write a drawing anew; None where it is none."""
    if len(text) > _MAX_CHARACTERS:
        return None
    try:
        # What is shown by its name, many times perhaps, shows nothing else that way.
        names = _Names()
        names.read(text)
        if names.drawn() > _MAX_DRAWN or names.marked * len(text) > _MAX_MARKED:
            return None
        writer = _Writer(frozenset(names.used))
        writer.read(text)
    except (expat.ExpatError, _Unfit, UnicodeError, ValueError):
        return None
    return writer.written


class _Unfit(Exception):
    """It is no drawing that can be shown."""


class _Reader:
    """Reads elements with their depth; declares nothing, so that nothing multiplies."""

    def __init__(self) -> None:
        self._elements = 0
        self._open: list[str] = []

    def read(self, text: str) -> None:
        # Names are taken as they are written: parts of a page often leave their prefixes undeclared.
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = _unfit
        parser.StartDoctypeDeclHandler = _doctype
        # What it says of its encoding is not so any more.
        head, _, rest = text.lstrip("\ufeff \t\r\n").partition("?>")
        parser.Parse(rest if head.startswith("<?xml") else text.lstrip("\ufeff \t\r\n"), True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > _MAX_ELEMENTS or len(self._open) >= _MAX_DEPTH or (not self._open and name != "svg"):
            raise _Unfit
        self._open.append(name)
        self.element(name, attributes)

    def _end(self, name: str) -> None:
        self._open.pop()
        self.end(name)

    def _text(self, data: str) -> None:
        self.text(data)

    def element(self, name: str, attributes: dict[str, str]) -> None:
        """See an element that begins."""

    def end(self, name: str) -> None:
        """See it end."""

    def text(self, data: str) -> None:
        """See text."""


def _unfit(*_: object) -> None:
    raise _Unfit


def _doctype(_name: str, _system: str | None, _public: str | None, has_declarations: int) -> None:
    if has_declarations:
        raise _Unfit


class _Names(_Reader):
    """Finds what is shown by `use`, how often, and how large it is."""

    def __init__(self) -> None:
        super().__init__()
        self.used: Counter[str] = Counter()
        self.marked = 0
        self._sizes: Counter[str] = Counter()
        self._begun: list[tuple[str | None, int]] = []
        self._markers = 0

    def drawn(self) -> int:
        """How many elements are drawn by all that is shown by its name."""
        return sum(count * self._sizes[name] for name, count in self.used.items())

    def element(self, name: str, attributes: dict[str, str]) -> None:
        self._begun.append((attributes.get("id"), self._elements))
        self._markers += name == "marker"
        self.marked += bool(self._markers)
        if name == "use":
            self.used.update({attributes[href].removeprefix("#") for href in _HREFS & attributes.keys()})

    def end(self, name: str) -> None:
        self._markers -= name == "marker"
        identity, begun = self._begun.pop()
        if identity is not None:
            self._sizes[identity] += self._elements - begun + 1


class _Writer(_Reader):
    """Writes what is kept."""

    def __init__(self, used: frozenset[str]) -> None:
        super().__init__()
        self._used = used
        self._parts: list[str] = []
        self._dropped = 0
        # How many of the elements that are open are stamps: symbols, patterns, and what `use` shows.
        self._stamps: list[bool] = []
        self._sheet: list[str] | None = None

    @property
    def written(self) -> str:
        return "".join(self._parts)

    def element(self, name: str, attributes: dict[str, str]) -> None:
        in_stamp = any(self._stamps)
        self._stamps.append(name in _STAMPS or attributes.get("id") in self._used)
        if self._dropped or name not in _KEPT or self._sheet is not None or (name == "use" and in_stamp):
            self._dropped += 1
            return
        if name == "style":
            self._sheet = []
            return
        # Gradients may refer to gradients: colours come of it, not copies.
        refers = not in_stamp and (name not in _STAMPS or name.endswith("Gradient"))
        first = (
            ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
            if len(self._open) == 1
            else ""
        )
        self._parts.append(f"<{name}{first}{''.join(_attributes(name, attributes, refers=refers))}>")

    def end(self, name: str) -> None:
        self._stamps.pop()
        if self._dropped:
            self._dropped -= 1
        elif name == "style" and self._sheet is not None:
            self._parts.append(f"<style>{escape(_sheet(''.join(self._sheet)))}</style>")
            self._sheet = None
        else:
            self._parts.append(f"</{name}>")

    def text(self, data: str) -> None:
        if self._sheet is not None:
            self._sheet.append(data)
        elif not self._dropped and self._open and self._open[-1] in _TEXTS:
            self._parts.append(escape(data))


def _attributes(name: str, attributes: dict[str, str], *, refers: bool) -> list[str]:
    kept = []
    for key, value in attributes.items():
        said: str | None = None
        if key == "style":
            said = declarations(value, IN_DRAWINGS, references=refers)
        elif key in _HREFS:
            to = value.removeprefix("#")
            if value.startswith("#") and refers and (name == "use" or name.endswith("Gradient")) and _is_name(to):
                said = f"#{to}"
        elif key in _NAMES:
            said = value if all(map(_is_name, value.split())) else None
        elif key in _LETTERS:
            said = value if set(value) <= set(_LETTERS[key]) else None
        elif key == "xml:space":
            said = "preserve" if value == "preserve" else None
        elif key in _PLAIN:
            said = value if is_plain(value, references=refers) else None
        if said:
            kept.append(f" {key}={quoteattr(said)}")
    return kept


def _is_name(text: str) -> bool:
    return all(letter.isalnum() or letter in "_-.:" for letter in text)


def _sheet(text: str) -> str:
    # No references: which element a rule is for, a stamp or not, is not known here.
    return "\n".join(
        f"{selectors} {{{kept}}}" for selectors, rule in rules(text) if (kept := declarations(rule, IN_DRAWINGS))
    )
