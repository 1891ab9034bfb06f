"""Calls of a plugin as text: one line of WAVE in, and one out."""

from __future__ import annotations

from ._plugin_values import Err
from ._text import quote
from ._wave import matches, read_call
from ._wave_words import WaveError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._plugin import Plugin
    from ._wave import Wave

# Of the functions, in an error.
_SHOWN = 10


class TextCall:
    """
    One call, read and ready to be made as often as one likes.

    Raises:
        WaveError: there is no such function, or its parameters are not of its types; `NoText` where its types have no
            text, of its result too if that is to be `written`.
    """

    def __init__(self, plugin: Plugin, text: str, *, written: bool = True) -> None:
        interface, name, version, rest = read_call(text)
        self._wave: Wave = plugin._wave  # noqa: SLF001
        there, (own, params, self._result, signature) = _function(plugin._declared, interface, name, version)  # noqa: SLF001
        exports = plugin.exports[there] if there else plugin.exports
        self._function = exports[own]
        self.title = f"{there}.{own}" if there else own
        try:
            if written and self._result is not None:
                self._wave.check(self._result)
            self._values = self._wave.params(rest, params)
        except WaveError as error:
            error.args = (f"{error}; it is `{signature}`",)
            raise

    def run(self) -> object:
        """Make it, and give what it returned as it is."""
        return self._function.result(*self._values)

    def __call__(self) -> Returned:
        """Make it, and write what it returned."""
        return self.written(self.run())

    def written(self, value: Any) -> Returned:  # noqa: ANN401 - what `run` gave
        """Write what it returned."""
        kind = self._result
        if kind is None:
            return Returned(None, None, is_error=False)
        if type(value).__name__ == "Ok" and not self._wave.is_result(kind):
            value = value.value
        return Returned(self._wave.written(value, kind), self._wave.plain(value, kind), is_error=isinstance(value, Err))


class Returned:
    """
    What a call gave.

    Attributes:
        text: in WAVE; None where the function gives nothing.
        plain: as a value of JSON.
        is_error: whether it is the bad case of a result.
    """

    def __init__(self, text: str | None, plain: Any, *, is_error: bool) -> None:  # noqa: ANN401 - a value of any type
        self.text, self.plain, self.is_error = text, plain, is_error


def _function(declared: list[Any], interface: str, name: str, version: str) -> tuple[str, Any]:
    """Find a function by what a call names; one that says no interface may be in any, if it is in one only."""
    named = [(place, function) for place, functions, _ in declared for function in functions if function[0] == name]
    there = [(place, function) for place, function in named if matches(place, interface, version)]
    if len(there) == 1:
        return there[0]
    if not there and not interface and len(named) == 1:
        return named[0]
    known = [
        f"{place}.{function[0]}" if place else function[0] for place, functions, _ in declared for function in functions
    ]
    if there or named:
        which = ", ".join(f"`{quote(f'{place}.{name}' if place else name)}`" for place, _ in there or named)
        raise WaveError(f"`{quote(name)}` is not one function: there are {which}")
    shown = ", ".join(f"`{quote(one)}`" for one in known[:_SHOWN]) + (" and more" if len(known) > _SHOWN else "")
    raise WaveError(f"it exports no `{quote(name)}`; there are {shown or 'no functions'}")
