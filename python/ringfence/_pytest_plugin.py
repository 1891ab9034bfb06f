"""
The pytest plugin: the fixtures `sandbox`, `sandbox_session` and `sandbox_policy`, and the marker `sandbox`.

pytest imports this in every run of an environment that has Ringfence: whatever costs time waits inside of functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ._policy import Policy
    from ._result import Result
    from ._sandbox import Sandbox
    from ._session import Session
    from ._turn import Turn

    Ended = Result | Turn

_ISOLATIONS = ("wasm", "process", "worker")
_OWN = ("language", "policy", "isolation", "packages", "functions")
# Of each stream, and of the runs of a test that are shown.
_SHOWN_LINES = 40
_SHOWN_RUNS = 5

_MARKER = (
    "sandbox(program=None, *, language=, policy=, isolation=, packages=, functions=, **policy): what the fixtures "
    "`sandbox` and `sandbox_session` of a test are made of; other keywords are those of `ringfence.Policy`"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what a whole test run may say."""
    group = parser.getgroup("ringfence", "sandboxed code (ringfence)")
    group.addoption("--ringfence-policy", metavar="FILE", help="policy file for the fixture `sandbox`")
    group.addoption(
        "--ringfence-isolation", choices=_ISOLATIONS, help="what keeps the guests of the fixture `sandbox` apart"
    )
    parser.addini("ringfence_policy", "policy file for the fixture `sandbox`, from the directory of the ini file")
    parser.addini("ringfence_isolation", "isolation for the fixture `sandbox`: wasm, process or worker")
    parser.addini("ringfence_language", "language for the fixture `sandbox`", default="python")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and refuse an isolation that is none before the first test."""
    config.addinivalue_line("markers", _MARKER)
    isolation = config.getini("ringfence_isolation")
    if isolation and isolation not in _ISOLATIONS:
        raise pytest.UsageError(
            f"ringfence_isolation is `{isolation}`: there are {', '.join(_ISOLATIONS)}\n"
            "hint: write `ringfence_isolation = worker`"
        )


@pytest.fixture
def sandbox_policy(request: pytest.FixtureRequest) -> Policy:
    """
    What sandboxed code of this test may do, unless its marker says more: nothing, or what the policy file grants.

    Define a fixture of this name to say it in Python.
    """
    from ._policy import Policy

    config = request.config
    named = config.getoption("ringfence_policy")
    if named:
        return Policy.from_file(config.invocation_params.dir / named)
    path = config.getini("ringfence_policy")
    if not path:
        return Policy()
    return Policy.from_file((config.inipath.parent if config.inipath else config.rootpath) / path)


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, sandbox_policy: Policy) -> Sandbox:
    """
    A `ringfence.Sandbox` for this test: `sandbox.run(code="print(1)")`.

    It is of the program that the marker `sandbox` names, or else of a language, Python unless told. When the test
    fails, what its runs came to is shown.
    """
    return _watched_sandbox(request, sandbox_policy)


@pytest.fixture
def sandbox_session(request: pytest.FixtureRequest, sandbox_policy: Policy) -> Iterator[Session]:
    """A `ringfence.Session` for this test, closed at its end: `sandbox_session.eval("1 + 1").value`."""
    session = _watched_session(request, sandbox_policy)
    yield session
    session.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the runs of a failed test came to."""
    report = yield
    ended = item.stash.get(_ended, [])
    if report.failed and ended:
        for number, each in list(enumerate(ended, 1))[-_SHOWN_RUNS:]:
            report.sections.append((f"sandbox: {number} of {len(ended)}", _shown(each)))
        ended.clear()  # or the teardown's report would tell it again
    return report


# What came of the runs and turns of a test, in their order.
_ended = pytest.StashKey[list["Ended"]]()


