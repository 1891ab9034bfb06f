"""Text of stubs that has no type of the plugin's: what they import, classes of functions, names of a host's objects."""

from __future__ import annotations

import itertools
import math

from ._plugin_names import short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_IMPORTS = (
    ("array", ""),
    ("builtins", ""),
    ("dataclasses", ""),
    ("enum", ""),
    ("collections.abc", "AsyncIterable Awaitable Callable Coroutine Iterable Iterator Mapping Sequence"),
    ("typing", "Any Concatenate Generic Literal NotRequired ParamSpec Protocol Self TypedDict TypeVar overload"),
    ("ringfence", ""),
    ("typing_extensions", "Buffer"),
)

_FUNCTION = """\
_P = _ParamSpec("_P")
_R = _TypeVar("_R", covariant=True)
_E = _TypeVar("_E", covariant=True)

class _Error(_ringfence.ResultError, _Generic[_E]):
    value: _E

class _Function(_Generic[_P, _R]):
    signature: {builtins}str
    Error: None
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def result(self, *args: _P.args, **kwargs: _P.kwargs) -> _ringfence.Ok[_R]: ...

class _Failing(_Generic[_P, _R, _E]):
    signature: {builtins}str
    @{builtins}property
    def Error(self) -> {builtins}type[_Error[_E]]: ...
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def result(self, *args: _P.args, **kwargs: _P.kwargs) -> _ringfence.Ok[_R] | _ringfence.Err[_E]: ...

def _function(of: _Callable[_Concatenate[_Any, _P], _R]) -> _Function[_P, _R]: ...

class _failing(_Generic[_E]):
    def __call__(self, of: _Callable[_Concatenate[_Any, _P], _R]) -> _Failing[_P, _R, _E]: ..."""

_MEMORY = """
class _Memory(_Protocol):
    @{builtins}property
    def size(self) -> {builtins}int: ...
    def read(self, at: {builtins}int, length: {builtins}int) -> {builtins}bytes: ...
    def write(self, at: {builtins}int, data: {builtins}bytes | {builtins}bytearray | {builtins}memoryview) -> None: ...
    def grow(self, pages: {builtins}int) -> {builtins}int: ..."""

_GLOBAL = """
class _Global(_Protocol):
    value: {builtins}int | {builtins}float"""

# So many types of what a host gives are written, by the names that its interfaces can be given under.
_MOST_SPELLINGS = 27


def function_classes(of_builtins: str, *, with_memory: bool, with_global: bool) -> list[str]:
    """Write the classes of functions, and of what a core module exports beside them."""
    parts = [_FUNCTION, *([_MEMORY] if with_memory else []), *([_GLOBAL] if with_global else [])]
    return "\n".join(parts).format(builtins=of_builtins).splitlines()


def items(interfaces: Iterable[tuple[str, str]], of_builtins: str) -> list[str]:
    """Write how an interface is found by its full name: each with the class that is written for it."""
    found = [
        ["    @_overload", f"    def __getitem__(self, name: _Literal[{name!r}], /) -> {of}: ..."]
        for name, of in interfaces
    ]
    rest = [f"    def __getitem__(self, name: {of_builtins}str, /) -> _Any: ..."]
    every = [line for lines in found for line in lines] + (["    @_overload"] if found else []) + rest
    return [*every, f"    def __iter__(self) -> _Iterator[{of_builtins}str]: ..."]


def given_mapping(own: str, interfaces: list[tuple[str, str]], others: list[tuple[str, str]]) -> list[str]:
    """
    Write the mapping for `imports`: an object for each interface, or a mapping, under any name that it is found by.

    Args:
        own: what it is called.
        interfaces: that a host gives, each with what is given for it.
        others: what is given by itself.
    """
    told = dict(interfaces)
    names = list(_spellings(list(told)))
    rows = [[(name, told[full]) for name in spelled] for full, spelled in names]
    if math.prod(len(row) for row in rows) > _MOST_SPELLINGS:
        row = [(name, f"_NotRequired[{of}]") for each in rows for name, of in each]
        return [_typed_dict(own, [*row, *others])]
    every = list(itertools.product(*rows))
    if len(every) == 1:
        return [_typed_dict(own, [*every[0], *others])]
    lines = [_typed_dict(f"_{own}{at}", [*row, *others]) for at, row in enumerate(every)]
    return [*lines, f"{own} = {' | '.join(f'_{own}{at}' for at in range(len(every)))}"]


def _spellings(interfaces: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Give the names of each interface: those that are no other's too."""
    forms: list[Callable[[str], str]] = [str, lambda name: name.partition("@")[0], short]
    many = [name for interface in interfaces for name in {form(interface) for form in forms}]
    for interface in interfaces:
        names = dict.fromkeys(form(interface) for form in forms)
        yield interface, [name for name in names if name == interface or many.count(name) == 1]


def _typed_dict(own: str, parts: Iterable[tuple[str, str]]) -> str:
    told = ", ".join(f"{key!r}: {of}" for key, of in parts)
    return f'{own} = _TypedDict("{own}", {{{told}}})'


def headed(lines: list[str], of: str) -> str:
    """Put what it imports before the rest: only what is mentioned."""
    import re

    words = set(re.findall(r"\b_\w+", "\n".join(lines)))
    header = [f"# Written by {of}; do not edit."]
    for module, names in _IMPORTS:
        used = [f"{name} as _{name}" for name in names.split() if f"_{name}" in words]
        if used:
            header.append(f"from {module} import {', '.join(used)}")
        elif not names and f"_{module}" in words:
            header.append(f"import {module} as _{module}")
    return "\n".join([*header, *lines]) + "\n"
