# What changes places here are plugins, by the parts that they are made of.
# ruff: noqa: SLF001
"""New code for a plugin that goes on: it takes the place of the old, in which no call begins any more."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from ._plugin_resources import attach
from ._plugin_shapes import differences
from .errors import LoadError, PluginError

if TYPE_CHECKING:
    from typing import Any

    from ._engine import core
    from ._plugin import Plugin


def _begin_anew() -> None:
    # Whoever held it in the parent of a fork is not there to give it back.
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


_lock = threading.Lock()
os.register_at_fork(after_in_child=_begin_anew)


def refuse_closed(plugin: Plugin, native: core.Plugin) -> None:
    """
    See that there is something to replace.

    Raises:
        PluginError: it was closed.
    """
    if native.closed:
        raise PluginError(f"cannot reload the plugin `{plugin.program.name}`", "it was closed", "make a new one")


def follow(plugin: Plugin, after: Plugin) -> None:
    """
    Put what was loaded in a plugin's place. Calls that have begun, or wait, end on the old one; all others on the new.

    Raises:
        LoadError: its interface does not fit.
        PluginError: the plugin was closed meanwhile.
    """
    new = after._native
    try:
        with _lock:
            wrong = differences(plugin._declared, plugin._shapes, after._declared, after._shapes)
            if wrong:
                raise LoadError(
                    f"cannot reload the plugin `{plugin.program.name}`",
                    f"the interface of `{after.program.name}` does not fit: {'; '.join(wrong)}",
                    "load it as another plugin: `Plugin(…)`; this one goes on as it was",
                )
            old = plugin._native
            refuse_closed(plugin, old)
            nexts = dict(zip(_names(after._declared), new.functions(), strict=True))
            successors = [nexts.get(name) for name in _names(plugin._declared)]
            for cls, methods in after._methods:
                attach(cls, methods)
            after._before, after._words, after._methods = None, plugin._words, []
            # One step for whoever takes exports meanwhile.
            plugin.__dict__.update(after.__dict__)
            # By somebody who did not see the new one, and wants its end as well.
            refuse_closed(plugin, old)
    except BaseException:
        new.close()
        raise
    old.retire(successors)


def _names(declared: list[Any]) -> list[tuple[str, str]]:
    """Name all functions, in the order that the native side has them in."""
    return [(interface, name) for interface, functions, _ in declared for name, *_ in functions]
