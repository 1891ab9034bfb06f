"""The cell magic `%%ringfence` of notebooks: cells that run in a session of a sandbox."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class
from IPython.display import display

from ._jupyter_cells import SET_UP, Cells
from ._policy import Limits, Policy
from ._session import Session
from ._shares import shares
from ._text import quote
from .errors import GuestError, RingfenceError
from .shown import cleaned as _cleaned
from .shown import shown

if TYPE_CHECKING:
    from typing import Any, NoReturn

    from IPython.core.interactiveshell import InteractiveShell

    from ._turn import Turn

_PYTHONS = {"python", "python-data"}
_CELL = "<notebook>"


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
        self._cells = Cells()
        policy = Policy.from_file(words.policy) if words.policy else Policy()
        policy = policy.replace(limits=policy.limits.replace(wall=words.wall)) if words.wall else policy
        policy, turn = shares(policy)
        is_python = words.language in _PYTHONS
        self.session = Session(
            words.language,
            policy=policy,
            turn=turn,
            isolation=words.isolation or "wasm",
            packages=words.packages or (),
            functions=self._cells.functions() if is_python else None,
        )
        if is_python:
            self.session.eval(SET_UP).check()

    def run(self, cell: str, *, wanted: bool) -> Any:  # noqa: ANN401 - a plain value
        """Run a cell and show what came of it; give its value where it is wanted."""
        is_python = self._language in _PYTHONS
        source = self._cells.begin(cell, wanted=wanted)
        turn = self.session.eval(source if is_python else cell)
        self._say(turn)
        if not turn.ok:
            _fail(turn)
        if wanted:
            return self._cells.values[-1] if self._cells.values else None if turn.is_repr else turn.value
        if not is_python and turn.value is not None:
            _show({"text/plain": str(turn.value) if turn.is_repr else repr(turn.value)}, {})
        return None

    def _say(self, turn: Turn) -> None:
        """Show what it printed and displayed; no control character of a guest reaches a terminal."""
        for piece in self._cells.in_order(turn.text):
            if isinstance(piece, str):
                sys.stdout.write(_cleaned(piece))
            else:
                sys.stdout.flush()
                _show(*piece)
        if turn.stderr:
            sys.stderr.write(_cleaned(turn.stderr.decode("utf-8", "replace")))
        for denial in turn.denials:
            sys.stderr.write(f"refused: {denial.kind} of {quote(denial.what)}\n")
        if turn.truncated:
            sys.stderr.write("output was cut at its limit\n")
        if self._cells.lost:
            sys.stderr.write(f"not shown: {self._cells.lost} more, which were too many or too large\n")


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


def _show(bundle: Any, about: Any) -> None:  # noqa: ANN401 - whatever a guest gave
    """Show what of it may be shown."""
    made = shown(bundle, about)
    if made.data:
        display(made.data, metadata=made.metadata, raw=True)
    if made.left:
        sys.stderr.write(
            f"not shown: {', '.join(made.left)} (only text and pictures, which run nothing in this page)\n"
        )
