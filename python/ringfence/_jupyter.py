"""The cell magic `%%ringfence` of notebooks: cells that run in a session of a sandbox."""

from __future__ import annotations

import argparse
import html
import shlex
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class
from IPython.display import Image, display

from ._policy import Limits, Policy
from ._session import Session
from ._shares import shares
from ._text import quote
from .errors import GuestError, RingfenceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from IPython.core.interactiveshell import InteractiveShell

    from ._turn import Turn

_MAX_HTML_CHARACTERS = 4 << 20
_MAX_IMAGES = 20
_PNG = b"\x89PNG\r\n\x1a\n"
_PYTHONS = {"python", "python-data"}
_CELL = "<notebook>"

# What a session in Python is given: it runs a cell, and makes of its last value what can be shown.
_SHOW = """
async def _ringfence_show():
    import ast, inspect, linecache, sys
    source, wanted = _ringfence_take()
    linecache.cache["<notebook>"] = (len(source), None, source.splitlines(True), "<notebook>")
    tree = ast.parse(source, "<notebook>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    async def run(part, mode):
        code = compile(part, "<notebook>", mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        value = eval(code, globals())
        return await value if code.co_flags & inspect.CO_COROUTINE else value
    await run(tree, "exec")
    value = None if last is None else await run(ast.Expression(last.value), "eval")
    if wanted:
        _ringfence_give(value)
    text, page, images = None, None, []
    if value is not None:
        globals()["_"] = value
        text = repr(value)
        if hasattr(value, "_repr_html_"):
            page = value._repr_html_()
        elif hasattr(value, "_repr_png_"):
            images.append(value._repr_png_())
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        import io
        for number in pyplot.get_fignums():
            file = io.BytesIO()
            pyplot.figure(number).savefig(file, format="png", bbox_inches="tight")
            images.append(file.getvalue())
        pyplot.close("all")
    return [text, page, images]
"""


def load(shell: InteractiveShell) -> None:
    """Register the magic: what `%load_ext ringfence` does."""
    shell.register_magics(NotebookMagics(shell))


@magics_class
class NotebookMagics(Magics):  # type: ignore[misc] # IPython has no types for us
    """The sessions of a notebook, one for each language."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._rooms: dict[str, _Room] = {}

    @cell_magic  # type: ignore[untyped-decorator] # IPython has no types for us
    def ringfence(self, line: str, cell: str) -> None:
        """
        Run the cell in a sandbox, in a session that lasts as long as the notebook's kernel.

        `%%ringfence [LANGUAGE] [--policy FILE] [--with NAME] [--isolation worker] [--wall 5s] [--new] [--out NAME]`
        """
        words = _parsed(line)
        try:
            room = self._room(words)
            shown = room.run(cell, wanted=words.out is not None)
        except RingfenceError as error:
            if isinstance(error, GuestError):
                raise
            raise UsageError(str(error)) from None
        finally:
            known = self._rooms.get(words.language)
            if known is not None and known.session.poisoned:
                del self._rooms[words.language]
        if words.out is not None:
            self.shell.user_ns[words.out] = shown
            return

    def _room(self, words: argparse.Namespace) -> _Room:
        said = {name: value for name, value in vars(words).items() if name not in {"new", "out", "language"} and value}
        known = self._rooms.get(words.language)
        if known is not None and words.new:
            known.session.close()
            known = None
        if known is not None and said and said != known.said:
            raise UsageError(
                f"the session of `{words.language}` has begun with other words: what it may do does not change\n"
                "hint: begin anew with `--new`, or leave them out"
            )
        if known is None:
            known = self._rooms[words.language] = _Room(words, said)
        return known


class _Room:
    """A session, and the words that it was opened with."""

    def __init__(self, words: argparse.Namespace, said: dict[str, Any]) -> None:
        self.said, self._language = said, words.language
        self._given: list[Any] = []
        self._values: list[Any] = []
        policy = Policy.from_file(words.policy) if words.policy else Policy()
        policy = policy.replace(limits=policy.limits.replace(wall=words.wall)) if words.wall else policy
        policy, turn = shares(policy)
        is_python = words.language in _PYTHONS
        functions: dict[str, Callable[..., Any]] = {
            "_ringfence_take": lambda: self._given,
            "_ringfence_give": self._values.append,
        }
        self.session = Session(
            words.language,
            policy=policy,
            turn=turn,
            isolation=words.isolation or "wasm",
            packages=words.packages or (),
            functions=functions if is_python else None,
        )
        if is_python:
            self.session.eval(_SHOW).check()

    def run(self, cell: str, *, wanted: bool) -> Any:  # noqa: ANN401 - a plain value
        """Run a cell and show what came of it; give its value where it is wanted."""
        self._values.clear()
        self._given = [cell, wanted]
        is_python = self._language in _PYTHONS
        turn = self.session.eval("await _ringfence_show()" if is_python else cell)
        _say(turn)
        if not turn.ok:
            _fail(turn)
        if not is_python:
            if wanted and not turn.is_repr:
                return turn.value
            if turn.value is not None:
                _show(str(turn.value) if turn.is_repr else repr(turn.value), None, [])
            return None
        if wanted:
            return self._values[-1] if self._values else None
        match turn.value:  # the guest may have put another function in the place of ours
            case [str() | None as text, str() | None as page, list() as images]:
                _show(text, page, images)
        return None


def _parsed(line: str) -> argparse.Namespace:
    parser = _Parser(prog="%%ringfence", add_help=False)
    add = parser.add_argument
    add("language", nargs="?", default="python")
    add("--policy")
    add("--with", dest="packages", action="append")
    add("--isolation", choices=("wasm", "process", "worker"))
    add("--wall")
    add("--new", action="store_true")
    add("--out")
    try:
        words = parser.parse_args(shlex.split(line))
    except ValueError as error:
        raise UsageError(f"%%ringfence: {error}") from None
    if words.out is not None and not words.out.isidentifier():
        raise UsageError(f"%%ringfence: --out {words.out!r} is no name\nhint: give the name of a variable")
    if words.wall:
        try:
            Limits(wall=words.wall)
        except RingfenceError as error:
            raise UsageError(str(error)) from None
    return words


class _Parser(argparse.ArgumentParser):
    """One that does not end the kernel."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"%%ringfence: {message}\nhint: {self.format_usage().strip()}")


