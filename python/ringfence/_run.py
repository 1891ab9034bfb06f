"""One call from a program to its result: `run`, `arun`."""

from __future__ import annotations

from ._program import pack_program
from ._sandbox import Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import Any

    from ._imports import Imports
    from ._isolation import Isolation
    from ._policy import Limits, Policy
    from ._program import Program
    from ._result import Result
    from ._sandbox import Arguments
    from ._streams import Sink, Source


def run(
    program: str | os.PathLike[str] | bytes | Program | None = None,
    args: Arguments = (),
    *,
    code: str | None = None,
    language: str | None = None,
    input: bytes | None = None,
    stdin: Source = None,
    stdout: Sink = "capture",
    stderr: Sink = "capture",
    policy: Policy | None = None,
    limits: Limits | None = None,
    imports: Imports | None = None,
    isolation: Isolation = "wasm",
    tenant: str | None = None,
    compiler_flags: Iterable[str] = (),
    sources: Iterable[str | os.PathLike[str]] = (),
    packages: Iterable[str] = (),
    check: bool = False,
) -> Result:
    """
    Run a program once under a policy, and wait for the end.

    The program is a path, the bytes themselves, or a `Program`; or a script, or `code` with its `language`. Without a
    policy it is granted nothing. What `Sandbox` takes is as there, and the rest is as for
    `Sandbox.run`. To run a program many times, make a `Sandbox` of it.

    >>> result = run("tool.wasm", ["a", "b"], input=b"some text")
    >>> result.outcome, result.exit_code, result.text
    >>> run("script.py", ["a", "b"]).check().text
    >>> run(code="print(1)", language="python").check().text
    """
    plain = program is None and not imports and isolation == "wasm" and tenant is None
    if plain and packages == () == compiler_flags == sources and language is not None and isinstance(code, str):
        sandbox = _interpreter(language) if policy is None else Sandbox._of_language(language, policy)  # noqa: SLF001
        return sandbox.run(
            args, code=code, input=input, stdin=stdin, stdout=stdout, stderr=stderr, limits=limits, check=check
        )
    source = (program, code, language)
    more = {"compiler_flags": compiler_flags, "sources": sources, "packages": packages}
    return _sandbox(source, policy, imports, isolation, tenant, more).run(
        args, input=input, stdin=stdin, stdout=stdout, stderr=stderr, limits=limits, check=check
    )


async def arun(
    program: str | os.PathLike[str] | bytes | Program | None = None,
    args: Arguments = (),
    *,
    code: str | None = None,
    language: str | None = None,
    input: bytes | None = None,
    stdin: Source = None,
    stdout: Sink = "capture",
    stderr: Sink = "capture",
    policy: Policy | None = None,
    limits: Limits | None = None,
    imports: Imports | None = None,
    isolation: Isolation = "wasm",
    tenant: str | None = None,
    compiler_flags: Iterable[str] = (),
    sources: Iterable[str | os.PathLike[str]] = (),
    packages: Iterable[str] = (),
    check: bool = False,
) -> Result:
    """Run a program once under a policy while the event loop goes on; see `run` and `Sandbox.arun`."""
    from ._running import on_thread

    # Cancelled, a compilation is left to finish: what it made is in the cache for the next time.
    more = {"compiler_flags": compiler_flags, "sources": sources, "packages": packages}
    source = (program, code, language)
    sandbox = await on_thread(lambda _: _sandbox(source, policy, imports, isolation, tenant, more), leave=True)
    return await sandbox.arun(args, input=input, stdin=stdin, stdout=stdout, stderr=stderr, limits=limits, check=check)


# Of each language that source text was run in, so that the next text finds it loaded and linked.
_interpreters: dict[str, Sandbox] = {}


def _interpreter(language: str) -> Sandbox:
    from .languages import find

    known = _interpreters.get(language)
    # Another pack may have been installed meanwhile.
    if known is None or known.program is not pack_program(find(language)):
        known = _interpreters[language] = Sandbox(language=language)
    return known


def _sandbox(
    source: tuple[str | os.PathLike[str] | bytes | Program | None, str | None, str | None],
    policy: Policy | None,
    imports: Imports | None,
    isolation: Isolation,
    tenant: str | None,
    more: dict[str, Any],
) -> Sandbox:
    program, code, language = source
    return Sandbox(
        program,
        code=code,
        language=language,
        policy=policy,
        imports=imports,
        isolation=isolation,
        tenant=tenant,
        **more,
    )
