"""
Values as text, in WAVE: read and written by the types of a plugin.

A call is `render("# hi")`, `content.parse("x")` or `app:markdown/content.parse@1.0.0("x")`. Options and results may be
written without their case (`"x"` for `some("x")`), fields and last parameters that are options left out.

WAVE has nothing for maps: they are written as the lists of pairs that they stand for, `[("a", 1), ("b", 2)]`.
"""

from __future__ import annotations

import re

from ._plugin_names import short
from ._plugin_shapes import inside
from ._plugin_values import Err, Ok, Some
from ._wave_words import (
    ESCAPE,
    FLOATS,
    KEYWORDS,
    WHOLE,
    WaveError,
    escaped,
    marked,
    of_float,
    one_of,
    to_float,
    to_whole,
    unescaped,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Params = list[tuple[str, int]]

_LABEL = r"(?:[a-z][a-z0-9]*|[A-Z][A-Z0-9]*)(?:-(?:[a-z0-9]+|[A-Z0-9]+))*"
_BLANK = re.compile(r"(?:\s|//[^\n]*)*")
_TOKEN = re.compile(
    rf"""(?P<sign>[{{}}()\[\]:,])
    |(?P<number>-inf|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)
    |(?P<label>%?{_LABEL})
    |(?P<char>'(?:[^\\'\n]|{ESCAPE})')
    |(?P<text>\"\"\"(?:.|\n)*?\"\"\"|"(?:[^\\"\n]|{ESCAPE})*")""",
    re.VERBOSE,
)
# The version stands after the function in WAVE, and after the interface in the names of components.
_VERSION = r"@(\d+\.\d+\.\d+(?:-[0-9A-Za-z-]+(?:\.\d+)*)?)"
_NAME = re.compile(rf"((?:{_LABEL}:{_LABEL}/)?{_LABEL})(?:{_VERSION}(?=\.))?(?:\.({_LABEL}))?(?:{_VERSION})?")
# What is a place in an instance, or comes later.
_TEXTLESS = {"own": "resources", "borrow": "resources", "stream": "streams", "future": "futures"}


class NoText(WaveError):
    """A type of whose values some have no text, whatever they are."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"{_TEXTLESS.get(kind, kind)} have no text")


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

    def check(self, kind: int) -> None:
        """Refuse a type that has no text, or has one in it that has none."""
        left, seen = [kind], set()
        while left:
            kind = left.pop()
            if kind in seen:
                continue
            seen.add(kind)
            name = self._types[kind][0]
            if name in _TEXTLESS:
                raise NoText(name)
            left += inside(*self._types[kind])

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
                return of_float(value, name)
            case "char":
                return f"'{escaped(value)}'"
            case "string":
                return f'"{escaped(value)}"'
            case "list" | "fixed":
                return f"[{', '.join(self.written(item, parts[0]) for item in value)}]"
            case "map":
                pairs = (f"({self.written(own, parts[0])}, {self.written(value[own], parts[1])})" for own in value)
                return f"[{', '.join(pairs)}]"
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
                return marked(case) + (f"({self.written(value.value, carries)})" if carries is not None else "")
            case "enum":
                return marked(value.value)
            case "flags":
                return f"{{{', '.join(self._set(value, kind))}}}"
            case "option":
                return "none" if value is None else f"some({self.written(self._inside(value, parts[0]), parts[0])})"
            case "result":
                carries = parts[0] if isinstance(value, Ok) else parts[1]
                case = "ok" if isinstance(value, Ok) else "err"
                return case if carries is None else f"{case}({self.written(value.value, carries)})"
        if name in WHOLE:
            return str(value)
        raise NoText(name)

    def plain(self, value: Any, kind: int) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912 - a line for each kind
        """Make a value one of JSON: what has cases is an object of the case, or its name; keys of maps are text."""
        name, *parts = self._types[kind]
        match name:
            case "f32" | "f64":
                return value if value - value == 0 else of_float(value, name)
            case "list" | "fixed":
                return [self.plain(item, parts[0]) for item in value]
            case "map":
                is_text = self._types[parts[0]][0] in {"char", "string"}
                return {
                    own if is_text else self.written(own, parts[0]): self.plain(item, parts[1])
                    for own, item in value.items()
                }
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
        if name in WHOLE:
            return value
        raise NoText(name)

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

    def value(self, kind: int) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912 - a line for each kind of type
        name, *parts = self._types[kind]
        if name in WHOLE or name in FLOATS:
            return self._number(name)
        match name:
            case "bool":
                return self._one_of({"true": True, "false": False})
            case "char" | "string":
                return self._quoted(name)
            case "list":
                return self._items("[", "]", lambda _: parts[0])
            case "fixed":
                values = self._items("[", "]", lambda _: parts[0])
                if len(values) != parts[1]:
                    raise WaveError(f"expected a list of {parts[1]} values, not of {len(values)}")
                return values
            case "map":
                return self._map(*parts)
            case "tuple":
                return self._tuple(parts[0])
            case "record":
                return self._record(kind, parts[0])
            case "variant":
                return self._variant(kind, parts[0])
            case "enum":
                members = dict(zip(parts[0], self._classes[kind][1], strict=True))
                return self._one_of(members, label=True)
            case "flags":
                return self._flags(kind, parts[0])
            case "option":
                return self._option(parts[0])
            case "result":
                return self._result(*parts)
        raise NoText(name)

    def _number(self, name: str) -> int | float:
        word = self._word
        fits = self._kind == "number" or (self._kind == "label" and word in {"inf", "nan"} and name in FLOATS)
        if not fits or (name in WHOLE and not word.lstrip("-").isdigit()):
            raise self._wrong(f"a number, for {name}")
        self._next()
        return to_whole(word, name) if name in WHOLE else to_float(word, name)

    def _quoted(self, kind: str) -> str:
        word = self._word
        if self._kind != ("char" if kind == "char" else "text"):
            raise self._wrong(f"a {kind} in quotes")
        many = word.startswith('"""')
        value = "\n".join(map(unescaped, self._lines(word[3:-3]))) if many else unescaped(word[1:-1])
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

    def _tuple(self, kinds: list[int]) -> tuple[Any, ...]:
        values = self._items("(", ")", lambda at: kinds[at] if at < len(kinds) else None)
        if len(values) != len(kinds):
            raise WaveError(f"expected a tuple of {len(kinds)} values, not of {len(values)}")
        return tuple(values)

    def _map(self, key: int, item: int) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        self._take("[")
        while not self._found("]"):
            start = self._at - len(self._word)
            own, value = self._tuple([key, item])
            if own in values:
                raise WaveError(f"a key is there twice (at character {start + 1})")
            values[own] = value
            self._comma("]")
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
        case = self._one_of({case: case for case in made}, label=True)
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

    def _one_of(self, values: dict[str, Any], *, label: bool = False) -> Any:  # noqa: ANN401
        word = self._word
        expected = one_of(list(values)) if label else " or ".join(values)
        if self._kind != "label" or (label and word in KEYWORDS):
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
