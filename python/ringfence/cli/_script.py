"""Source text on the command line: `--language`, `-c`, `-m`, `-` and other switches, as the interpreters have them."""

from __future__ import annotations

from . import _output
from ._compiler import add_flags, read_source, switches
from ._verbs import REST, UsageError, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ringfence._isolation import Isolation
    from ringfence._policy import Policy
    from ringfence._sandbox import Sandbox


class Source:
    """
    What a command line runs.

    Attributes:
        program: a program or script by its path; None otherwise.
        code: source text; None otherwise.
        language: the language that was said.
        args: the arguments for the guest.
        name: what to call it while it compiles.
        flags: for its compiler.
        sources: beside it, for its compiler.
    """

    __slots__ = ("args", "code", "flags", "language", "name", "program", "sources")

    def __init__(self, language: str | None, name: str) -> None:
        self.program: str | None = None
        self.code: str | None = None
        self.language = language
        self.args: list[str] = []
        self.name = name
        self.flags: list[str] = []
        self.sources: list[str] = []

    def sandbox(self, policy: Policy, isolation: Isolation, packages: Sequence[str] = ()) -> Sandbox:
        """Compile it, with a line that shows how long that takes."""
        from ringfence._sandbox import Sandbox

        with _output.Progress(self.name, "preparing" if packages else "compiling") as progress:
            return Sandbox(
                self.program,
                code=self.code,
                language=self.language,
                policy=policy,
                isolation=isolation,
                progress=progress,
                compiler_flags=self.flags,
                sources=self.sources,
                packages=packages,
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    add = parser.add_argument
    add("--language", metavar="NAME", help="the language of a script or of CODE; told by the script itself unless said")
    add("-c", dest="code", metavar="CODE", nargs=REST, action="instead", help="run this source text; needs --language")
    add(
        "-m", dest="module", metavar="MODULE", nargs=REST, action="instead", help="run a module of the language by name"
    )
    add_flags(parser)


def source_of(arguments: argparse.Namespace) -> Source:
    """Find out what is to be run."""
    source = _source_of(arguments)
    source.flags, source.sources = arguments.compiler_flags, arguments.sources
    return source


def _source_of(arguments: argparse.Namespace) -> Source:
    flag = "-c" if arguments.code else "-m" if arguments.module else "-" if arguments.program == "-" else None
    if flag is None and arguments.language is not None and arguments.program.startswith("-"):
        source = Source(arguments.language, arguments.language)
        source.args = switches(arguments.language, [arguments.program, *whole(arguments.args)])
        return source
    if flag is None:
        source = Source(arguments.language, arguments.program)
        source.program, source.args = arguments.program, whole(arguments.args)
        return source
    language = arguments.language
    if language is None:
        words = {"-c": "-c CODE", "-m": "-m MODULE", "-": "-"}[flag]
        raise UsageError(
            f"`{flag}` was given without a language",
            "text is never guessed to be in one",
            f"write `ringfence run --language python {words}`",
        )
    source = Source(language, language)
    if flag == "-c":
        source.code, *source.args = arguments.code
    elif flag == "-m":
        source.args = [*_option(language, "module", flag), *arguments.module]
    elif (code := read_source(language)) is not None:
        source.code, source.args = code, whole(arguments.args)
    else:
        source.args = [*_option(language, "stdin", flag), *whole(arguments.args)]
    return source


def _option(language: str, name: str, flag: str) -> Sequence[str]:
    from ringfence.languages import find

    pack = find(language)
    option: tuple[str, ...] = getattr(pack, name)
    if not option:
        what = f"`{flag}` is nothing that {pack.title} has"
        raise UsageError(what, "its interpreter does not take it", "write the source to a file, and give its path")
    return option
