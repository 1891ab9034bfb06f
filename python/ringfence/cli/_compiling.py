"""Languages that are compiled before a server answers, or beside what it does."""

from __future__ import annotations

import contextlib

from ringfence.errors import RingfenceError

from ._output import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ringfence._policy import Policy
    from ringfence.languages import Pack


class _Stopped(Exception):
    """The server has ended."""


@contextlib.contextmanager
def compiled(packs: list[Pack], policy: Policy) -> Iterator[None]:
    """Compile before anybody waits for an answer."""
    for pack in packs:
        with Progress(pack.language) as progress:
            _compile(pack, policy, progress)
    yield


@contextlib.contextmanager
def compiling(packs: list[Pack], policy: Policy) -> Iterator[None]:
    """Compile beside what is done here; the first call of a language that is not ready waits, and tells what failed."""
    from threading import Event, Thread

    stopped = Event()

    def watch(_: float) -> None:
        if stopped.is_set():
            raise _Stopped

    def compile_all() -> None:
        with contextlib.suppress(RingfenceError, _Stopped):
            for pack in packs:
                _compile(pack, policy, watch)

    thread = Thread(target=compile_all, name="ringfence-compiling")
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _compile(pack: Pack, policy: Policy, progress: Callable[[float], None]) -> None:
    from ringfence._engine import core
    from ringfence._program import pack_program

    core.precompile(pack_program(pack)._native, policy._native, progress)  # noqa: SLF001
