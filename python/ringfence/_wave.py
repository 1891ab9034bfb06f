"""
Values as text, in WAVE: read and written by the types of a plugin.

A call is `render("# hi")`, `content.parse("x")` or `app:markdown/content.parse@1.0.0("x")`. Options and results may be
written without their case (`"x"` for `some("x")`), fields and last parameters that are options left out.
"""

from __future__ import annotations

import re
import sys

from ._plugin_names import short
from ._plugin_values import Err, Ok, Some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Params = list[tuple[str, int]]

_ESCAPE = r"\\(?:['\"\\tnr]|u\{[0-9a-fA-F]{1,6}\})"
_LABEL = r"(?:[a-z][a-z0-9]*|[A-Z][A-Z0-9]*)(?:-(?:[a-z0-9]+|[A-Z0-9]+))*"
_BLANK = re.compile(r"(?:\s|//[^\n]*)*")
_TOKEN = re.compile(
    rf"""(?P<sign>[{{}}()\[\]:,])
    |(?P<number>-inf|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)
    |(?P<label>%?{_LABEL})
    |(?P<char>'(?:[^\\'\n]|{_ESCAPE})')
    |(?P<text>\"\"\"(?:.|\n)*?\"\"\"|"(?:[^\\"\n]|{_ESCAPE})*")""",
    re.VERBOSE,
)
# The version stands after the function in WAVE, and after the interface in the names of components.
_VERSION = r"@(\d+\.\d+\.\d+(?:-[0-9A-Za-z-]+(?:\.\d+)*)?)"
_NAME = re.compile(rf"((?:{_LABEL}:{_LABEL}/)?{_LABEL})(?:{_VERSION}(?=\.))?(?:\.({_LABEL}))?(?:{_VERSION})?")
_KEYWORDS = {"true", "false", "some", "none", "ok", "err", "inf", "nan"}
_LETTERS = {"t": "\t", "n": "\n", "r": "\r", "'": "'", '"': '"', "\\": "\\"}
_FLOATS = {"f32", "f64"}
# The last two are of core modules.
_WHOLE = {*(f"{sign}{bits}" for sign in "su" for bits in (8, 16, 32, 64)), "i32", "i64"}
_SURROGATES = range(0xD800, 0xE000)


class WaveError(ValueError):
    """Text that is no value of its type: what is wrong, and where."""


def read_call(text: str) -> tuple[str, str, str, str]:
    """Read the start of a call: interface (or nothing), function, version (or nothing), and the parameters' text."""
    start = _end(_BLANK.match(text))
    name = _NAME.match(text, start)
    if name is None:
        raise WaveError(f"expected the name of a function, not {_near(text, start)}")
    place, before, function, version = name.groups()
    interface, function = (place, function) if function else ("", place)
    return interface, function, before or version or "", text[name.end() :]


def matches(interface: str, name: str, version: str) -> bool:
    """Whether an interface, or the root of a component, is the one that a call names."""
    whole, _, own_version = interface.partition("@")
    return name in ({whole, short(interface)} if interface else {""}) and (not version or version == own_version)


