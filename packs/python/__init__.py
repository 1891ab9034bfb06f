"""CPython 3.13."""
