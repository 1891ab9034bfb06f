"""A command line without flags, `ringfence run PROGRAM ARGS`, read without argparse, which takes 8 ms to import."""

from __future__ import annotations

from types import SimpleNamespace

from ._verbs import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


def plain(verb: str, words: list[str]) -> argparse.Namespace:
    """Give what the parser of a verb gives for a program and what belongs to it, and no flag before them."""
    defaults = _Defaults()
    load(verb).add_arguments(defaults)  # type: ignore[arg-type]
    program, *args = words
    return SimpleNamespace(**{**defaults.values, "program": program, "args": args})  # type: ignore[return-value]


class _Defaults:
    """Stands in for a parser: it notes what each flag is when it is not given."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def add_argument(
        self, *names: str, dest: str | None = None, default: object = None, action: str | None = None, **_: object
    ) -> _Defaults:
        name = dest or next((name for name in names if name.startswith("--")), names[0]).lstrip("-").replace("-", "_")
        self.values[name] = False if action == "store_true" else default
        return self
