"""Notebooks that are run by a real kernel, and the page that shows what came of their cells."""

from __future__ import annotations

import html
import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

LOAD = "%load_ext ringfence"


def run(cells: Mapping[str, str], *, timeout: int = 120) -> dict[str, list[Any]]:
    """Run cells in one kernel, and give the outputs of each."""
    for module in ("ipykernel", "nbclient"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"there is no `{module}`: pip install -r requirements/dev.txt")
    import nbformat
    from nbclient import NotebookClient

    named = {"load": LOAD, **cells}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in named.values()])
    NotebookClient(notebook, timeout=timeout, kernel_name="python3", allow_errors=True).execute()
    return {name: cell.outputs for name, cell in zip(named, notebook.cells, strict=True)}


def text(outputs: list[Any]) -> str:
    """Put together what a reader sees as text."""
    parts = [each.get("text") or each.get("data", {}).get("text/plain") or "" for each in outputs]
    return "".join(parts + ["\n".join(each.get("traceback", [])) for each in outputs])


def forms(outputs: list[Any]) -> list[set[str]]:
    """Give the media types of what is shown, but for text."""
    shown = [set(each["data"]) for each in outputs if each["output_type"] in {"display_data", "execute_result"}]
    return [each - {"text/plain"} for each in shown]


def page(bundles: list[dict[str, Any]]) -> str:
    """
    Write a page as the most trusting of notebooks does: markup is part of it, and scripts in it run.

    Each output stands twice: in the page as it is read, and put into it later.
    """
    parts = [PAGE]
    for bundle in bundles:
        for kind, data in bundle.items():
            if kind in {"text/html", "image/svg+xml", "text/markdown"}:
                parts.append(f'<div class="output">{data}</div><template>{html.escape(str(data))}</template>')
            elif kind in {"application/javascript", "text/javascript"}:
                parts.append(f"<script>{data}</script>")
            elif kind.startswith("image/"):
                parts.append(f'<div class="output"><img src="data:{kind};base64,{html.escape(str(data))}"></div>')
            else:
                parts.append(f'<div class="output">{html.escape(str(data))}</div>')
            parts.append('<p class="mark">mark</p>')
    return "\n".join([*parts, LATER])


PAGE = (
    '<!DOCTYPE html><meta charset="utf-8"><script>window.evils = []; function evil(x) { evils.push(x || 1) }</script>'
)
LATER = """<script>
for (const held of [...document.querySelectorAll("template")]) {
    const place = document.createElement("div");
    place.className = "output";
    document.body.append(place);
    place.innerHTML = held.innerHTML.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"')
        .replaceAll("&#x27;", "'").replaceAll("&amp;", "&");
    for (const script of place.querySelectorAll("script")) {
        const again = document.createElement("script");
        again.textContent = script.textContent;
        script.replaceWith(again);
    }
}
</script>"""
