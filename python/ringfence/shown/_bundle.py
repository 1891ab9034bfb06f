"""What of the forms of a value reaches the page: by their media types, each made anew."""

from __future__ import annotations

import json
from typing import NamedTuple

from ringfence._text import quote

from ._html import rebuilt
from ._image import picture
from ._latex import formula
from ._svg import drawing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_PICTURES = ("image/png", "image/jpeg", "image/gif")
_MAX_TEXT_CHARACTERS = 1 << 20
_MAX_JSON_CHARACTERS = 4 << 20
_MAX_SIDE = 10_000
_MAX_NAMED = 5
_TEXTS = ("text/plain", "text/markdown")


class Shown(NamedTuple):
    """
    What a page is given.

    Attributes:
        data: by media type.
        metadata: sizes of pictures, by media type.
        left: what stayed behind, where nothing but text is left.
    """

    data: dict[str, Any]
    metadata: dict[str, dict[str, int]]
    left: list[str]


def shown(bundle: Mapping[Any, Any], metadata: Mapping[Any, Any]) -> Shown:
    """Make anew what a guest gave, by media types; what is no such type, or not what it says, is left out."""
    data: dict[str, Any] = {}
    sizes: dict[str, dict[str, int]] = {}
    page = _text(bundle, "text/html", rebuilt) or _text(bundle, "image/svg+xml", drawing)
    if page is not None:
        data["text/html"] = page
    for kind in _PICTURES:
        image = picture(bundle.get(kind))
        if image is not None:
            data[image[0]] = image[1]
            sizes |= _sizes(image[0], metadata.get(kind))
    if (written := _text(bundle, "text/latex", formula)) is not None:
        data["text/latex"] = written
    if (value := _json(bundle.get("application/json"))) is not None:
        data["application/json"] = value
    rich = {each for each in map(str, bundle) if each not in _TEXTS}
    left = [] if data else [quote(each, 60) for each in sorted(rich)[:_MAX_NAMED]]
    plain = next((bundle[kind] for kind in reversed(_TEXTS) if isinstance(bundle.get(kind), str)), None)
    if plain is not None:
        data["text/plain"] = cleaned(plain)
    return Shown(data, sizes, left)


def cleaned(text: str) -> str:
    """Escape what a terminal or a log would obey, but for ends of lines."""
    missing = len(text) - _MAX_TEXT_CHARACTERS
    lines = text[:_MAX_TEXT_CHARACTERS].split("\n")
    more = f"… ({missing} more)" if missing > 0 else ""
    return "\n".join(quote(line, len(line)) for line in lines) + more


def _text(bundle: Mapping[Any, Any], kind: str, made: Any) -> str | None:  # noqa: ANN401
    text = bundle.get(kind)
    written: str | None = made(text) if isinstance(text, str) else None
    return written


def _sizes(kind: str, said: Any) -> dict[str, dict[str, int]]:  # noqa: ANN401
    if not isinstance(said, dict):
        return {}
    sides = {side: said.get(side) for side in ("width", "height")}
    return {kind: {side: n for side, n in sides.items() if type(n) is int and 0 < n <= _MAX_SIDE}}


def _json(value: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, (dict, list)):
        return None
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return json.loads(text) if len(text) <= _MAX_JSON_CHARACTERS else None
