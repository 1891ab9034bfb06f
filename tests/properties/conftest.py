"""How examples are thrown: the same ones in every run, and nothing kept in the tree."""

from hypothesis import settings

settings.register_profile("ours", database=None, derandomize=True, deadline=None)
settings.load_profile("ours")