class Wave:
    """Reads and writes values of the types of a plugin: `types` as its code describes them, `classes` by number."""

    def __init__(self, types: list[tuple[Any, ...]], classes: list[Any]) -> None:
        self._types = types
        self._classes = classes

    def is_result(self, kind: int) -> bool:
        """Whether a type is a result."""
        return bool(self._types[kind][0] == "result")

    def params(self, text: str, params: Params) -> list[Any]:
        """Read what is between the parentheses; options at the end may be left out."""
        reading = _Reading(text, self._types, self._classes)
        values = reading.params(params)
        reading.end()
        return values

    def value(self, text: str, kind: int) -> Any:  # noqa: ANN401 - a value of any type
        """Read one value."""
        reading = _Reading(text, self._types, self._classes)
        value = reading.value(kind)
        reading.end()
        return value

    def written(self, value: Any, kind: int) -> str:  # noqa: ANN401, C901, PLR0911, PLR0912 - a line for each kind
        """Write a value."""
        name, *parts = self._types[kind]
        match name:
            case "bool":
                return "true" if value else "false"
            case "f32" | "f64":
                return _float(value, name)
            case "char":
                return f"'{_escaped(value)}'"
            case "string":
                return f'"{_escaped(value)}"'
            case "list":
                return f"[{', '.join(self.written(item, parts[0]) for item in value)}]"
            case "tuple":
                items = zip(value, parts[0], strict=True)
                return f"({', '.join(self.written(item, part) for item, part in items)})"
            case "record":
                fields = [
                    f"{field}: {self.written(item, part)}"
                    for field, part, item in self._fields(value, kind)
                    if not (item is None and self._types[part][0] == "option")
                ]
                return f"{{{', '.join(fields) or ':'}}}"
            case "variant":
                case, carries = self._case(value, kind)
                return _marked(case) + (f"({self.written(value.value, carries)})" if carries is not None else "")
            case "enum":
                return _marked(value.value)
            case "flags":
                return f"{{{', '.join(self._set(value, kind))}}}"
            case "option":
                return "none" if value is None else f"some({self.written(self._inside(value, parts[0]), parts[0])})"
            case "result":
                carries = parts[0] if isinstance(value, Ok) else parts[1]
                case = "ok" if isinstance(value, Ok) else "err"
                return case if carries is None else f"{case}({self.written(value.value, carries)})"
        if name in _WHOLE:
            return str(value)
        raise WaveError(f"a value of the type {name} has no text")

    def plain(self, value: Any, kind: int) -> Any:  # noqa: ANN401, C901, PLR0911 - a line for each kind
        """Make a value one of JSON: what has cases is an object of the case, or its name; bytes are numbers."""
        name, *parts = self._types[kind]
        match name:
            case "f32" | "f64":
                return value if value - value == 0 else _float(value, name)
            case "list":
                return [self.plain(item, parts[0]) for item in value]
            case "tuple":
                return [self.plain(item, part) for item, part in zip(value, parts[0], strict=True)]
            case "record":
                return {field: self.plain(item, part) for field, part, item in self._fields(value, kind)}
            case "variant":
                case, carries = self._case(value, kind)
                return case if carries is None else {case: self.plain(value.value, carries)}
            case "enum":
                return value.value
            case "flags":
                return self._set(value, kind)
            case "option":
                if value is None:
                    return None
                inside = self.plain(self._inside(value, parts[0]), parts[0])
                return {"some": inside} if isinstance(value, Some) else inside
            case "result":
                carries = parts[0] if isinstance(value, Ok) else parts[1]
                case = "ok" if isinstance(value, Ok) else "err"
                return {case: None if carries is None else self.plain(value.value, carries)}
            case "bool" | "char" | "string":
                return value
        if name in _WHOLE:
            return value
        raise WaveError(f"a value of the type {name} has no text")

    def _fields(self, value: Any, kind: int) -> list[tuple[str, int, Any]]:  # noqa: ANN401 - a record
        names = self._classes[kind][1]
        fields = zip(names, self._types[kind][1], strict=True)
        return [(field, part, getattr(value, own)) for own, (field, part) in fields]

    def _case(self, value: Any, kind: int) -> tuple[str, int | None]:  # noqa: ANN401 - a variant
        for (cls, _), (case, carries) in zip(self._classes[kind][1], self._types[kind][1], strict=True):
            if isinstance(value, cls):
                return case, carries
        raise WaveError("a value is none of its cases")

    def _set(self, value: Any, kind: int) -> list[str]:  # noqa: ANN401 - flags
        return [name for at, name in enumerate(self._types[kind][1]) if value.value >> at & 1]

    def _inside(self, value: Any, kind: int) -> Any:  # noqa: ANN401 - an option's value
        return value.value if isinstance(value, Some) and self._types[kind][0] == "option" else value


