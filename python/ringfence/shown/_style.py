"""Styles of a guest's: declarations of known properties, whose values can load nothing and cover nothing."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_BORDERS = {
    f"border{side}{part}"
    for side in ("", "-top", "-right", "-bottom", "-left")
    for part in ("", "-color", "-style", "-width")
}
_SIDES = {f"padding{side}" for side in ("", "-top", "-right", "-bottom", "-left")}
# What tables are styled with. Nothing that takes an element out of its place: no position, margin, transform, filter.
IN_PAGES = frozenset(
    {"background", "background-color", "color", "height", "max-width", "min-width", "width"}
    | {"border-collapse", "border-spacing", "text-align", "text-decoration", "text-transform", "vertical-align"}
    | {"font-family", "font-size", "font-style", "font-weight", "white-space"}
    | _BORDERS
    | _SIDES
)
# What drawings are styled with; they are shown as pictures, which keeps them in their place.
IN_DRAWINGS = frozenset(
    {"fill", "fill-opacity", "fill-rule", "clip-path", "clip-rule", "color", "display", "opacity", "visibility"}
    | {"stroke", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit"}
    | {"stroke-opacity", "stroke-width", "marker", "marker-end", "marker-mid", "marker-start", "paint-order"}
    | {"stop-color", "stop-opacity", "background-color", "mix-blend-mode", "vector-effect", "shape-rendering"}
    | {"font", "font-family", "font-size", "font-style", "font-weight", "letter-spacing", "word-spacing"}
    | {"text-anchor", "text-decoration", "dominant-baseline", "alignment-baseline", "baseline-shift", "white-space"}
    | {"writing-mode", "transform", "transform-origin", "text-rendering", "image-rendering"}
)
_FUNCTIONS = {"rgb", "rgba", "hsl", "hsla", "linear-gradient"}
_FUNCTIONS |= {"translate", "rotate", "scale", "matrix", "skewx", "skewy"}
_TOKEN = re.compile(
    r"\s++|[,()/]|#[0-9a-zA-Z]{3,8}\b|[-+]?(?:\d{1,9}(?:\.\d{0,20})?|\.\d{1,20})(?:e[-+]?\d\d?)?(?:%|[a-z]{0,4})"
    r"|(?P<word>-?[a-zA-Z][a-zA-Z-]*+)(?P<call>\()?|\"[\w .,-]*+\"|'[\w .,-]*+'|!important"
)
_REFERENCE = re.compile(r"url\(\s*+[\"']?#(?P<name>[\w.:-]++)[\"']?\s*+\)")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_MAX_VALUE_CHARACTERS = 1000
_SELECTOR = re.compile(r"[\w\s.#,>:*()~+-]++")


def declarations(text: str, known: Collection[str], *, references: bool = False) -> str:
    """
    Write again what is known of `name: value; …`; nothing where nothing is.

    Args:
        text: declarations of a guest.
        known: the properties that may stay.
        references: keep `url(#name)` too, which names something in the same drawing.
    """
    kept = []
    for declaration in text.split(";"):
        name, colon, value = declaration.partition(":")
        name, value = name.strip().lower(), value.strip()
        if colon and name in known and is_plain(value, references=references):
            kept.append(f"{name}: {' '.join(value.split())}")
    return "; ".join(kept)


def is_plain(value: str, *, references: bool = False) -> bool:
    """Tell whether a value is made of words, numbers, colours and known functions only."""
    if not value or len(value) > _MAX_VALUE_CHARACTERS:
        return False
    if references:
        value = _REFERENCE.sub(" ", value)
    place = 0
    while place < len(value):
        found = _TOKEN.match(value, place)
        if found is None or (found["call"] and found["word"].lower() not in _FUNCTIONS):
            return False
        place = found.end()
    return True


def rules(sheet: str) -> Iterator[tuple[str, str]]:
    """Give the plain rules of a sheet: selectors, in a text with commas, and declarations."""
    end = sheet.rfind("*/")  # a comment that is not closed is looked for once, not from every place where one begins
    sheet = _COMMENT.sub(" ", sheet[: end + 2]) + sheet[end + 2 :] if end >= 0 else sheet
    for rule in sheet.split("}"):
        selectors, brace, text = rule.partition("{")
        if brace and "{" not in text and _SELECTOR.fullmatch(selectors.strip()):
            yield selectors.strip(), text
