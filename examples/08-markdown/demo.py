#!/usr/bin/env python3
# ruff: noqa: T201
"""
A Markdown renderer hands blocks of a page to plugins that others wrote, in three languages, behind one interface.

Any broken promise makes the exit code 1.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from building import built
from stage import GREEN, RED, paint, title, told

from ringfence import Limits, Plugin, PluginError, Policy, RingfenceError

PLUGINS = Path(__file__).resolve().parent / "plugins"
# Nothing is granted but time and memory; a plugin in Python is large, and is compiled once.
POLICY = Policy(limits=Limits(wall="2s", memory="256MiB", compile="10m"))
PAGE = """# Teas

We sell <three> kinds.

```chart Sold this week
tea 12
coffee 48
```

```todo Before Friday
x order tea
- call <Ada>
- count cups
```

```note Closed
on Sundays, and <always> at night
```
"""


class Renderer:
    """The application: it knows headings and paragraphs, and leaves the rest to plugins."""

    def __init__(self, plugins: dict[str, Plugin]) -> None:
        self.plugins = plugins

    def render(self, text: str) -> str:
        """Render a page."""
        return "\n".join(self.part(part) for part in text.strip().split("\n\n"))

    def part(self, part: str) -> str:
        """Render a heading, a block, or a paragraph."""
        if part.startswith("# "):
            return f"<h1>{escape(part[2:])}</h1>"
        if not part.startswith("```"):
            return f"<p>{escape(part)}</p>"
        fence, *lines = part.removesuffix("```").strip().split("\n")
        kind, _, head = fence[3:].partition(" ")
        return self.block(kind, {"title": head, "lines": lines})

    def block(self, kind: str, block: dict[str, object]) -> str:
        """Have a plugin render it; whatever that does, the page goes on."""
        plugin = self.plugins[kind]
        try:
            return str(plugin.render(block))
        except plugin.render.Error as error:
            return f"<p class=error>{kind}: {escape(error.value)}</p>"
        except RingfenceError as error:
            if not isinstance(error, PluginError):
                plugin.restart()
            return f"<p class=error>{kind}: {escape(error.why)}</p>"


def main() -> int:
    """Render a page, and hold the plugins to their interface."""
    title("a page, and plugins in three languages")
    broken: list[str] = []

    def hold(promise: str, kept: bool) -> None:
        print(paint(f"  as promised: {promise}", GREEN) if kept else paint(f"  NOT AS PROMISED: {promise}", RED))
        if not kept:
            broken.append(promise)

    plugins = {name: Plugin(built(PLUGINS / name), policy=POLICY) for name in ("chart", "todo", "note")}
    renderer = Renderer(plugins)
    html = renderer.render(PAGE)
    print("\n".join(f"  {line}" for line in html.splitlines()))
    hold("JavaScript draws the chart", "coffee  ████████████████████ 48" in html)
    hold("Python counts what is done", "<h3>Before Friday: 1 of 3</h3>" in html and "call &lt;Ada&gt;" in html)
    hold("C writes the note", "<b>Closed</b> on Sundays, and &lt;always>" in html)
    hold("one interface is behind all three", len({plugin.render.signature for plugin in plugins.values()}) == 1)

    said = [renderer.block(kind, {"title": "x", "lines": []}) for kind in plugins]
    hold("each says what is wrong with a block", all("class=error" in text for text in said))
    try:
        plugins["note"].render({"title": 7, "lines": []})
    except TypeError as error:
        print(f"  {error}")
        hold("what is no block reaches no plugin", str(error).startswith("block.title"))
    long = renderer.render("```note Long\nforever\n```\n\n```note Short\nagain\n```")
    hold("a plugin that never returns costs its block, and not the page", "<b>Short</b> again" in long)

    plugins["note"].reload(built(PLUGINS / "todo"))
    html = renderer.render("```note Now in Python\nx draw\n```")
    hold("one in another language takes the place of one", "<h3>Now in Python: 1 of 1</h3>" in html)
    for plugin in plugins.values():
        plugin.close()
    return told(broken)


if __name__ == "__main__":
    sys.exit(main())
