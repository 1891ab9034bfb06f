"""Data frames and plots of real packages, in cells of a notebook that a real kernel runs, seen by a real browser."""

from __future__ import annotations

import base64
import importlib.util
import re
from typing import TYPE_CHECKING, Any

import pytest

import notebooks
from browser import Browser

if TYPE_CHECKING:
    from pathlib import Path

# How many colours a reader sees in each picture.
COLOURS = """Promise.all([...document.querySelectorAll(".output img")].slice(0, COUNT).map(async image => {
    const canvas = document.createElement("canvas"), at = canvas.getContext("2d");
    [canvas.width, canvas.height] = [300, 200];
    at.drawImage(image, 0, 0, 300, 200);
    return new Set(new Uint32Array(at.getImageData(0, 0, 300, 200).data.buffer)).size;
}))"""
# Packages that are Python alone; each line ends in a plot.
PLOTS = {
    "pygal": "import pygal; c = pygal.Bar(title='Tea & milk'); c.add('tea', [3, 1, 2]); c.add('milk', [1, 4, 1]); c",
    "svgwrite": "import svgwrite; d = svgwrite.Drawing(size=(60, 60))\n"
    "d.add(d.circle((30, 30), 20, fill='red', stroke='blue', stroke_width=5)); d",
    "drawsvg": "import drawsvg; d = drawsvg.Drawing(60, 60)\n"
    "g = drawsvg.LinearGradient(0, 0, 60, 0); g.add_stop(0, 'red'); g.add_stop(1, 'blue')\n"
    "d.append(drawsvg.Rectangle(0, 0, 60, 60, fill=g)); d.append(drawsvg.Text('hi', 20, 10, 30)); d",
    "leather": "import leather; c = leather.Chart('sales'); c.add_bars([(3, 'tea'), (1, 'milk')])\n"
    "display({'image/svg+xml': c.to_svg()}, raw=True)",
    "plotly": "import plotly.graph_objects as go; go.Figure(go.Bar(x=[1, 2], y=[3, 4]))",
}
FRAMES = {
    "frame": "%%ringfence python-data --with pygal\n"
    "import numpy as np, pandas as pd\n"
    "df = pd.DataFrame({'name': ['tea', '<b>milk</b>'], 'price': [3.5, np.nan]}, index=pd.Index([1, 2], name='id'))\n"
    "df",
    "series": "%%ringfence python-data\ndf.price",
    "columns": "%%ringfence python-data\n"
    "pd.DataFrame(np.arange(8).reshape(2, 4), columns=pd.MultiIndex.from_product([['a', 'b'], ['x', 'y']]))",
    "wide": "%%ringfence python-data\npd.DataFrame(np.zeros((1000, 100)))",
    "class": "%%ringfence python-data\npd.DataFrame",
    "several": "%%ringfence python-data\n"
    "print('before'); display(df.head(1)); print('between'); display(df.price); print('after')",
    "plot": "%%ringfence python-data\nimport pygal; c = pygal.Line(); c.add('price', df.price.fillna(0).tolist()); c",
    "formula": "%%ringfence python-data\nimport sympy\nx = sympy.Symbol('x')\nsympy.Integral(sympy.sqrt(1 / x), x)",
    "matrix": "%%ringfence python-data\nsympy.Matrix([[1, x], [x**2, sympy.pi]])",
    "out": "%%ringfence python-data --out prices\ndf.price.fillna(0).tolist()",
    "outside": "prices",
    "kept": "%%ringfence python-data\nlen(_) if hasattr(_, '__len__') else _",
}


@pytest.fixture(scope="module")
def plots(compiled: Path) -> dict[str, list[Any]]:
    """Run a cell for each package."""
    assert compiled.is_dir()
    words = " ".join(f"--with {name}" for name in PLOTS)
    cells = {name: f"%%ringfence\n{source}" for name, source in PLOTS.items()}
    return notebooks.run({"begin": f"%%ringfence {words}\n1", **cells}, timeout=300)