class _Reading:
    def __init__(self, text: str, types: list[tuple[Any, ...]], classes: list[Any]) -> None:
        self._text, self._types, self._classes = text, types, classes
        self._at = 0
        self._kind, self._word = "", ""
        self._next()

    def end(self) -> None:
        """Nothing may follow."""
        if self._kind:
            raise self._wrong("nothing more")

    def params(self, params: Params) -> list[Any]:
        values: list[Any] = []
        if self._kind:
            self._take("(")
            while not self._found(")"):
                if len(values) == len(params):
                    raise WaveError(f"{len(params)} parameters are expected, and there are more")
                values.append(self.value(params[len(values)][1]))
                self._comma(")")
        for name, kind in params[len(values) :]:
            if self._types[kind][0] != "option":
                raise WaveError(f"the parameter `{name}` is missing")
            values.append(None)
        return values

    def value(self, kind: int) -> Any:  # noqa: ANN401, C901, PLR0911 - a value of any type, a line for each kind
        name, *parts = self._types[kind]
        if name in _WHOLE or name in _FLOATS:
            return self._number(name)
        match name:
            case "bool":
                return self._one_of({"true": True, "false": False}, "true or false")
            case "char" | "string":
                return self._quoted(name)
            case "list":
                return self._items("[", "]", lambda _: parts[0])
            case "tuple":
                values = self._items("(", ")", lambda at: parts[0][at] if at < len(parts[0]) else None)
                if len(values) != len(parts[0]):
                    raise WaveError(f"expected a tuple of {len(parts[0])} values, not of {len(values)}")
                return tuple(values)
            case "record":
                return self._record(kind, parts[0])
            case "variant":
                return self._variant(kind, parts[0])
            case "enum":
                members = dict(zip(parts[0], self._classes[kind][1], strict=True))
                return self._one_of(members, "one of " + ", ".join(parts[0][:20]), label=True)
            case "flags":
                return self._flags(kind, parts[0])
            case "option":
                return self._option(parts[0])
            case "result":
                return self._result(*parts)
        raise WaveError(f"a value of the type {name} has no text")

    def _number(self, name: str) -> int | float:
        word = self._word
        fits = self._kind == "number" or (self._kind == "label" and word in {"inf", "nan"} and name in _FLOATS)
        if not fits or (name in _WHOLE and not word.lstrip("-").isdigit()):
            raise self._wrong(f"a number, for {name}")
        self._next()
        return _to_whole(word, name) if name in _WHOLE else _to_float(word, name)

    def _quoted(self, kind: str) -> str:
        word = self._word
        if self._kind != ("char" if kind == "char" else "text"):
            raise self._wrong(f"a {kind} in quotes")
        many = word.startswith('"""')
        value = "\n".join(map(self._unescaped, self._lines(word[3:-3]))) if many else self._unescaped(word[1:-1])
        self._next()
        return value

    def _lines(self, text: str) -> list[str]:
        lines = text.replace("\r\n", "\n").split("\n")
        indent = len(lines[-1])
        if len(lines) == 1 or lines[0] or lines[-1].strip(" "):
            raise WaveError('text in """ begins and ends with a line of its own')
        if any(line[:indent].strip(" ") or len(line) < indent for line in lines[1:-1] if line or indent):
            raise WaveError('lines of text in """ begin with as many spaces as the last one')
        return [line[indent:] for line in lines[1:-1]]

    def _unescaped(self, text: str) -> str:
        def one(found: re.Match[str]) -> str:
            escape = found.group()
            if not re.fullmatch(_ESCAPE, escape):
                raise WaveError(f"`{escape}` is nothing that is escaped")
            if escape[1] != "u":
                return _LETTERS[escape[1]]
            code = int(escape[3:-1], 16)
            if code > sys.maxunicode or code in _SURROGATES:
                raise WaveError(f"{escape} is no character")
            return chr(code)

        return re.sub(r"\\(?:u\{[^}]*\}|(?:.|\n)|$)", one, text)

    def _items(self, first: str, last: str, kind_of: Callable[[int], int | None]) -> list[Any]:
        self._take(first)
        values: list[Any] = []
        while not self._found(last):
            kind = kind_of(len(values))
            if kind is None:
                raise self._wrong(f"`{last}`")
            values.append(self.value(kind))
            self._comma(last)
        return values

    def _record(self, kind: int, fields: list[tuple[str, int]]) -> Any:  # noqa: ANN401 - of its class
        cls, names = self._classes[kind]
        kinds = dict(fields)
        given: dict[str, Any] = {}
        self._take("{")
        if self._found(":"):
            self._take("}")
        else:
            while not given or not self._found("}"):
                field = self._label()
                if field not in kinds or field in given:
                    raise WaveError(f"the field `{field}` is {'there twice' if field in given else 'not in its type'}")
                self._take(":")
                given[field] = self.value(kinds[field])
                self._comma("}")
        for field, part in fields:
            if field not in given and self._types[part][0] != "option":
                raise WaveError(f"the field `{field}` is missing")
        return cls(**{own: given.get(field) for own, (field, _) in zip(names, fields, strict=True)})

    def _variant(self, kind: int, cases: list[tuple[str, int | None]]) -> Any:  # noqa: ANN401 - of its class
        made = dict(zip((case for case, _ in cases), self._classes[kind][1], strict=True))
        case = self._one_of({case: case for case in made}, "one of " + ", ".join(list(made)[:20]), label=True)
        carries = dict(cases)[case]
        cls, _ = made[case]
        return cls() if carries is None else cls(self._payload(carries))

    def _flags(self, kind: int, names: list[str]) -> Any:  # noqa: ANN401 - of its class
        self._take("{")
        bits = 0
        while not self._found("}"):
            label = self._label()
            if label not in names or bits >> names.index(label) & 1:
                raise WaveError(f"the flag `{label}` is {'there twice' if label in names else 'not in its type'}")
            bits |= 1 << names.index(label)
            self._comma("}")
        return self._classes[kind](bits)

    def _option(self, kind: int) -> Any:  # noqa: ANN401 - a value of any type
        is_nested = self._types[kind][0] == "option"
        if self._is_word("none"):
            self._next()
            return None
        if self._is_word("some"):
            self._next()
            value = self._payload(kind)
        elif self._types[kind][0] in {"option", "result"}:
            raise self._wrong("some(…) or none")
        else:
            value = self.value(kind)
        return Some(value) if is_nested else value

    def _result(self, ok: int | None, error: int | None) -> Ok[Any] | Err[Any]:
        for word, kind, cls in (("ok", ok, Ok), ("err", error, Err)):
            if self._is_word(word):
                self._next()
                return cls(None if kind is None else self._payload(kind))
        if ok is None or self._types[ok][0] in {"option", "result"}:
            raise self._wrong("ok or err")
        return Ok(self.value(ok))

    def _payload(self, kind: int) -> Any:  # noqa: ANN401 - a value of any type
        self._take("(")
        value = self.value(kind)
        self._take(")")
        return value

    def _one_of(self, values: dict[str, Any], expected: str, *, label: bool = False) -> Any:  # noqa: ANN401
        word = self._word
        if self._kind != "label" or (label and word in _KEYWORDS):
            raise self._wrong(expected)
        word = word.removeprefix("%") if label else word
        if word not in values:
            raise self._wrong(expected)
        self._next()
        return values[word]

    def _label(self) -> str:
        if self._kind != "label":
            raise self._wrong("a name")
        word = self._word.removeprefix("%")
        self._next()
        return word

    def _is_word(self, word: str) -> bool:
        return self._kind == "label" and self._word == word

    def _found(self, sign: str) -> bool:
        if self._kind == "sign" and self._word == sign:
            self._next()
            return True
        return False

    def _take(self, sign: str) -> None:
        if not self._found(sign):
            raise self._wrong(f"`{sign}`")

    def _comma(self, last: str) -> None:
        if not self._found(",") and not (self._kind == "sign" and self._word == last):
            raise self._wrong(f"`,` or `{last}`")

    def _wrong(self, expected: str) -> WaveError:
        there = f"`{self._word[:40]}`" if self._kind else "its end"
        return WaveError(f"expected {expected}, not {there} (at character {self._at - len(self._word) + 1})")

    def _next(self) -> None:
        start = _end(_BLANK.match(self._text, self._at))
        if start == len(self._text):
            self._kind, self._word, self._at = "", "", start
            return
        token = _TOKEN.match(self._text, start)
        if token is None:
            raise WaveError(f"expected a value, not {_near(self._text, start)} (at character {start + 1})")
        self._kind, self._word, self._at = str(token.lastgroup), token.group(), token.end()


