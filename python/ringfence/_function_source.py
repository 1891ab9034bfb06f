"""What of a Python function travels into a sandbox: its source, with what that names, as source too."""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
import sys
import textwrap
import types
from typing import TYPE_CHECKING

from ._text import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_MAX_CHARACTERS = 200
_PLAIN = (type(None), bool, int, float, str, bytes)


def function_source(function: Callable[..., Any]) -> str:
    """
    Write a module whose last definition is this function.

    What it names travels along: functions of its own module as source, plain values as they are now, modules and what
    comes from other modules as imports, which the sandbox has to have.

    Raises:
        TypeError: it is no plain function, or names what does not travel; says what to do instead.
    """
    writer = _Writer()
    writer.write(function)
    return "\n".join(["from __future__ import annotations", *writer.lines, ""])


class _Writer:
    """Collects lines, each name once, before those that need it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._known: dict[str, object] = {}

    def write(self, function: object) -> None:
        """Write what a function needs, and the function."""
        made = _plain_function(function)
        name = made.__name__
        self._known[name] = made
        node, source = _definition(made)
        for needed in sorted(_names(made, node)):
            if needed in made.__globals__:
                self._need(name, needed, made.__globals__[needed], made)
            elif not hasattr(builtins, needed):
                continue  # the sandbox says that there is no such name, if it comes to that
        self.lines.append(source)

    def _need(self, where: str, name: str, value: object, function: types.FunctionType) -> None:
        value = getattr(value, "__wrapped__", value) if type(value).__name__ == "Sandboxed" else value
        if name in self._known:
            if self._known[name] is not value:
                raise _stays(
                    where, f"`{name}` means one thing here and another in a function that it calls", "rename one"
                )
            return
        self._known[name] = value
        if isinstance(value, types.ModuleType):
            self.lines += [f"import {value.__name__} as {name}", *_submodules(value, function)]
        elif _is_plain(value):
            self.lines.append(f"{name} = {_literal(value)}")
        elif isinstance(value, types.FunctionType) and value.__module__ == function.__module__:
            if value.__name__ != name:
                why = f"`{name}` is the function `{value.__name__}` under another name"
                raise _stays(where, why, f"call it `{value.__name__}`")
            del self._known[name]
            self.write(value)
        elif _is_importable(value) and getattr(value, "__module__", None) != function.__module__:
            module, own = value.__module__, value.__name__  # type: ignore[attr-defined]
            self.lines.append(f"from {module} import {own} as {name}")
        else:
            kind = f"the class `{name}`" if isinstance(value, type) else f"`{name}`, of type {type(value).__name__}"
            why = f"it uses {kind} of its module: functions, modules and plain values go along"
            raise _stays(where, why, "give it as an argument, or make it inside of the function")


def _plain_function(function: object) -> types.FunctionType:
    name = str(getattr(function, "__name__", type(function).__name__))
    if not isinstance(function, types.FunctionType):
        kind = "a method" if inspect.ismethod(function) else f"of type {type(function).__name__}"
        raise _stays(name, f"it is {kind}, and only a plain function has source", "write a function that calls it")
    if name == "<lambda>":
        why = "it is a lambda, and its source cannot be told from the line around it"
        raise _stays(name, why, 'write it with `def`, or give its text: `"lambda x: x + 1"`')
    if hasattr(function, "__wrapped__"):
        raise _stays(name, "a decorator has put another function in its place", "give the function without decorators")
    if function.__closure__:
        names = ", ".join(f"`{free}`" for free in function.__code__.co_freevars)
        why = f"it is a closure: {names} belong to the function around it"
        raise _stays(name, why, "move it to its module, and give them as arguments")
    return function


def _definition(function: types.FunctionType) -> tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]:
    """Find the definition, without decorators: they made something else of it, or nothing."""
    name = function.__name__
    try:
        source = textwrap.dedent(inspect.getsource(function))
        node = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError, IndexError) as error:
        why = "its source cannot be found: it was not read from a file"
        raise _stays(name, why, "write it to a file, or give its text") from error
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != name:
        raise _stays(name, "what lies where it was defined is not its definition", "load its module again")
    return node, "\n".join(source.splitlines()[node.lineno - 1 :])


def _names(function: types.FunctionType, node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Name what it takes from its module, in its body and in its defaults."""
    defaults = [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
    found = {part.id for default in defaults for part in ast.walk(default) if isinstance(part, ast.Name)}
    for code in _codes(function.__code__):
        instructions = dis.get_instructions(code)
        found |= {str(each.argval) for each in instructions if each.opname in {"LOAD_GLOBAL", "LOAD_NAME"}}
    return found - {function.__name__}


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _submodules(module: types.ModuleType, function: types.FunctionType) -> Iterator[str]:
    """Import the parts of a package that the code reaches through it: `xml.etree.ElementTree` after `import xml`."""
    attributes = {name for code in _codes(function.__code__) for name in code.co_names}
    pending = [module.__name__]
    while pending:
        above = pending.pop()
        for name in sorted(attributes):
            below = f"{above}.{name}"
            if isinstance(sys.modules.get(below), types.ModuleType):
                yield f"import {below}"
                pending.append(below)


def _is_plain(value: object) -> bool:
    if type(value) in {list, tuple}:
        return all(map(_is_plain, value))  # type: ignore[call-overload]
    if type(value) is dict:
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return type(value) in _PLAIN


def _literal(value: object) -> str:
    """Write a plain value; infinities and what is no number have no literal."""
    text = repr(value)
    return f"(lambda inf, nan: {text})(float('inf'), float('nan'))" if "inf" in text or "nan" in text else text


def _is_importable(value: object) -> bool:
    """Tell whether its module has it by its name."""
    module = sys.modules.get(str(getattr(value, "__module__", "")))
    name = getattr(value, "__name__", None)
    return module is not None and isinstance(name, str) and getattr(module, name, None) is value


def _stays(name: str, why: str, fix: str) -> TypeError:
    return TypeError(f"`{quote(name, 80)}` cannot travel into a sandbox: {why}\nhint: {fix}")