def test_plots_of_real_packages_are_seen(plots: dict[str, list[Any]], tmp_path: Path) -> None:
    """As pictures, with their colours, in a real browser; what a plot would do in the page stays behind."""
    drawn = [each for name in ("pygal", "svgwrite", "drawsvg", "leather") for each in plots[name] if "data" in each]
    assert [{"text/html"}] * 4 == notebooks.forms(drawn), notebooks.text(drawn)

    with Browser(tmp_path) as browser:
        page = notebooks.page([{"text/html": each["data"]["text/html"]} for each in drawn])
        colours, asked = browser.see(page, COLOURS.replace("COUNT", "4"))

    assert [] == asked
    assert all(count >= 3 for count in colours), colours
    found = re.search('base64,([^"]*)', drawn[0]["data"]["text/html"])
    assert found is not None
    svg = base64.b64decode(found[1]).decode()
    assert "Tea &amp; milk" in svg
    assert "script" not in svg


def test_plot_that_is_a_script_says_that_it_is_not_shown(plots: dict[str, list[Any]]) -> None:
    """Plotly's figures are drawn by code in the page: what is there of them is their text."""
    assert "Figure(" in notebooks.text(plots["plotly"])
    assert "not shown: text/html (only text and pictures" in notebooks.text(plots["plotly"])
    assert not notebooks.forms(plots["plotly"])[0]


@pytest.fixture(scope="module")
def frames(compiled_python_data: None) -> dict[str, list[Any]]:
    """Run cells of python-data."""
    assert compiled_python_data is None
    return notebooks.run(FRAMES, timeout=600)


@pytest.mark.timeout(1200)
@pytest.mark.skipif(
    importlib.util.find_spec("ringfence_language_python_data") is None,
    reason="NOT TESTED: python-data is not installed (`ringfence languages install python-data`: minutes, 2 GB)",
)
class TestFrames:
    """What pandas and sympy show."""

    def test_frame_is_a_table(self, frames: dict[str, list[Any]]) -> None:
        """Its cells as text, whatever they are; its columns above each other where they have levels."""
        [frame] = frames["frame"]
        page = frame["data"]["text/html"]

        assert '<table class="dataframe">' in page
        assert "<td>&lt;b&gt;milk&lt;/b&gt;</td>" in page.replace("\n", "")
        assert "<td>NaN</td>" in page
        assert "price" in frame["data"]["text/plain"]
        assert 2 == frames["columns"][0]["data"]["text/html"].count('colspan="2"')
        assert "1000 rows \u00d7 100 columns" in frames["wide"][0]["data"]["text/html"]

    def test_series_and_class_are_text(self, frames: dict[str, list[Any]]) -> None:
        """As everywhere; a class has no form of its instances."""
        assert [set(), set()] == notebooks.forms([*frames["series"], *frames["class"]])
        assert "Name: price, dtype: float64" in notebooks.text(frames["series"])
        assert "<class 'pandas.DataFrame'>" == notebooks.text(frames["class"]).replace(".core.frame", "")

    def test_displays_stand_where_they_were_made(self, frames: dict[str, list[Any]]) -> None:
        """Between what was printed."""
        kinds = [each.get("text") or sorted(each["data"]) for each in frames["several"]]

        assert ["before\n", ["text/html", "text/plain"], "between\n", ["text/plain"], "after\n"] == kinds

    def test_plot_of_a_column_is_a_picture(self, frames: dict[str, list[Any]]) -> None:
        """With a package beside those that the pack has inside."""
        assert [{"text/html"}] == notebooks.forms(frames["plot"]), notebooks.text(frames["plot"])

    def test_formulas_are_formulas(self, frames: dict[str, list[Any]]) -> None:
        """Of sympy, in LaTeX."""
        assert r"$\displaystyle \int \sqrt{\frac{1}{x}}\, dx$" == frames["formula"][0]["data"]["text/latex"]
        assert r"\begin{matrix}1 & x\\x^{2} & \pi\end{matrix}" in frames["matrix"][0]["data"]["text/latex"]

    def test_column_is_handed_out_as_plain_values(self, frames: dict[str, list[Any]]) -> None:
        """Into a variable of the notebook."""
        assert "[3.5, 0.0]" == notebooks.text(frames["outside"])
