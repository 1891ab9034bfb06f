"""
Self-contained programs of scripts in Python: components that bring their interpreter, library and packages.

componentize-py makes them. It runs what the script imports, in a WebAssembly of its own, and all of it in a child
process that reaches nothing but a folder with copies.
"""

from ._bake import Baked, bake

__all__ = ["Baked", "bake"]
