"""The pack `python-data`. It is not built with the others: `ringfence languages install python-data` builds it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Limits, Policy, Sandbox, Session

if TYPE_CHECKING:
    from pathlib import Path

    from ringfence import Snapshot

pytest.importorskip(
    "ringfence_language_python_data",
    reason="NOT TESTED: python-data is not installed (`ringfence languages install python-data`: minutes, 2 GB)",
)
pytestmark = [pytest.mark.timeout(1200), pytest.mark.usefixtures("compiled_python_data")]


@pytest.fixture(scope="module")
def warm() -> Snapshot:
    """Keep a session that holds a table."""
    with Session("python-data") as session:
        begun = session.eval("import numpy as np, pandas as pd\ndf = pd.DataFrame({'a': range(100)})\nlen(df)")
        assert 100 == begun.value, begun
        return session.snapshot()


def test_program_computes_with_numpy_pandas_and_scipy() -> None:
    """They are there, imported, and say what they say elsewhere."""
    code = """
import numpy as np, pandas as pd, scipy, sys
from scipy import stats
df = pd.DataFrame({"a": [1, 2, 3, 4], "b": list("xyxy")})
print(df.groupby("b").a.sum().to_dict(), np.linalg.det(np.eye(3) * 2), round(stats.norm.cdf(0), 3))
print(sys.version_info[:2], df.a.mean())
"""
    result = Sandbox(language="python-data").run(code=code)

    assert (b"", 0) == (result.stderr, result.exit_code)
    assert b"{'x': 4, 'y': 6} 7.999999999999998 0.5\n(3, 15) 2.5\n" == result.stdout.replace(
        b"8.0 ", b"7.999999999999998 "
    )


def test_numbers_of_numpy_are_numbers_of_the_caller(warm: Snapshot) -> None:
    """Booleans, integers and floats, alone and inside of what else is plain; what is longer than Python's is not."""
    with warm.fork() as fork:
        value = fork.eval(
            "[df.a.mean(), df.a.max(), df.a.max() > 3, np.float32(0.5), {'n': np.uint64(2**64 - 1)}]"
        ).value
        assert [49.5, 99, True, 0.5, {"n": 2**64 - 1}] == value
        assert [float, int, bool] == [type(each) for each in value[:3]]
        assert isinstance(fork.eval("np.complex128(1)").value, str)


def test_scikit_learn_learns() -> None:
    """A part of it lies in a folder that is a package without a file of its own."""
    code = """
from sklearn.linear_model import LinearRegression
print(LinearRegression().fit([[1], [2], [3]], [2, 4, 6]).predict([[5]]).round(3).tolist())
"""
    result = Sandbox(language="python-data").run(code=code)

    assert (b"", b"[10.0]\n") == (result.stderr, result.stdout)


def test_command_line_is_pythons(tmp_path: Path) -> None:
    """Arguments, variables, input, exit codes, tracebacks and modules that were not imported before."""
    policy = Policy(env={"NAME": "value"}, dirs=[Dir(tmp_path, at="/data", mode="rw")])
    sandbox = Sandbox(language="python-data", policy=policy)
    code = "import sys, os, sympy; print(sys.argv, os.environ['NAME'], input(), sympy.__name__); sys.exit(3)"
    result = sandbox.run(["-c", code, "x"], input=b"in\n")
    assert (b"['-c', 'x'] value in sympy\n", 3) == (result.stdout, result.exit_code), result

    raised = sandbox.run(code="def f():\n    1 / 0\nf()")
    assert 1 == raised.exit_code
    assert b"ZeroDivisionError" in raised.stderr
    assert b"_ringfence" not in raised.stderr
    assert b"<ringfence>" not in raised.stderr
    written = sandbox.run(code="import pandas as pd; pd.DataFrame({'a': [1]}).to_csv('/data/a.csv', index=False)")
    assert 0 == written.exit_code, written.stderr
    assert "a\n1\n" == (tmp_path / "a.csv").read_text(encoding="utf-8")


def test_session_keeps_what_it_defines_and_gives_values() -> None:
    """As one of Python does: values, errors, exits, functions of the host."""
    with Session("python-data", functions={"double": lambda x: 2 * x}) as session:
        assert [1, 2.5, None, "x", b"y", 1 << 80, -(1 << 70), {"a": True}] == session.eval(
            "[1, 2.5, None, 'x', b'y', 1 << 80, -(1 << 70), {'a': True}]"
        ).value
        assert (
            "DataFrame" == session.eval("import pandas as pd\ndf = pd.DataFrame({'a': [1]})\ntype(df).__name__").value
        )
        assert 84 == session.eval("double(42)").value
        failed = session.eval("df.nothing")
        assert failed.error is not None
        assert "AttributeError" == failed.error.type
        assert "<cell" in failed.error.traceback
        assert "<ringfence>" not in failed.error.traceback
        assert 7 == session.eval("import sys\nsys.exit(7)").exit_code
        assert 1 == session.eval("len(df)").value


def test_turn_hears_of_its_deadline_and_the_session_goes_on() -> None:
    """As Python's: a `TimeoutError`."""
    with Session("python-data") as session:
        for source in ("while True: pass", "import time\ntime.sleep(60)"):
            turn = session.eval(source, turn=Limits(wall="500ms"))
            assert turn.error is not None
            assert "TimeoutError" == turn.error.type
        assert 2 == session.eval("1 + 1").value


def test_forks_go_on_and_see_nothing_of_each_other(warm: Snapshot) -> None:
    """Each has the table as it was."""
    forks = warm.fork_many(3)
    for number, fork in enumerate(forks):
        fork.eval(f"df['b'] = {number}")
    assert [0, 100, 200] == [fork.eval("int(df.b.sum())").value for fork in forks]
    assert 1 == warm.fork().eval("df.shape[1]").value


def test_random_numbers_differ_in_every_run_and_fork(warm: Snapshot) -> None:
    """Those of Python and both kinds of numpy's."""
    draw = "import random\n[random.random(), float(np.random.rand()), float(np.random.default_rng().random())]"
    drawn = [fork.eval(draw).value for fork in warm.fork_many(3)]
    assert 9 == len({number for each in drawn for number in each})
    code = "import random, numpy as np; print(random.random(), np.random.rand(), np.random.default_rng().random())"
    sandbox = Sandbox(language="python-data")
    assert 9 == len({number for _ in range(3) for number in sandbox.run(code=code).stdout.split()})


def test_nothing_is_reached_that_is_not_granted() -> None:
    """What it imports asks nothing of the host."""
    result = Sandbox(language="python-data").run(code="import scipy.special, sympy, json; print(1)")
    assert (b"1\n", ()) == (result.stdout, result.denials), result
    assert "RINGFENCE_CACHE" in os.environ
    secret = Sandbox(language="python-data").run(code="import os; print(dict(os.environ), os.listdir('/'))")
    assert b"{} []\n" == secret.stdout
