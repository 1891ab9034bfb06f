"""The cell magic, in a real kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import notebooks
from notebooks import text

pytestmark = pytest.mark.usefixtures("compiled")

FRAME = """\
%%ringfence
class Frame:
    def __repr__(self):
        return "a frame"
    def _repr_html_(self):
        return ("<style>td {}</style><table onclick='evil()'><tr><td colspan=2>1 &lt; 2<td>"
                "<script>evil()</script><img src=x onerror=evil()><a href='javascript:evil()'>link</a></table>")
Frame()
"""
PICTURE = """\
%%ringfence
import struct, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
class Picture:
    def _repr_png_(self):
        head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
        data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\\0\\0")) + chunk(b"IEND", b"")
        return b"\\x89PNG\\r\\n\\x1a\\n" + data
Picture()
"""
CELLS = {
    "value": "%%ringfence\nx = 6\nprint('hello')\nx * 7",
    "stays": "%%ringfence\nx, _",
    "await": "%%ringfence\nimport asyncio\nawait asyncio.sleep(0, 'awaited')",
    "raises": "%%ringfence\ndef f():\n    1 / 0\nf()",
    "syntax": "%%ringfence\ndef f(:",
    "refused": "%%ringfence\nopen('/etc/passwd')",
    "frame": FRAME,
    "picture": PICTURE,
    "forges": "%%ringfence\nprint('\\x1b[2J')",
    "out": "%%ringfence --out given\n{'a': [1, 2]}",
    "given": "given['a']",
    "javascript": "%%ringfence javascript\nconst y = 20; y + 1",
    "stays in JavaScript": "%%ringfence javascript\ny * 2",
    "words": "%%ringfence --wall 1s\n1",
    "new": "%%ringfence --new --wall 200ms\n'x' in globals()",
    "spins": "%%ringfence\nwhile True: pass",
    "wrong": "%%ringfence --walls 1s\n1",
    "unknown": "%%ringfence cobol\n1",
}


@pytest.fixture(scope="module")
def cells(compiled: Path) -> dict[str, Any]:
    """Run them all in one kernel, and give the outputs of each."""
    assert compiled.is_dir()
    return notebooks.run(CELLS)


def test_cells_of_the_page_run(compiled: Path) -> None:
    """Every cell that docs/how-to/use-in-a-notebook.md shows, from the first to the last."""
    import nbformat
    from markdown_it import MarkdownIt
    from nbclient import NotebookClient

    assert compiled.is_dir()
    page = Path(__file__).parents[2] / "docs" / "how-to" / "use-in-a-notebook.md"
    blocks = [each for each in MarkdownIt().parse(page.read_text(encoding="utf-8")) if each.info == "ipython"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(block.content) for block in blocks])

    NotebookClient(notebook, timeout=180, kernel_name="python3").execute()

    *first, chart = notebook.cells
    assert ["", "4", "[2, 4, 6]", "", ""] == [text(cell.outputs) for cell in first]
    assert {"text/html"} in notebooks.forms(chart.outputs)


def test_cell_shows_its_output_and_last_value(cells: dict[str, Any]) -> None:
    """Names stay for the next cell, in each language."""
    assert "" == text(cells["load"])
    assert "hello\n42" == text(cells["value"])
    assert "(6, 42)" == text(cells["stays"])
    assert "'awaited'" == text(cells["await"])
    assert "21" == text(cells["javascript"])
    assert "40" == text(cells["stays in JavaScript"])


def test_failed_cell_is_an_error_with_the_guests_own_frames(cells: dict[str, Any]) -> None:
    """So that "run all" stops there; what was refused is named."""
    assert "error" == cells["raises"][-1]["output_type"]
    assert "GuestRaised" == cells["raises"][-1]["ename"]
    shown = text(cells["raises"])
    assert '  File "<notebook>", line 2, in f\n    1 / 0\n' in shown
    assert "ZeroDivisionError" in shown
    assert "_ringfence_show" not in shown
    assert "SyntaxError" in text(cells["syntax"])
    assert "refused: read of /etc/passwd" in text(cells["refused"])


def test_frames_and_pictures_are_shown(cells: dict[str, Any]) -> None:
    """A table as a table, a picture as a picture."""
    [frame] = cells["frame"]
    [picture] = cells["picture"]

    assert "a frame" == frame["data"]["text/plain"]
    assert '<table class="dataframe"><tr><td colspan="2">1 &lt; 2' in frame["data"]["text/html"]
    assert picture["data"]["image/png"].startswith("iVBOR")


def test_attack_html_of_a_guest_runs_nothing_in_the_notebook(cells: dict[str, Any]) -> None:
    """The page has a kernel with the reader's rights."""
    page = cells["frame"][0]["data"]["text/html"].replace(' style="overflow: auto"', "").replace("colspan", "")

    assert "link" in page
    assert not [word for word in ("evil", "script", "style", "href", "img", "on") if word in page]
    assert "\x1b" not in text(cells["forges"])


def test_value_is_handed_out(cells: dict[str, Any]) -> None:
    """Into a variable of the notebook, as a plain value."""
    assert "[1, 2]" == text(cells["given"])
    assert [] == cells["out"]


def test_what_a_session_may_do_does_not_change(cells: dict[str, Any]) -> None:
    """Other words need a new session; limits are those of each cell."""
    assert "begin anew with `--new`" in text(cells["words"])
    assert "False" == text(cells["new"])
    assert "TimeoutError" in text(cells["spins"])


def test_wrong_words_are_told_in_a_line(cells: dict[str, Any]) -> None:
    """Without a traceback of ours."""
    assert "unrecognized arguments: --walls" in text(cells["wrong"])
    assert "`cobol`" in text(cells["unknown"])
    assert "Traceback" not in text(cells["wrong"]) + text(cells["unknown"])
