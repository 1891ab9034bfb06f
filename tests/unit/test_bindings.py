"""Stubs of plugins: the names are those of run time, and type checkers know every type."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plugins.conftest import CASES
from plugins.resources import COUNTERS, KEEPER
from plugins.typed import Echo, plugin_of
from ringfence import Plugin, Program
from ringfence._bindings import bindings
from ringfence._plugin_resources import Resource

ROOT = Path(__file__).parents[2]
RENDERER = ROOT / "examples" / "05-plugins" / "markdown.wat"
LIBRARY = """(core module $m
    (memory (export "memory") 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
    (func (export "f") (param i32 i32) (result i32) (i32.const 32)))
  (core instance $i (instantiate $m))"""
LIFTED = """(canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))"""
# Names of Python's, names that would be one, and names of classes around them.
CLASHING = f"""(component {LIBRARY}
  (type $content (record (field "list" string) (field "import" u32)))
  (func $parse (param "self" string) (result (list string)) {LIFTED})
  (component $c
    (import "content" (type $content0 (eq $content)))
    (import "f" (func $f (param "self" string) (result (list string))))
    (export $content1 "content" (type $content0))
    (export "list" (func $f)) (export "str" (func $f)) (export "get-it" (func $f)))
  (instance $content (instantiate $c (with "content" (type $content)) (with "f" (func $parse))))
  (export "a:b/content" (instance $content))
  (export "a:b/exports" (instance $content))
  (export "class" (func $parse)) (export "bytes" (func $parse)) (export "plugin" (func $parse)))"""

USE = """\
from __future__ import annotations
from typing import TYPE_CHECKING, cast
import ringfence
if TYPE_CHECKING:
    from markdown import Content, Plugin
    from host import Given
    from array import array
    import clashing, counters, keeper_host, zoo

class Store:
    def get(self, name: str) -> str | None:
        return name

class OneBlob:
    def __init__(self, size: int) -> None: ...
    def size(self) -> int:
        return 1
    @staticmethod
    def join(one: OneBlob, other: OneBlob) -> OneBlob:
        return one
    def drop(self) -> None: ...

class Blobs:
    @property
    def Blob(self) -> type[OneBlob]:
        return OneBlob
    def swap(self, blob: object) -> OneBlob:
        return OneBlob(1)

class Nested:
    class Blob:
        def __init__(self, size: int) -> None: ...
        def size(self) -> int:
            return 1
        @classmethod
        def join(cls, one: Nested.Blob, other: Nested.Blob) -> Nested.Blob:
            return one
    @staticmethod
    def swap(blob: Nested.Blob) -> Nested.Blob:
        return blob

blobs: list[keeper_host.Given] = [{"test:zoo/blobs": Blobs()}, {"test:zoo/blobs": Nested()}]
given: Given = {"app:host/store": Store()}
plugin = cast("Plugin", ringfence.Plugin("markdown.wasm", imports=given))
content = plugin.exports.content
text: str = plugin.exports.render(text="# hi")
page: Content.Page = content.parse(text)
urls: list[str] = [link.url for link in page.links]
made = content.Page("t", [content.Link(url="u", text="t")])
try:
    content.parse("")
except content.parse.Error as error:
    print(error.value)
other = cast("clashing.Plugin", plugin)
words: list[str] = other.exports.content.list("x") + other.exports.class_("x")
def count(api: counters.Counters) -> int:
    with api.Counter(start=5) as counter:
        return counter.add(by=2) + api.Counter.merge(counter, api.Counter(1)).add(0)
def numbers(values: zoo.Exports) -> array[float]:
    return values.memory_15([1.5], *[0] * 17)[0]
"""
WRONG = """\
from __future__ import annotations
from markdown import Plugin

class Wrong:
    def get(self, name: str) -> int:
        return 1

def use(plugin: Plugin) -> None:
    plugin.exports.render(5)
    plugin.exports.content.parse("x").titel
    plugin.exports.content.Link("u")
"""
WRONG_HOST = """\
from __future__ import annotations
from keeper_host import Given

