"""Stubs of plugins: the names are those of run time, and type checkers know every type."""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.conftest import CASES
from plugins.resources import COUNTERS, KEEPER
from plugins.typed import Echo, kinds, plugin_of
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

CORE = b"""(module
  (memory (export "memory") 1) (global (export "ticks") (mut i64) (i64.const 0)) (table (export "table") 1 funcref)
  (func (export "add") (param i32 i64) (result i32) (local.get 0)))"""


def importing(*interfaces: str) -> bytes:
    """Make a component that imports one function of each, and one by itself."""
    text = "".join(
        f'(import "{name}" (instance (export "{"f" if "/i" in name else "get"}" (func (param "name" string)'
        " (result (option string))))))"
        for name in interfaces
    )
    return f'(component {text} (import "go" (func)))'.encode()


USE = """\
from __future__ import annotations
from typing import TYPE_CHECKING, assert_type, cast
import ringfence
if TYPE_CHECKING:
    from markdown import Content, Plugin
    from host import Given
    from array import array
    import clashing, core_module, counters, keeper_host, many_host, versions_host, zoo

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

class Waiting:
    async def get(self, name: str) -> str | None:
        return name

def get(name: str) -> str | None:
    return name

async def waits() -> None: ...

ways: list[Given] = [{"app:host/store": Waiting()}, {"store": Store()}, {"store": {"get": get}}]
others: list[keeper_host.Given] = [{"blobs": Nested()}, {"test:zoo/blobs": {"Blob": OneBlob, "swap": get}}]
mixed: versions_host.Given = {"a:b/store@1.0.0": Store(), "a:b/store@2.0.0": Waiting(), "c": {"get": get}, "go": waits}
wide: many_host.Given = {"i1": {"f": get}, "a:b/i2": {"f": get}, "a:b/i3@1.0.0": {"f": get}, "go": waits}
wrong: Content.ParseError = content.ParseError.TooLong(3)
def told(error: Content.ParseError) -> int:
    return error.value if isinstance(error, content.ParseError.TooLong) else 0
try:
    plugin.exports["app:markdown/content@1.0.0"].parse("")
except content.parse.Error as error:
    told(error.value)
    match error.value:
        case content.ParseError.Empty():
            length = 0
        case content.ParseError.TooLong(length):
            pass
    assert_type(length, int)
match content.parse.result(""):
    case ringfence.Ok(good):
        assert_type(good, Content.Page)
    case ringfence.Err(bad):
        told(bad)
assert_type(plugin.render("# hi"), str)
assert_type(plugin.render.result("# hi").value, str)
assert_type(plugin.content.parse("x"), Content.Page)
assert_type([name for name in plugin.exports], list[str])
def numbered(core: core_module.Plugin) -> int:
    core.memory.write(0, core.exports.memory.read(0, 8))
    core.exports.ticks.value = 5
    return core.add(1, 2) + core.exports.add(1, p1=2) + core.exports.memory.size
"""
WRONG = """\
from __future__ import annotations
from host import Given
from markdown import Plugin
import core_module

class Wrong:
    def get(self, name: str) -> int:
        return 1

def use(plugin: Plugin) -> None:
    plugin.exports.render(5)
    plugin.exports.content.parse("x").titel
    plugin.exports.content.Link("u")
    plugin.render(5)
    plugin.exports.content.ParseError.TooLong("x")

def numbered(core: core_module.Plugin) -> None:
    core.exports.add("x", None)
    core.exports.ticks.value = "x"
    core.exports.table()

lacking: Given = {}
numbers: Given = {"store": {"get": 5}}
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


CHECKERS = [["mypy", "--config-file", "mypy.ini", "."], ["pyright", "-p", "."]]


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
        ("core_module", CORE),
        ("versions", importing("a:b/store@1.0.0", "a:b/store@2.0.0", "c:d/c")),
        ("many", importing(*(f"a:b/i{at}@1.0.0" for at in range(1, 5)))),
    ):
        loaded = Program.from_bytes(program, name=name)
        (place / f"{name}.pyi").write_text(bindings(loaded))
        host = "host" if name == "markdown" else f"{name}_host"
        (place / f"{host}.pyi").write_text(bindings(loaded, host=True))
    (place / "use.py").write_text(USE)
    (place / "wrong.py").write_text(WRONG)
    (place / "wrong_host.py").write_text(WRONG_HOST)
    configure(place)
    return place


def configure(place: Path) -> None:
    """Have type checkers be strict."""
    (place / "mypy.ini").write_text("[mypy]\nstrict = True\n")
    (place / "pyrightconfig.json").write_text(
        '{"typeCheckingMode": "strict", "pythonVersion": "3.11", '
        f'"extraPaths": ["{ROOT / "python"}"], "reportMissingModuleSource": false}}'
    )


def wrong_lines(said: str, file: str) -> set[int]:
    """Give the lines of a file that a type checker complains of."""
    found = set()
    for line in said.splitlines():
        path, _, rest = line.strip().partition(":")
        if "error" in rest and path.endswith(file):
            found.add(int(rest.split(":")[0]))
    return found


@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_take_the_stubs_and_find_what_is_wrong(stubs: Path, checker: list[str]) -> None:
    """Strictly: of every type, of names that clash, of the host; and each wrong line is an error."""
    ended = subprocess.run([sys.executable, "-m", *checker], cwd=stubs, capture_output=True, text=True, check=False)
    said = ended.stdout

    assert {11, 12, 13, 14, 15, 18, 19, 20, 22, 23} == wrong_lines(said, "wrong.py"), said + ended.stderr
    assert {21, 22} == wrong_lines(said, "wrong_host.py"), said + ended.stderr
    for file in sorted(path.name for path in stubs.glob("*.py*") if not path.name.startswith("wrong")):
        assert not wrong_lines(said, file), said


@pytest.mark.parametrize("checker", CHECKERS)
@settings(max_examples=1)
@given(worlds=st.lists(st.lists(kinds(), min_size=1, max_size=8), min_size=12, max_size=12))
def test_type_checkers_take_the_stubs_of_any_world(checker: list[str], worlds: list[list[object]]) -> None:
    """Of types of any shape, inside one another, on either side."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        configure(place)
        for at, types in enumerate(worlds):
            program = Program.from_bytes(Echo(*types).wat)
            (place / f"world_{at}.pyi").write_text(bindings(program))
            (place / f"world_{at}_host.pyi").write_text(bindings(program, host=True))
        ended = subprocess.run([sys.executable, "-m", *checker], cwd=place, capture_output=True, text=True, check=False)

    assert 0 == ended.returncode, ended.stdout + ended.stderr


