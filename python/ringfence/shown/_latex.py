r"""Formulas: made of commands that draw, and of none that link, load, style or define (`\href`, `\require`, `\def`)."""

from __future__ import annotations

import re

_MAX_CHARACTERS = 20_000
_MAX_DEPTH = 100
_WORDS = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi omicron pi varpi
    rho varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi
    Psi Omega frac dfrac tfrac cfrac sqrt binom dbinom sum prod coprod int iint iiint oint lim limsup liminf max min
    sup inf sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan log ln lg exp det dim ker gcd arg deg
    hom Pr bmod pmod mod operatorname left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl
    Biggr begin end cdot cdots ldots vdots ddots dots times div pm mp ast star circ bullet oplus ominus otimes
    oslash odot cap cup bigcap bigcup sqcup setminus wedge vee bigwedge bigvee neg lnot land lor forall exists
    nexists in notin ni subset supset subseteq supseteq emptyset varnothing infty partial nabla hbar ell Re Im wp
    aleph le leq ge geq lt gt ne neq equiv sim simeq approx cong propto ll gg prec succ perp parallel mid nmid to
    gets mapsto rightarrow leftarrow leftrightarrow Rightarrow Leftarrow Leftrightarrow longrightarrow longmapsto
    Longrightarrow iff implies uparrow downarrow hat bar tilde vec dot ddot dddot overline underline widehat
    widetilde overbrace underbrace overset underset stackrel mathrm mathbf mathit mathbb mathcal mathfrak mathsf
    mathtt mathscr boldsymbol text textbf textit textrm mbox rm bf it displaystyle textstyle scriptstyle limits
    nolimits quad qquad lfloor rfloor lceil rceil langle rangle lvert rvert lVert rVert vert Vert lbrace rbrace
    prime dagger degree angle triangle square therefore because cases over substack hline
"""
_COMMANDS = frozenset(_WORDS.split())
_PLACES = "matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix array cases aligned align gathered gather split"
_ENVIRONMENTS = frozenset(f"{name}{star}" for star in ("", "*") for name in _PLACES.split())
_TOKEN = re.compile(
    r"\\(?P<command>[a-zA-Z]++)|\\[,;:!> {}|\\%&_#$-]|(?P<brace>[{}])|[<>]|[^\\{}<>$%#\x00-\x08\x0b-\x1f\x7f]++"
)
_ENVIRONMENT = re.compile(r"\{([a-zA-Z]++\*?)\}")
_FENCES = (("$$", "$$"), (r"\[", r"\]"), (r"\(", r"\)"), ("$", "$"))


def formula(text: str) -> str | None:
    """Write a formula again, between dollars; None where it has something that is not known."""
    if len(text) > _MAX_CHARACTERS:
        return None
    bare, wide = text.strip(), False
    for before, after in _FENCES:
        if bare.startswith(before) and bare.endswith(after) and len(bare) > len(before) + len(after):
            bare, wide = bare[len(before) : -len(after)], before in {"$$", r"\["}
            break
    parts: list[str] = []
    place, depth = 0, 0
    while place < len(bare):
        found = _TOKEN.match(bare, place)
        if found is None or not _is_known(found, bare):
            return None
        depth += {"{": 1, "}": -1}.get(found["brace"] or "", 0)
        if not 0 <= depth <= _MAX_DEPTH:
            return None
        # A page may be made of it as it is.
        parts.append({"<": r"\lt ", ">": r"\gt "}.get(found[0], found[0]))
        place = found.end()
    mark = "$$" if wide else "$"
    return f"{mark}{''.join(parts)}{mark}" if bare and depth == 0 else None


def _is_known(found: re.Match[str], text: str) -> bool:
    command = found["command"]
    if command in {"begin", "end"}:
        named = _ENVIRONMENT.match(text, found.end())
        return named is not None and named[1] in _ENVIRONMENTS
    return command is None or command in _COMMANDS
