"""Formulas of a guest's: what may be in them."""

from __future__ import annotations

import pytest

from ringfence.shown._latex import formula


@pytest.mark.parametrize(
    ("said", "written"),
    [
        (r"$\frac{1}{2}$", r"$\frac{1}{2}$"),
        (r"$$x < y$$", r"$$x \lt  y$$"),
        (r"\[x\]", "$$x$$"),
        ("x^2", "$x^2$"),
        (r"\begin{matrix}1 & x\\2 & \pi\end{matrix}", r"$\begin{matrix}1 & x\\2 & \pi\end{matrix}$"),
    ],
)  # fmt: skip
def test_formula_of_known_commands_stays(said: str, written: str) -> None:
    """Between dollars of ours; a page may be made of it as it is."""
    assert written == formula(said)


@pytest.mark.parametrize(
    "said",
    [
        r"$\href{javascript:1}{x}$", r"$\require{html}$", r"\style{a}{b}", r"\def\a{\a\a}\a", r"\begin{tikzpicture}",
        r"\begin{ matrix }", r"$x$ text $y$", "}{", "{", "", "x%", "#1", "\\", "{" * 200 + "}" * 200,
        "x" * 30_000, "\0",
    ],
)  # fmt: skip
def test_formula_with_anything_else_is_none(said: str) -> None:
    """Links, styles, definitions, and what is not closed."""
    assert formula(said) is None
