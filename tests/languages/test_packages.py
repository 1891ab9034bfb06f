"""Packages of the index that people use, in Python in the sandbox."""

from __future__ import annotations

import pytest

from ringfence import Sandbox

USES = {
    "jinja2": "from jinja2 import Template; print(Template('{{ x|upper }}').render(x='hi'))",
    "pyyaml": "import yaml; print(yaml.safe_load('a: [1, 2]'), yaml.__with_libyaml__)",
    "rich": "from rich.table import Table; from rich.console import Console\n"
    "t = Table('n'); t.add_row('1'); Console(width=20).print(t)",
    "networkx": "import networkx as n; print(n.shortest_path(n.path_graph(4), 0, 3))",
    "flask": "import flask; app = flask.Flask('x'); app.route('/')(lambda: 'home')\n"
    "print(app.test_client().get('/').text)",
    "beautifulsoup4": "from bs4 import BeautifulSoup; print(BeautifulSoup('<p>hi</p>', 'html.parser').p.text)",
    "sqlite-utils": "import sqlite_utils; db = sqlite_utils.Database(memory=True)\n"
    "db['t'].insert({'a': 1}); print(list(db['t'].rows))",
    "pydantic<2": "from pydantic import BaseModel\nclass M(BaseModel):\n    a: int\nprint(M(a='3'))",
    "requests": "import requests\ntry:\n    requests.get('https://example.org')\n"
    "except requests.ConnectionError:\n    print('unreachable')",
    "httpx": "import httpx\ntry:\n    httpx.get('https://example.org')\n"
    "except httpx.ConnectError:\n    print('unreachable')",
}
SAYS = {
    "jinja2": "HI",
    "pyyaml": "{'a': [1, 2]} False",
    "rich": "│ 1 │",
    "networkx": "[0, 1, 2, 3]",
    "flask": "home",
    "beautifulsoup4": "hi",
    "sqlite-utils": "[{'a': 1}]",
    "pydantic<2": "a=3",
    "requests": "unreachable",
    "httpx": "unreachable",
}


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("package", USES)
def test_package_works(package: str) -> None:
    """Fetched by its name, imported, and used."""
    assert SAYS[package] in Sandbox(language="python", packages=[package]).run(code=USES[package]).check().text