class OneBlob:
    def __init__(self, size: int) -> None: ...
    def size(self) -> str:
        return ""
    @staticmethod
    def join(one: OneBlob, other: OneBlob) -> OneBlob:
        return one

class Wrong:
    def swap(self, blob: object) -> object:
        return blob

class Typed(Wrong):
    @property
    def Blob(self) -> type[OneBlob]:
        return OneBlob

lacking: Given = {"test:zoo/blobs": Wrong()}
typed: Given = {"test:zoo/blobs": Typed()}
"""


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the stubs of some plugins, and what uses them."""
    place = tmp_path_factory.mktemp("stubs")
    echo = Echo(*CASES)
    for name, program in (
        ("markdown", RENDERER.read_bytes()),
        ("clashing", CLASHING.encode()),
        ("zoo", echo.wat),
        ("counters", COUNTERS),
        ("keeper", KEEPER),
    ):
        loaded = Program.from_bytes(program, name=name)
        (place / f"{name}.pyi").write_text(bindings(loaded))
        host = "host" if name == "markdown" else f"{name}_host"
        (place / f"{host}.pyi").write_text(bindings(loaded, host=True))
    (place / "use.py").write_text(USE)
    (place / "wrong.py").write_text(WRONG)
    (place / "wrong_host.py").write_text(WRONG_HOST)
    (place / "mypy.ini").write_text("[mypy]\nstrict = True\n")
    (place / "pyrightconfig.json").write_text(
        '{"typeCheckingMode": "strict", "pythonVersion": "3.11", '
        f'"extraPaths": ["{ROOT / "python"}"], "reportMissingModuleSource": false}}'
    )
    return place


def wrong_lines(said: str, file: str) -> set[int]:
    """Give the lines of a file that a type checker complains of."""
    found = set()
    for line in said.splitlines():
        path, _, rest = line.strip().partition(":")
        if "error" in rest and path.endswith(file):
            found.add(int(rest.split(":")[0]))
    return found


@pytest.mark.parametrize("checker", [["mypy", "--config-file", "mypy.ini", "."], ["pyright", "-p", "."]])
def test_type_checkers_take_the_stubs_and_find_what_is_wrong(stubs: Path, checker: list[str]) -> None:
    """Strictly: of every type, of names that clash, of the host; and three wrong calls are three errors."""
    ended = subprocess.run([sys.executable, "-m", *checker], cwd=stubs, capture_output=True, text=True, check=False)
    said = ended.stdout

    assert {9, 10, 11} == wrong_lines(said, "wrong.py"), said + ended.stderr
    assert {21, 22} == wrong_lines(said, "wrong_host.py"), said + ended.stderr
    for file in sorted(path.name for path in stubs.glob("*.py*") if not path.name.startswith("wrong")):
        assert not wrong_lines(said, file), said


def body(classes: dict[str, ast.ClassDef], name: str) -> dict[str, str]:
    """Give the names in a class of a stub, each with the class that it is said to be of."""
    names: dict[str, str] = {}
    for statement in classes[name].body:
        match statement:
            case ast.FunctionDef() | ast.ClassDef():
                names[statement.name] = ""
            case ast.AnnAssign(target=ast.Name() as target):
                names[target.id] = ast.unparse(statement.annotation).removeprefix("_")
            case ast.Assign(targets=[ast.Name() as target]):
                names[target.id] = ""
    return names


@pytest.mark.parametrize("program", [RENDERER.read_bytes(), CLASHING.encode(), Echo(*CASES).wat, COUNTERS])
def test_names_in_the_stub_are_those_at_run_time(program: bytes) -> None:
    """Neither more nor fewer, in each interface, with the fields and members of their classes."""
    stub = ast.parse(bindings(Program.from_bytes(program)))
    classes = {statement.name: statement for statement in stub.body if isinstance(statement, ast.ClassDef)}
    with loaded(program) as plugin:
        for top, there in (("Exports", plugin.exports), ("Imports", plugin.imports)):
            names = body(classes, top)
            assert set(dir(there)) == set(names)
            for name, of in names.items():
                if of:
                    assert set(dir(getattr(there, name))) == set(body(classes, of))
        for outer in classes.values():
            for inner in outer.body:
                if isinstance(inner, ast.ClassDef):
                    made = found(plugin, outer.name, inner.name, classes)
                    if issubclass(made, Resource):
                        methods = {name for name in vars(made) if not name.startswith("_")}
                        assert methods == set(body({"it": inner}, "it")) - {"__init__", "drop", "__enter__", "__exit__"}
                        continue
                    named = set(body({"it": inner}, "it"))
                    fields = getattr(made, "__dataclass_fields__", getattr(made, "__members__", None))
                    assert named == set(fields if fields is not None else cases_of(made))