def body(classes: dict[str, ast.ClassDef], name: str) -> dict[str, str]:
    """Give the names in a class of a stub, each with the class that it is said to be of."""
    names: dict[str, str] = {}
    for statement in classes[name].body:
        match statement:
            # How members are found, by any name.
            case ast.FunctionDef(name="__getitem__" | "__iter__"):
                pass
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
from collections.abc import Callable as _Callable, Coroutine as _Coroutine, Mapping as _Mapping
from typing import Any as _Any, Protocol as _Protocol, TypedDict as _TypedDict

class Store(_Protocol):
    \"\"\"app:host/store\"\"\"
    def get(self, name: str, /) -> str | None | _Coroutine[_Any, _Any, str | None]: ...

_Given0 = _TypedDict("_Given0", {'app:host/store': Store | _Mapping[str, _Callable[..., _Any]]})
_Given1 = _TypedDict("_Given1", {'store': Store | _Mapping[str, _Callable[..., _Any]]})
Given = _Given0 | _Given1
"""
    assert expected == bindings(Program.from_file(RENDERER), host=True)


def test_host_is_told_the_classes_of_resources_that_it_makes() -> None:
    """What their objects have, and what the class has that is called for one."""
    expected = """\
# Written by `ringfence bindings --host`, of keeper; do not edit.
from collections.abc import Coroutine as _Coroutine, Mapping as _Mapping
from typing import Any as _Any, Protocol as _Protocol, TypedDict as _TypedDict

class BlobsBlob(_Protocol):
    def size(self) -> int | _Coroutine[_Any, _Any, int]: ...

class BlobsBlobClass(_Protocol):
    def __call__(self, size: int, /) -> BlobsBlob: ...
    def join(self, one: _Any, other: _Any, /) -> BlobsBlob | _Coroutine[_Any, _Any, BlobsBlob]: ...

class Blobs(_Protocol):
    \"\"\"test:zoo/blobs\"\"\"
    @property
    def Blob(self) -> BlobsBlobClass: ...
    def swap(self, blob: _Any, /) -> BlobsBlob | _Coroutine[_Any, _Any, BlobsBlob]: ...

_Given0 = _TypedDict("_Given0", {'test:zoo/blobs': Blobs | _Mapping[str, _Any]})
_Given1 = _TypedDict("_Given1", {'blobs': Blobs | _Mapping[str, _Any]})
Given = _Given0 | _Given1
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

    assert "def __call__(self, v: bytes, /) -> _Buffer | _Sequence[int] | _Coroutine[" in stub
    assert "def __call__(self, v: dict[str, list[str]], /) -> dict[str, _Sequence[str]] | _Coroutine[" in stub
