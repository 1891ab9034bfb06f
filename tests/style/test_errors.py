"""Every error has one code, in Rust, in Python and on the errors page."""

import re
from pathlib import Path

from ringfence import errors
from ringfence.cli._verbs import UsageError

ROOT = Path(__file__).parents[2]
KINDS = [getattr(errors, name) for name in errors.__all__]


def test_codes_in_rust_equal_those_in_python() -> None:
    """What the core can raise has a class, and every class that is not about a guest can be raised."""
    source = (ROOT / "crates" / "ringfence" / "src" / "error.rs").read_text(encoding="utf-8")
    [table] = re.findall(r"pub const CODES: \[&str; \d+\] =\s+\[(.*?)\];", source, re.DOTALL)
    ours = {"ringfence", "result"}  # the base, and what a guest's function gave
    raised_here = {kind.code for kind in KINDS if not issubclass(kind, errors.GuestError)} - ours

    assert raised_here == set(re.findall(r'"([a-z-]+)"', table))


def test_every_code_has_a_heading_on_the_errors_page() -> None:
    """A code leads to its explanation: `docs/reference/errors.md#code`."""
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ `?([a-z-]+)`?$", page, re.MULTILINE)

    assert sorted([*(kind.code for kind in KINDS), UsageError.code]) == sorted(headings)


def test_tree_is_drawn_whole() -> None:
    """The drawing at the top of `errors.py` names every class."""
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"^[│├└─ ]*(\w+)", errors.__doc__.split("\n\n")[1], re.MULTILINE))

    assert set(errors.__all__) == drawn
