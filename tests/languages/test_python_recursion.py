"""However deep Python goes, it ends in an exception; where native CPython crashes, in a trap that has a type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Limits, Policy, Sandbox, Session

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEP = 100_000
LISTS = f"a = b = []\nfor _ in range({DEEP}): a, b = [a], [b]\n"
TUPLES = f"a = b = ()\nfor _ in range({DEEP}): a, b = (a,), (b,)\n"
DICTS = f"a = b = {{}}\nfor _ in range({DEEP}): a, b = {{1: a}}, {{1: b}}\n"
ELEMENTS = f"""\
import xml.etree.ElementTree as E
a = r = E.Element('a')
for _ in range({DEEP}): a = E.SubElement(a, 'a')
"""
ASKS_ITSELF = "class A:\n    def {name}(self, *rest): return {expression}\n"
# What natively ends in an exception, each by a way of its own through the interpreter.
GUARDED = [
    *(f"{nested}{act}" for nested in (LISTS, TUPLES, DICTS) for act in ("a == b", "repr(a)")),
    f"{TUPLES}a < b",
    f"{TUPLES}isinstance('', a)",
    f"{TUPLES}'%s' % (a,)",
    f"import json\n{LISTS}json.dumps(a)",
    f"import pickle\n{TUPLES}pickle.dumps(a)",
    f"import marshal\n{LISTS}marshal.dumps(a)",
    "import copy\na = []\nfor _ in range(5_000): a = [a]\ncopy.deepcopy(a)",
    f"import json\njson.loads('[' * {DEEP})",
    f"import tomllib\ntomllib.loads('a=' + '[' * {DEEP})",
    "import ast\nast.literal_eval('(' * 5000 + ')' * 5000)",
    "import ast\nast.literal_eval('-' * 50_000 + '1')",
    f"compile('a' + '.b' * {DEEP}, 'x', 'eval')",
    f"compile('not ' * {DEEP} + 'a', 'x', 'eval')",
    f"compile('a if a else ' * {DEEP} + 'a', 'x', 'eval')",
    f"compile('lambda:' * {DEEP} + 'a', 'x', 'eval')",
    "compile('f\"' + '{f\"' * 5000, 'x', 'eval')",
    f"import re\nre.compile('(' * {DEEP // 2} + ')' * {DEEP // 2})",
    f"import sqlite3\nsqlite3.connect(':memory:').execute('select 1' + '+1' * {DEEP})",
    f"import sqlite3\nsqlite3.connect(':memory:').execute('select ' + 'not ' * {DEEP} + '1')",
    f"{ELEMENTS}E.tostring(r)",
    *(
        ASKS_ITSELF.format(name=name, expression=expression) + expression.replace("self", "A()")
        for name, expression in {
            "__hash__": "hash(self)",
            "__str__": "str(self)",
            "__iter__": "iter(self)",
            "__len__": "bool(self)",
            "__getitem__": "self[0]",
            "__add__": "self + 1",
            "__eq__": "self == 1",
            "__call__": "self()",
        }.items()
    ),
    "def f(x): return sorted([x, x], key=f)\nf(1)",
    "def f(x): return list(map(f, [x]))\nf(1)",
    "s = 'exec(s)'\nexec(s)",
    f"e = ValueError()\nfor _ in range({DEEP}): e = ExceptionGroup('x', [e])\ne.split(TypeError)",
    # Natively a crash, and guarded in our build.
    f"{TUPLES}hash(a)",
    f"{TUPLES}{{a}}",
    f"t = int\nfor _ in range({DEEP}): t = list[t]\nhash(t)",
]
# What crashes a native CPython of this version too.
CRASHES = [
    f"a = iter([])\nfor _ in range({DEEP * 2}): a = map(int, a)\nnext(a, None)",
    f"a = iter([])\nfor _ in range({DEEP * 2}): a = zip(a)\nnext(a, None)",
    f"import types\na = {{}}\nfor _ in range({DEEP * 2}): a = types.MappingProxyType(a)\nlen(a)",
    f"def g(x): yield x\na = None\nfor _ in range({DEEP * 2}):\n    a = g(a); next(a)\ndel a",
]

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("compiled")]
POLICY = Policy(limits=Limits(wall="120s", memory="512MiB"))
TURN = Limits(wall="20s")


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """Open one for all probes."""
    with Session("python", policy=POLICY, turn=TURN) as session:
        yield session


@pytest.mark.parametrize("code", GUARDED)
def test_recursion_without_end_is_an_exception(session: Session, code: str) -> None:
    """A program can catch it, and go on."""
    turn = session.eval(
        f"try:\n    exec({code!r}, {{}})\nexcept Exception as error:\n    told = type(error).__name__\n"
        "else:\n    told = 'nothing'\ntold"
    )

    assert ("returned", False) == (turn.outcome, turn.poisoned), turn.error
    assert turn.value in {"RecursionError", "MemoryError", "ValueError", "SyntaxError", "OperationalError"}


@pytest.mark.parametrize("code", CRASHES)
def test_recursion_that_crashes_native_python_is_a_trap(code: str) -> None:
    """The run is over with a type, and the next one is clean."""
    sandbox = Sandbox(language="python", policy=POLICY)

    assert ("trapped", "stack overflow") == ((result := sandbox.run(code=code)).outcome, result.trap)
    assert "2\n" == sandbox.run(code="print(1 + 1)").text