def _say(turn: Turn) -> None:
    """Print what it printed; no control character of a guest reaches a terminal."""
    import sys

    for data, stream in ((turn.stdout, sys.stdout), (turn.stderr, sys.stderr)):
        if data:
            stream.write(_cleaned(data.decode("utf-8", "replace")))
    for denial in turn.denials:
        sys.stderr.write(f"refused: {denial.kind} of {quote(denial.what)}\n")
    if turn.truncated:
        sys.stderr.write("output was cut at its limit\n")


def _fail(turn: Turn) -> None:
    """End the cell with the guest's traceback alone, without the frames of what ran it."""
    try:
        turn.check()
    except GuestError as error:
        lines = [error.what if turn.error is None else _cleaned(_own_frames(turn.error.traceback))]
        lines += ["all names of the session are gone: the next cell begins anew"] if turn.poisoned else []
        error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
        raise


def _own_frames(traceback: str) -> str:
    start = traceback.find(f'  File "{_CELL}"')
    return traceback if start < 0 else f"Traceback (most recent call last):\n{traceback[start:]}"


def _show(text: str | None, page: str | None, images: list[Any]) -> None:
    if text is not None:
        shown = {"text/plain": _cleaned(text)}
        if page is not None and len(page) <= _MAX_HTML_CHARACTERS:
            shown["text/html"] = rebuilt(page)
        if page is not None or not images:
            display(shown, raw=True)
    for image in images[:_MAX_IMAGES]:
        # Bytes that are no PNG, an SVG with a script for example, are not shown.
        if isinstance(image, bytes) and image.startswith(_PNG):
            display(Image(image, format="png"))


def _cleaned(text: str) -> str:
    return "".join(f"{quote(line, len(line))}{end}" for line, end in _lines(text))


def _lines(text: str) -> list[tuple[str, str]]:
    lines = text.split("\n")
    return [*((line, "\n") for line in lines[:-1]), (lines[-1], "")]


_KEPT = {"table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption", "div", "p", "span", "b", "i", "em", "strong"}
_KEPT |= {"code", "pre", "ul", "ol", "li", "small", "sub", "sup"}
_DROPPED = {"script", "style", "svg", "math", "iframe", "object", "template", "title", "textarea", "noscript", "select"}
_MAX_SPAN = 1000


def rebuilt(page: str) -> str:
    """
    Write a page anew with tags of ours: what a guest wrote must run nothing in the notebook, which has a kernel.

    Text and tables stay; attributes, styles, links, pictures and scripts do not.
    """
    writer = _Writer()
    writer.feed(page)
    writer.close()
    # The classes keep formulas, and links in them, from being made of text.
    return f'<div class="tex2jax_ignore mathjax_ignore">{writer.written()}</div>'


class _Writer(HTMLParser):
    """Writes what is kept, every tag closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._open: list[str] = []
        self._dropped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED:
            self._dropped += 1
        elif tag == "br" and not self._dropped:
            self._parts.append("<br>")
        elif tag in _KEPT and not self._dropped:
            spans = [(name, value) for name, value in attrs if name in {"colspan", "rowspan"} and value]
            numbers = [(name, int(value)) for name, value in spans if value and value.isdecimal() and len(value) < 5]  # noqa: PLR2004
            words = "".join(f' {name}="{min(number, _MAX_SPAN)}"' for name, number in numbers)
            words += ' class="dataframe"' if tag == "table" else ""
            self._parts.append(f"<{tag}{words}>")
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _DROPPED:
            self._dropped = max(0, self._dropped - 1)
        elif tag in self._open and not self._dropped:
            while self._open:
                above = self._open.pop()
                self._parts.append(f"</{above}>")
                if above == tag:
                    break

    def handle_data(self, data: str) -> None:
        if not self._dropped:
            self._parts.append(html.escape(data))

    def written(self) -> str:
        """Give it all, with what is open closed."""
        return "".join([*self._parts, *(f"</{tag}>" for tag in reversed(self._open))])
