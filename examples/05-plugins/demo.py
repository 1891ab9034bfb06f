#!/usr/bin/env python3
# ruff: noqa: T201
"""
An application renders pages with a plugin that it does not trust, which asks the application for what it needs.

Any broken promise makes the exit code 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stage import GREEN, RED, paint, title, told

from ringfence import Err, Limits, Plugin, Policy

RENDERER = Path(__file__).parent / "markdown.wat"
POLICY = Policy(limits=Limits(wall="1s", memory="16MiB"))


class Store:
    """What an application keeps for its pages."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts
        self.asked: list[str] = []

    def get(self, name: str) -> str | None:
        """Give a text, if there is one; the renderer calls this."""
        self.asked.append(name)
        return self.texts.get(name)


class Lost(Store):
    """One that has lost everything."""

    def get(self, name: str) -> str | None:
        """Raise what the application will see."""
        raise LookupError(f"no {name} anywhere")


def main() -> int:
    """Render, look at what came, and hold the plugin to its promises."""
    title("a renderer of others")
    broken: list[str] = []

    def hold(promise: str, kept: bool) -> None:
        print(paint(f"  as promised: {promise}", GREEN) if kept else paint(f"  NOT AS PROMISED: {promise}", RED))
        if not kept:
            broken.append(promise)

    store = Store(footer="<footer>mine</footer>")
    with Plugin(RENDERER, policy=POLICY, imports={"app:host/store": store}) as plugin:
        html = plugin.render("# Hello")
        print(f"  {html}")
        hold("it renders, and asks the store", html == "<h1>Hello</h1><footer>mine</footer>")
        hold("it asked for one thing", store.asked == ["footer"])

        content = plugin.exports.content
        page = content.parse("see http://one and http://two")
        print(f"  {page.links}")
        hold("records are dataclasses", [link.url for link in page.links] == ["http://one", "http://two"])
        hold("an error is a result", content.parse.result("") == Err(content.ParseError.Empty()))
        try:
            plugin.render(7)
        except TypeError as error:
            print(f"  {error}")
            hold("what is not text is refused", True)
        else:
            hold("what is not text is refused", False)

        with Plugin(RENDERER, policy=POLICY, imports={"app:host/store": Store()}) as other:
            hold("another plugin has another store", other.render("x") == "<p>x</p>")
        print(f"  {plugin.usage.calls} calls, {plugin.usage.host_calls} of the store")

    with Plugin(RENDERER, policy=POLICY, imports={"app:host/store": Lost()}) as plugin:
        try:
            plugin.render("x")
        except LookupError as error:
            hold("the store's exception comes out as itself", str(error) == "no footer anywhere")
        hold("the plugin says why it is gone", "LookupError" in str(plugin.poisoned))
        plugin.restart()
        hold("and begins anew", plugin.exports.content.parse("x").title == "x")
    return told(broken)


if __name__ == "__main__":
    sys.exit(main())
