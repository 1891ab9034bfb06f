"""
The languages that source text can be run in: which packs are installed, and what each is.

A language is a pack: a package with a `pack.toml` and a WebAssembly module, found by the entry-point group
`ringfence.languages`. Anybody may publish one.

>>> from ringfence import languages
>>> [pack.language for pack in languages.installed()]
"""

from __future__ import annotations

from ._find import find, installed, names
from ._pack import Pack

__all__ = ["Pack", "find", "installed", "names"]
