"""Functions of yours that a guest may import, and the warning for one that does not come back."""

from __future__ import annotations

import sys
import warnings

from .errors import LoadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ._program import Program

    Imports = Mapping[str, Mapping[str, Callable[..., Any]] | object]

_PACKAGE = __file__.removesuffix("_imports.py")


class CallbackAbandoned(RuntimeWarning):
    """
    A function of yours was still at work when its run had to end, and was left to itself on its thread.

    The run has ended and its guest runs no further instruction. What the function still does, it does alone: what it
    returns or raises goes nowhere, and its thread ends with it.
    """


def functions_of(imports: Imports, program: Program) -> list[tuple[str, str, Callable[..., Any]]]:
    """
    Give module, name and function of everything in `imports`.

    Raises:
        TypeError: something in it cannot be called, or only awaited.
        LoadError: an object has none of the functions that the program imports from its module.
    """
    from collections.abc import Mapping

    found = []
    for module, functions in imports.items():
        if isinstance(functions, Mapping):
            named = dict(functions)
        else:
            wanted = {entry.name for entry in program.imports if entry.module == module}
            named = {name: getattr(functions, name) for name in sorted(wanted) if hasattr(functions, name)}
            if not named:
                raise LoadError(
                    f"cannot give `{program.name}` the functions of {functions!r} as `{module}`",
                    "the program imports none of them",
                    "give a mapping of names; `ringfence inspect` shows what the program imports",
                )
        for name, function in named.items():
            _check(f"{module}.{name}", function)
            found.append((module, name, function))
    return found


def refusal(function: Callable[..., Any], count: int) -> str | None:
    """Say why a function cannot be called with so many numbers; None where it can, or where nobody knows."""
    import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, and does not tell
        return None
    try:
        signature.bind(*range(count))
    except TypeError as error:
        return (
            f"is called with {count} argument{'' if count == 1 else 's'}, and the function takes {signature}: {error}"
        )
    return None


def abandoned(name: str) -> None:
    """Warn that a function was left to itself, at the line that called Ringfence."""
    frame, level = sys._getframe(1), 2  # noqa: SLF001 - what `warnings` itself does from Python 3.12 on
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(
        f"`{name}` was abandoned: it was still at work when its run had to end\n"
        "hint: let it come back in time, or give the run more: `Limits(wall=…)`",
        CallbackAbandoned,
        stacklevel=level,
    )


def _check(title: str, function: object) -> None:
    if not callable(function):
        raise TypeError(f"`{title}` cannot be {function!r}: a guest calls it\nhint: give a function")
    import inspect

    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        raise TypeError(
            f"`{title}` cannot be an `async def`: a guest calls it, and cannot await it\n"
            "hint: give a function that returns its numbers, such as one that runs the coroutine in a loop of its own"
        )
