"""
Packages of the Python Package Index for guests, by their names.

They are resolved and fetched outside of the sandbox, where nothing of them runs, and checked against the digests of
the index. In the sandbox they are compiled, and read without a right to change them.
"""

from ._grant import granted
from ._inline import asked_for
from ._requirement import of_file
from ._store import Kept, bring, kept, prune

__all__ = ["Kept", "asked_for", "bring", "granted", "kept", "of_file", "prune"]
