# ruff: noqa: INP001
"""Renders lists of things to do: `x done` and `- open`."""

from html import escape

import wit_world
from componentize_py_types import Err


class WitWorld(wit_world.WitWorld):
    """The plugin: a method for each function that it exports."""

    def render(self, block: wit_world.Block) -> str:
        """Render one block."""
        if not block.lines:
            raise Err("nothing to do")
        done = sum(line.startswith("x ") for line in block.lines)
        items = "".join(f"<li>{'☑' if line.startswith('x ') else '☐'} {escape(line[2:])}</li>" for line in block.lines)
        return f"<h3>{escape(block.title)}: {done} of {len(block.lines)}</h3><ul>{items}</ul>"
