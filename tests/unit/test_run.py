"""One call from a program to its result."""

import asyncio
import inspect
from pathlib import Path

import pytest

import ringfence
from ringfence import Limits, Policy, Sandbox, _program, _run, run
from ringfence.languages import _find


def test_program_may_be_a_path_bytes_or_a_program(guests: Path) -> None:
    """All forms of a program run the same."""
    file = guests / "hello.wat"
    forms = (file, str(file), file.read_bytes(), ringfence.Program.from_file(file))

    assert ["hello, world\n"] * 4 == [ringfence.run(form).text for form in forms]


def test_awaited_run_is_the_same(guests: Path) -> None:
    """`arun` is `run` for an event loop."""
    result = asyncio.run(ringfence.arun(guests / "cat.wat", input=b"text"))

    assert ("exited", b"text") == (result.outcome, result.stdout)


def test_policy_and_limits_apply(guests: Path) -> None:
    """What is passed is obeyed."""
    policy = Policy(limits=Limits(wall="100ms"))

    assert "wall" == ringfence.run(guests / "spin_forever.wat", policy=policy).limit
    assert "wall" == ringfence.run(guests / "spin_forever.wat", limits=Limits(wall="100ms")).limit


def test_runs_under_one_policy_are_each_as_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The language is linked once for it; each policy is its own, and variables are handed on as they are."""
    pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")
    code = "import os; print(os.environ.get('A'), os.path.exists('/data'), 'mark' in globals()); mark = 1"
    granted = Policy(dirs=[ringfence.Dir(tmp_path, at="/data")], env={"A": "1"})
    other, handed = Policy(env={"A": "2"}), Policy(inherit_env=["A"])
    for turn in "xyz":
        monkeypatch.setenv("A", turn)
        texts = [run(code=code, language="python", policy=policy).text for policy in (granted, other, handed)]
        assert ["1 True False\n", "2 False False\n", f"{turn} False False\n"] == texts
    limited = run(code="while True: pass", language="python", policy=other, limits=Limits(wall="100ms"))
    assert "wall" == limited.limit
    with pytest.raises(TypeError, match="source text"):
        run(code=b"1", language="python", policy=other)  # type: ignore[arg-type]


def test_check_raises(guests: Path) -> None:
    """`check=True` raises for a guest that fails, in both forms."""
    with pytest.raises(ringfence.GuestExited):
        ringfence.run(guests / "exit_code.wat", ["1"], check=True)
    with pytest.raises(ringfence.GuestExited):
        asyncio.run(ringfence.arun(guests / "exit_code.wat", ["1"], check=True))


def test_four_ways_to_run_take_the_same_options() -> None:
    """`run` and `arun` differ in nothing but the waiting; the functions add what a sandbox is made of."""

    def options(function: object) -> dict[str, inspect.Parameter]:
        parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
        of_a_sandbox = {"self", "program", "language", "policy", "imports", "isolation", "tenant"}
        of_a_sandbox |= {"compiler_flags", "packages", "sources"}
        return {name: each for name, each in parameters.items() if name not in of_a_sandbox}

    assert options(ringfence.run) == options(ringfence.arun) == options(Sandbox.run) == options(Sandbox.arun)


def test_source_text_finds_its_language_loaded_by_the_text_before() -> None:
    """And nothing of it: each has a store of its own."""
    assert "1\n" == run(code="x = 1\nprint(x)", language="python").check().text
    kept = _run._interpreters["python"]
    assert "['y']\n" == run(args=["y"], code="import sys\nprint(sys.argv[1:])", language="python").text
    assert b"NameError" in run(code="print(x)", language="python").stderr
    assert kept is _run._interpreters["python"]


def test_source_text_is_run_by_the_pack_that_is_installed_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was loaded before is let go of when another has taken its place."""
    run(code="pass", language="python").check()
    kept = _run._interpreters["python"]
    _find.forget()
    monkeypatch.setattr(_program, "_packs", {})
    run(code="pass", language="python").check()
    assert kept is not _run._interpreters["python"]