def _watched_sandbox(request: pytest.FixtureRequest, base: Policy) -> Sandbox:
    from ._sandbox import Sandbox

    ended = request.node.stash.setdefault(_ended, [])

    class Watched(Sandbox):
        """One that keeps what its runs come to."""

        __slots__ = ()

        def run(self, *args: Any, check: bool = False, **words: Any) -> Result:  # noqa: ANN401 - handed on
            ended.append(result := super().run(*args, **words))
            return result.check() if check else result

        async def arun(self, *args: Any, check: bool = False, **words: Any) -> Result:  # noqa: ANN401 - handed on
            ended.append(result := await super().arun(*args, **words))
            return result.check() if check else result

    program, policy, words = _words(request, base)
    if words.pop("functions", None):
        raise pytest.UsageError(
            "functions are called by sessions, and this test takes the fixture `sandbox`\n"
            "hint: take `sandbox_session`, or leave functions out"
        )
    if program is None:
        words.setdefault("language", request.config.getini("ringfence_language"))
    return Watched(program, policy=policy, **words)


def _watched_session(request: pytest.FixtureRequest, base: Policy) -> Session:
    from ._session import Session

    ended = request.node.stash.setdefault(_ended, [])

    class Watched(Session):
        """One that keeps what its turns come to."""

        __slots__ = ()

        def eval(self, *args: Any, **words: Any) -> Turn:  # noqa: ANN401 - handed on
            ended.append(turn := super().eval(*args, **words))
            return turn

        async def aeval(self, *args: Any, **words: Any) -> Turn:  # noqa: ANN401 - handed on
            ended.append(turn := await super().aeval(*args, **words))
            return turn

    program, policy, words = _words(request, base)
    if program is not None:
        raise pytest.UsageError(
            f"a session is of a language, and the marker names the program {str(program)!r}\n"
            'hint: write `@pytest.mark.sandbox(language="python")`'
        )
    language = words.pop("language", None) or request.config.getini("ringfence_language")
    return Watched(language, policy=policy, **words)


def _words(request: pytest.FixtureRequest, base: Policy) -> tuple[Any, Policy, dict[str, Any]]:
    """Give the program of a test's markers, the policy, and what else they say: the closest says the last word."""
    from ._policy import Policy

    program: Any = None
    said: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("sandbox"))):
        if len(marker.args) > 1:
            raise pytest.UsageError(
                f"the marker `sandbox` takes one program, and {len(marker.args)} were given\n"
                "hint: name the others in markers of their own tests"
            )
        program = marker.args[0] if marker.args else program
        said |= marker.kwargs
    own = {name: said.pop(name) for name in _OWN if name in said}
    given = own.pop("policy", base)
    policy = given if isinstance(given, Policy) else Policy.from_file(request.path.parent / given)
    if said:
        policy = _narrowed(policy, said)
    isolation = request.config.getoption("ringfence_isolation") or own.pop("isolation", None)
    own["isolation"] = isolation or request.config.getini("ringfence_isolation") or "wasm"
    if isinstance(program, str):
        program = request.path.parent / program
    return program, policy, own


def _narrowed(policy: Policy, fields: dict[str, Any]) -> Policy:
    from ._policy import Policy

    known = [*(Policy.__init__.__kwdefaults__ or ())]
    for name in fields:
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, [*known, *_OWN], 1)
            raise pytest.UsageError(
                f"the marker `sandbox` takes no `{name}`: it takes {', '.join([*_OWN, *known])}\n"
                f"hint: {f'write `{near[0]}`' if near else 'leave it out'}"
            )
    return policy.replace(**fields)


def _shown(ended: Ended) -> str:
    """Tell how a run or turn ended; a guest's text forges nothing in it."""
    from ._text import quote

    lines = [repr(ended)]
    error = getattr(ended, "error", None)
    if error is not None and not callable(error):
        lines += ["error:", *_block(error.traceback)]
    for name, data in (("stdout", ended.stdout), ("stderr", ended.stderr)):
        if data:
            lines += [f"{name}:", *_block(data.decode("utf-8", "replace"))]
    lines += [f"refused: {denial.kind} of {quote(denial.what)}, {denial.count} times" for denial in ended.denials]
    lines += [f"limit reached: {ended.limit}"] if ended.limit else []
    lines += [f"trap: {quote(ended.trap)}"] if ended.trap else []
    return "\n".join(lines)


def _block(text: str) -> list[str]:
    from ._text import quote

    lines = text.splitlines()
    missing = len(lines) - _SHOWN_LINES
    above = [f"  … {missing} lines before"] if missing > 0 else []
    return [*above, *(f"  {quote(line)}" for line in lines[-_SHOWN_LINES:])]
