"""The fixtures `sandbox` and `sandbox_session`, in test runs of their own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def run(pytester: pytest.Pytester) -> pytest.Pytester:
    """Have a directory whose tests find the plugin as any user's do: by its entry point."""
    pytester.makepyprojecttoml("[tool.pytest.ini_options]\naddopts = ['--strict-markers', '-p', 'no:cacheprovider']")
    return pytester


def test_plugin_is_found_by_its_entry_point(run: pytest.Pytester) -> None:
    """Nothing is configured and nothing imported: `sandbox` is there, with what runs in it."""
    run.makepyfile(
        """
        def test_run(sandbox):
            assert "42\\n" == sandbox.run(code="print(6 * 7)").text

        def test_turns(sandbox_session):
            sandbox_session.eval("x = 6")
            assert 42 == sandbox_session.eval("x * 7").value
        """
    )

    ended = run.runpytest_subprocess()

    ended.assert_outcomes(passed=2)
    assert "ringfence._pytest_plugin" in {point.value for point in entry_points(group="pytest11")}


def test_plugin_imports_nothing_of_ours_until_a_test_needs_it() -> None:
    """Who has Ringfence installed and does not use the fixtures pays for one small file."""
    code = "import pytest, sys; import ringfence._pytest_plugin; print(*(n for n in sys.modules if 'ringfence' in n))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert ["ringfence", "ringfence._pytest_plugin"] == loaded.split()


def test_nothing_is_granted_unless_said(run: pytest.Pytester) -> None:
    """A test's code sees no files, however the tests were started."""
    run.makepyfile(
        """
        def test_files(sandbox):
            assert not sandbox.run(code="open('/etc/passwd')").ok
        """
    )

    run.runpytest_inprocess().assert_outcomes(passed=1)


def test_marker_grants_and_the_closest_says_the_last_word(run: pytest.Pytester, guests: Path) -> None:
    """Markers of module, class and function add up; a program is found beside its test."""
    run.path.joinpath("hello.wat").write_bytes((guests / "hello.wat").read_bytes())
    run.makepyfile(
        """
        import pytest
        from ringfence import Limits

        pytestmark = pytest.mark.sandbox(env={"GREETING": "hello"}, limits=Limits(wall="5s"))

        def test_module(sandbox):
            assert "hello" == sandbox.run(code="import os; print(os.environ['GREETING'], end='')").text

        @pytest.mark.sandbox(env={"GREETING": "bye"})
        def test_function(sandbox, sandbox_session):
            assert 5.0 == sandbox.policy.limits.wall
            assert "bye" == sandbox_session.eval("import os; os.environ['GREETING']").value

        @pytest.mark.sandbox("hello.wat")
        def test_program(sandbox):
            assert sandbox.run(check=True).text

        @pytest.mark.sandbox(functions={"double": lambda x: x * 2})
        def test_functions(sandbox_session):
            assert 42 == sandbox_session.eval("double(21)").value
        """
    )

    run.runpytest_inprocess().assert_outcomes(passed=4)


def test_policy_is_a_fixture_a_file_or_a_flag(run: pytest.Pytester) -> None:
    """The ini file names a policy file beside it, the command line another, a fixture says it in Python."""
    run.makepyprojecttoml("[tool.pytest.ini_options]\nringfence_policy = 'policy.toml'")
    run.path.joinpath("policy.toml").write_text("[env]\nFROM = 'ini'\n")
    run.path.joinpath("other.toml").write_text("[env]\nFROM = 'flag'\n")
    run.makepyfile(
        """
        import os, pytest, ringfence

        def test_named(sandbox):
            assert os.environ["EXPECTED"] == sandbox.policy.env["FROM"]

        class TestOwn:
            @pytest.fixture
            def sandbox_policy(self):
                return ringfence.Policy(env={"FROM": "fixture"})

            def test_own(self, sandbox):
                assert "fixture" == sandbox.policy.env["FROM"]
        """
    )

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPECTED", "ini")
        run.runpytest_inprocess().assert_outcomes(passed=2)
        patch.setenv("EXPECTED", "flag")
        run.runpytest_inprocess("--ringfence-policy", "other.toml").assert_outcomes(passed=2)


def test_isolation_is_for_a_test_a_project_or_a_run(run: pytest.Pytester) -> None:
    """With "worker" the guest is in a process of its own; the command line says it for all."""
    run.makepyfile(
        """
        import pytest

        @pytest.mark.sandbox(isolation="worker")
        def test_worker(sandbox):
            assert sandbox.run(code="print(1)").ok

        def test_session(sandbox_session):
            assert 1 == sandbox_session.eval("1").value
        """
    )

    run.runpytest_inprocess("--ringfence-isolation", "worker").assert_outcomes(passed=2)
    run.makepyprojecttoml("[tool.pytest.ini_options]\nringfence_isolation = 'none'")
    refused = run.runpytest_inprocess()

    refused.stderr.fnmatch_lines(["*ringfence_isolation is `none`: there are wasm, process, worker*"])


def test_failed_test_shows_what_its_runs_came_to(run: pytest.Pytester) -> None:
    """Output, traceback, refusals and limits are below the failure; a test that passes shows nothing."""
    run.makepyfile(
        """
        import ringfence

        def test_fails(sandbox, sandbox_session):
            sandbox.run(code="print('first words')")
            sandbox_session.eval("1 / 0")
            sandbox.run(code="open('/etc/passwd')", check=True)

        def test_limit(sandbox):
            result = sandbox.run(code="while True: pass", limits=ringfence.Limits(wall="50ms"))
            assert result.ok

        def test_passes(sandbox):
            sandbox.run(code="print('never shown')")
        """
    )

    ended = run.runpytest_inprocess()

    ended.assert_outcomes(passed=1, failed=2)
    ended.stdout.fnmatch_lines(
        [
            "*sandbox: 1 of 3*",
            "*first words*",
            "*sandbox: 2 of 3*",
            "*ZeroDivisionError*",
            "*sandbox: 3 of 3*",
            "*refused: read of /etc/passwd, 1 times*",
            "*limit reached: wall*",
        ]
    )
    ended.stdout.no_fnmatch_line("*never shown*")


def test_output_of_a_guest_forges_nothing_in_a_report(run: pytest.Pytester) -> None:
    """Control characters are escaped, and a flood is cut."""
    run.makepyfile(
        """
        def test_forges(sandbox):
            sandbox.run(code=r"print('\\x1b[2J1 passed'); [print(n) for n in range(100_000)]")
            assert False
        """
    )

    ended = run.runpytest_inprocess()

    assert "\x1b[2J" not in ended.stdout.str()
    ended.stdout.fnmatch_lines(["*lines before*", "*99999*"])
    assert len(ended.outlines) < 100


def test_wrong_marker_is_refused_with_the_nearest_right_word(run: pytest.Pytester) -> None:
    """A grant that is misspelled is an error, and so is a program for a session."""
    run.makepyfile(
        """
        import pytest

        @pytest.mark.sandbox(limit=1)
        def test_misspelled(sandbox):
            pass

        @pytest.mark.sandbox("a.wasm")
        def test_session(sandbox_session):
            pass

        @pytest.mark.sandbox("a.wasm", "b.wasm")
        def test_two(sandbox):
            pass
        """
    )

    ended = run.runpytest_inprocess()

    ended.assert_outcomes(errors=3)
    ended.stdout.fnmatch_lines(["*takes no `limit`*", "*hint: write `limits`*", "*a session is of a language*"])