def _end(match: re.Match[str] | None) -> int:
    return match.end() if match else 0


def _near(text: str, at: int) -> str:
    return repr(text[at : at + 20]) if at < len(text) else "its end"


def _marked(case: str) -> str:
    return f"%{case}" if case in _KEYWORDS else case


def _escaped(text: str) -> str:
    signs = {"\\": "\\\\", '"': '\\"', "'": "\\'", "\t": "\\t", "\r": "\\r", "\n": "\\n"}
    return "".join(signs.get(sign) or (sign if sign.isprintable() else f"\\u{{{ord(sign):x}}}") for sign in text)


def _to_whole(word: str, name: str) -> int:
    half = 1 << int(name[1:]) - 1
    least, most = (0 if name[0] == "u" else -half), (half if name[0] == "s" else 2 * half) - 1
    # Longer ones are no number of any type, and take Python long to read.
    if len(word) > len(str(-2 * half)) or not least <= int(word) <= most:
        raise WaveError(f"{word[:40]} is not from {least} to {most}, as {name} is")
    return int(word)


def _to_float(word: str, name: str) -> float:
    import struct

    value = float(word)
    if name == "f64":
        return value
    try:
        narrow: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return float("-inf") if value < 0 else float("inf")
    return narrow


def _float(value: float, name: str) -> str:
    from decimal import Decimal

    if value - value != 0:  # not a number, or without end
        return repr(value)
    digits = repr(value)
    if name == "f32":
        # The fewest digits that are this number, and no other of its kind.
        shorter = (f"{value:.{count}g}" for count in range(1, 10))
        digits = next((text for text in shorter if _to_float(text, "f32") == value), digits)
    text = format(Decimal(digits), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