def cases_of(made: type) -> set[str]:
    """Give the cases of a variant."""
    return {name for name, value in vars(made).items() if isinstance(value, type)}


def found(plugin: Plugin, outer: str, name: str, classes: dict[str, ast.ClassDef]) -> Any:
    """Find a class of the stub in a plugin."""
    for top, there in (("Exports", plugin.exports), ("Imports", plugin.imports)):
        if outer == top:
            return getattr(there, name)
        for own, of in body(classes, top).items():
            if of == outer:
                return getattr(getattr(there, own), name)
    raise AssertionError(outer)


def loaded(program: bytes) -> Plugin:
    """Load one of them, with what it imports."""
    if program == RENDERER.read_bytes():
        return Plugin(program, imports={"app:host/store": {"get": lambda _: None}})
    return plugin_of(Echo(*CASES)) if program == Echo(*CASES).wat else Plugin(program)


def test_host_is_told_its_functions_and_no_types_that_it_does_not_see() -> None:
    """A Protocol class for each interface, and a mapping for `imports`."""
    expected = """\
# Written by `ringfence bindings --host`, of markdown.wat; do not edit.
from typing import Protocol as _Protocol, TypedDict as _TypedDict

class Store(_Protocol):
    \"\"\"app:host/store\"\"\"
    def get(self, name: str, /) -> str | None: ...

Given = _TypedDict("Given", {'app:host/store': Store})
"""
    assert expected == bindings(Program.from_file(RENDERER), host=True)


def test_host_is_told_the_classes_of_resources_that_it_makes() -> None:
    """What their objects have, and what the class has that is called for one."""
    expected = """\
# Written by `ringfence bindings --host`, of keeper; do not edit.
from typing import Any as _Any, Protocol as _Protocol, TypedDict as _TypedDict

class BlobsBlob(_Protocol):
    def size(self) -> int: ...

class BlobsBlobClass(_Protocol):
    def __call__(self, size: int, /) -> BlobsBlob: ...
    def join(self, one: _Any, other: _Any, /) -> BlobsBlob: ...

class Blobs(_Protocol):
    \"\"\"test:zoo/blobs\"\"\"
    @property
    def Blob(self) -> BlobsBlobClass: ...
    def swap(self, blob: _Any, /) -> BlobsBlob: ...

Given = _TypedDict("Given", {'test:zoo/blobs': Blobs})
"""
    assert expected == bindings(Program.from_bytes(KEEPER, name="keeper"), host=True)


def test_host_is_asked_for_nothing_where_an_interface_has_types_alone() -> None:
    """As it is when the plugin is loaded."""
    types = '(import "test:zoo/types" (instance (type $r (record (field "x" u8))) (export "r" (type (eq $r)))))'
    stub = bindings(Program.from_bytes(f'(component {types} (import "go" (func)))'.encode()), host=True)

    assert "Given = _TypedDict(\"Given\", {'go': Go})" in stub


def test_length_of_a_list_is_no_type() -> None:
    """However long it is."""
    stub = bindings(
        Program.from_bytes(Echo(("fixed", "u8", 5000), ("map", "string", ("fixed", "string", 2))).wat), host=True
    )

    assert "def __call__(self, v: bytes, /) -> _Buffer | _Sequence[int]: ..." in stub
    assert "def __call__(self, v: dict[str, list[str]], /) -> dict[str, _Sequence[str]]: ..." in stub
