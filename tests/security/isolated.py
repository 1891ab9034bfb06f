"""Running attacks where the test says: the fixture `isolation` sets it, `run` and `Sandbox` obey."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ringfence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    Program = str | bytes | Path | ringfence.Program

# Every attack is run once under each of these.
ISOLATIONS = ("wasm", "worker")

_options: dict[str, Any] = {}


@contextmanager
def isolated(isolation: str) -> Iterator[None]:
    """Run everything below in that isolation."""
    _options["isolation"] = isolation
    try:
        yield
    finally:
        _options.clear()


def options() -> dict[str, Any]:
    """Give the keywords that every run of an attack takes, to hand them on to another process."""
    return dict(_options)


def flags() -> list[str]:
    """Give the same for the command line."""
    return [f"--{name}={value}" for name, value in _options.items()]


def run(program: Program, args: Iterable[str] = (), **keywords: Any) -> ringfence.Result:
    """Run a program as `ringfence.run` does."""
    return ringfence.run(program, args, **_options, **keywords)


def run_code(code: str, language: str, **keywords: Any) -> ringfence.Result:
    """Run source text as `ringfence.run` does."""
    return ringfence.run(code=code, language=language, **_options, **keywords)


def Sandbox(program: Program, **keywords: Any) -> ringfence.Sandbox:  # noqa: N802 - stands where the class would
    """Make a sandbox as `ringfence.Sandbox` does."""
    return ringfence.Sandbox(program, **_options, **keywords)


def Session(language: str | ringfence.Program, **keywords: Any) -> ringfence.Session:  # noqa: N802 - as above
    """Open a session as `ringfence.Session` does."""
    return ringfence.Session(language, **_options, **keywords)


def values(language: str, turns: Sequence[str]) -> list[object]:
    """Give the values of a session's turns, none of which may fail."""
    with Session(language) as session:
        told = [session.eval(turn) for turn in turns]
        assert [None] * len(turns) == [turn.error for turn in told]
        return [turn.value for turn in told]


def Plugin(program: Program, **keywords: Any) -> ringfence.Plugin:  # noqa: N802 - as above
    """Load a plugin as `ringfence.Plugin` does."""
    return ringfence.Plugin(program, **_options, **keywords)


def close_workers() -> None:
    """End the workers that are kept for the next run, and all that is theirs; nothing where there are none."""
    from ringfence._engine import core

    core.close_workers()
