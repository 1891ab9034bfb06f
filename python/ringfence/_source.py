"""What a sandbox runs: a WebAssembly program, or a language with the source text that is handed to it."""

from __future__ import annotations

import os

from ._program import Program, pack_program, to_program
from ._text import quote
from .errors import LoadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .languages import Pack

    Given = str | os.PathLike[str] | bytes | Program


class Runnable:
    """
    A program, with what it is given before the caller's own arguments.

    Attributes:
        program: the WebAssembly program; a language's interpreter where there is one.
        pack: the language; None for a WebAssembly program.
        args: arguments before the caller's.
        source: the script's text, which the interpreter takes instead of opening the file it is told.
        words: what the compiler said of the source it was made from; empty where there is none.
    """

    __slots__ = ("args", "pack", "program", "source", "words")

    def __init__(
        self,
        program: Program,
        pack: Pack | None = None,
        args: tuple[str, ...] = (),
        source: bytes | None = None,
        words: str = "",
    ) -> None:
        self.program, self.pack, self.args, self.source, self.words = program, pack, args, source, words

    @property
    def bare(self) -> bool:
        """Whether it is an interpreter that was given nothing yet."""
        return self.pack is not None and not self.args

    @property
    def compiles(self) -> bool:
        """Whether its program is a compiler: what is run is the program that this makes of the source."""
        return self.pack is not None and self.pack.compiler is not None

    def with_code(self, code: str) -> Runnable:
        """Give a bare interpreter its source text."""
        if self.pack is None:
            raise ValueError(
                "code is source text, and this sandbox runs a WebAssembly program\n"
                'hint: make it with `Sandbox(language="python")`'
            )
        if not self.bare:
            raise ValueError(
                "code was given, and this sandbox has its source already: there is one source\n"
                f'hint: make it with `Sandbox(language="{self.pack.language}")`'
            )
        if self.compiles:
            return Runnable(self.program, self.pack, ("<code>",), _text_of(self.pack, code))
        return Runnable(self.program, self.pack, _code_arguments(self.pack, code))


def runnable_of(program: Given | None, code: str | None, language: str | None) -> Runnable:
    """
    Take exactly one source: a program or script, source text, or a language alone.

    Text is never guessed to be source: a program that is a text is a path, and code needs its language said.
    """
    if program is not None and code is not None:
        raise ValueError("program and code were both given: there is one source\nhint: leave one out")
    if code is not None:
        if not isinstance(code, str):
            raise TypeError(f"code is source text, and this is a {type(code).__name__}\nhint: decode it")
        if language is None:
            raise ValueError('code needs its language: it is never guessed\nhint: add `language="python"`')
        return runnable_of(None, None, language).with_code(code)
    if program is None:
        if language is None:
            raise TypeError('nothing to run\nhint: give a path, or `code="print(1)", language="python"`')
        from .languages import find

        pack = find(language)
        return Runnable(pack_program(pack), pack)
    if isinstance(program, bytes | Program):
        if language is not None:
            raise ValueError(
                "a WebAssembly program was given together with a language\n"
                "hint: give source text as `code`, a script as a path, and leave the language out for WebAssembly"
            )
        return Runnable(to_program(program))
    from .languages._pick import pick

    path = os.fspath(program)
    script = pick(path, language)
    if script is None:
        return Runnable(Program.from_file(path))
    return Runnable(pack_program(script.pack), script.pack, script.args, script.source)


def _text_of(pack: Pack, code: str) -> bytes:
    _check_code(pack, code)
    try:
        return code.encode()
    except UnicodeEncodeError as error:
        what = f"the code cannot be run in {pack.title}"
        raise LoadError(what, f"it is no text: {error.reason}", "decode it as UTF-8") from error


def _code_arguments(pack: Pack, code: str) -> tuple[str, ...]:
    if not pack.code:
        what = f"the code cannot be run in {pack.title}"
        raise LoadError(what, "it takes scripts only, from files", "write it to a file, and give its path")
    _check_code(pack, code)
    return (*pack.code, code)


def _check_code(pack: Pack, code: str) -> None:
    from .languages._pick import MAX_SCRIPT_BYTES

    what = f"the code cannot be run in {pack.title}"
    if len(code) > MAX_SCRIPT_BYTES:
        why = f"it is longer than {MAX_SCRIPT_BYTES >> 20} MiB"
        raise LoadError(what, why, "hand data over as input, or grant a file of it")
    if "\0" in code:
        line = quote(code[code.rfind("\n", 0, code.index("\0")) + 1 : code.index("\0")], 40)
        raise LoadError(what, f"there is a NUL character in it, after `{line}`", "take it out, or write `\\0`")
