"""WAVE: values as text, as the crate that is its reference reads and writes them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plugins.typed import Echo
from ringfence import Plugin, Policy, Program
from ringfence._calls import TextCall
from ringfence._engine import core
from ringfence._plugin_classes import Classes
from ringfence._wave import NoText, Wave, matches, read_call
from ringfence._wave_words import WaveError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfence._wave import Params

# `wasm-wave`, whose package has its cases: tests/ui/*.waves, with what they are read as.
CRATE, VERSION = "wasm-wave", "0.254.2"
SHA256 = "2c668f87bb5e847d6d233bb5fe1e0feb177953e99eb36120183f9d6a404109d5"
SOME_FILES = 20
BEYOND = "f32(3.4028234664e39)"
ENUM = ("enum", ["red", "none"])

TYPES = """(component
  (import "ui:tests/ui@0.1.0" (instance
    (export "nullary" (func))
    (export "f32" (func (param "val" f32)))
    (export "f64" (func (param "val" f64)))
    (export "list-f32" (func (param "vals" (list f32))))
    (export "char" (func (param "val" char)))
    (export "list-chars" (func (param "vals" (list char))))
    (export "string" (func (param "val" string)))
    (export "list-strings" (func (param "vals" (list string))))
    (export "option-u8" (func (param "opt" (option u8))))
    (export "result-ok-u8" (func (param "res" (result u8))))
    (export "result-err-u8" (func (param "res" (result (error u8)))))
    (export "result-both-u8" (func (param "res" (result u8 (error u8)))))
    (export "result-no-payloads" (func (param "res" (result))))
    (type $b (record (field "required" u8) (field "optional" (option u8))))
    (export "basic" (type $basic (eq $b)))
    (export "basic-record" (func (param "rec" $basic)))
    (type $o (record (field "a" (option u8)) (field "b" (option u8))))
    (export "optional-fields" (type $optional (eq $o)))
    (export "optional-fields-record" (func (param "rec" $optional)))
    (type $k (record (field "true" bool) (field "false" bool) (field "some" (option u8)) (field "none" (option u8))
      (field "ok" (result)) (field "err" (result)) (field "inf" f32) (field "nan" f32)))
    (export "keyword-fields" (type $fields (eq $k)))
    (export "keyword-fields-record" (func (param "rec" $fields)))
    (type $h (enum "left" "right"))
    (export "hand" (type $hand (eq $h)))
    (export "hand-enum" (func (param "enm" $hand)))
    (type $c (enum "true" "false" "some" "none" "ok" "err" "inf" "nan"))
    (export "keyword-cases" (type $cases (eq $c)))
    (export "keyword-cases-enum" (func (param "enm" $cases)))
    (type $p (flags "read" "write"))
    (export "permissions" (type $permissions (eq $p)))
    (export "permission-flags" (func (param "flgs" $permissions))))))"""


@pytest.fixture(scope="module")
def cases() -> dict[str, tuple[str, str]]:
    """Give the published cases, by the names of their files: what is read, and what is made of it."""
    base = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo") / "registry" / "cache"
    archive = next(iter(base.glob(f"*/{CRATE}-{VERSION}.crate")), None) or _fetched(base)
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == SHA256
    with tarfile.open(archive) as crate:
        texts = {
            Path(member.name).name: file.read().decode()
            for member in crate.getmembers()
            if "/tests/ui/" in member.name and (file := crate.extractfile(member)) is not None
        }
    names = [name.removesuffix(".waves") for name in texts if name.endswith(".waves")]
    return {name: (texts[f"{name}.waves"], texts[f"{name}.out"]) for name in names}


def _fetched(base: Path) -> Path:
    """Have cargo fetch it, as a dependency of nothing."""
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        manifest = f'[package]\nname = "cases"\nedition = "2024"\n[dependencies]\n{CRATE} = "={VERSION}"\n'
        (Path(scratch) / "Cargo.toml").write_text(manifest)
        (Path(scratch) / "src").mkdir()
        (Path(scratch) / "src" / "lib.rs").write_text("")
        subprocess.run(["cargo", "fetch", "--quiet"], cwd=scratch, check=True)
    return next(iter(base.glob(f"*/{CRATE}-{VERSION}.crate")))


class Called:
    """The functions of the cases, and their types."""

    def __init__(self) -> None:
        source = core.PluginSource(Program.from_bytes(TYPES.encode())._native, Policy()._native)
        ((self.interface, functions, _),) = imports = source.imports()
        self.functions: dict[str, Params] = {name: params for name, params, _, _ in functions}
        self.wave = Wave(source.types(), Classes(source.types(), imports).given)

    def read(self, text: str) -> str:
        """Read a call and write it with the names of its parameters."""
        interface, function, version, rest = read_call(text)
        if interface and not matches(self.interface, interface, version):
            raise WaveError("there is no such interface")
        params = self.functions[function]
        values = self.wave.params(rest, params)
        written = [
            f"{name}: {self.wave.written(value, kind)}" for (name, kind), value in zip(params, values, strict=True)
        ]
        return f"{text[: len(text) - len(rest)].strip()}({', '.join(written)})"


@pytest.fixture(scope="module")
def called() -> Called:
    """The functions of the cases."""
    return Called()


def _split(text: str) -> list[str]:
    """Take the calls apart, without the comments before them."""
    calls = []
    for call in text.rstrip().rstrip(";").split(";\n"):
        lines = call.split("\n")
        while lines[0].startswith("//"):
            lines.pop(0)
        calls.append("\n".join(lines))
    return calls


def test_what_the_reference_accepts_is_read_and_written_the_same(
    cases: dict[str, tuple[str, str]], called: Called
) -> None:
    """Every published case that is to be accepted, but for one: ours takes no number for one without end."""
    assert SOME_FILES <= len(cases)
    for name, (text, expected) in cases.items():
        if name.startswith("accept"):
            lines = [line for line in expected.splitlines() if not line.startswith("//")]
            calls = _split(text)
            if name == "accept-floats":
                at = calls.index(BEYOND)
                assert "f32(val: inf)" == lines.pop(at)
                with pytest.raises(WaveError, match="too large"):
                    called.read(calls.pop(at))
            assert lines == [called.read(call) for call in calls], name


def test_what_the_reference_rejects_is_rejected(cases: dict[str, tuple[str, str]], called: Called) -> None:
    """Every published case that is not."""
    for name, (text, _) in cases.items():
        if name.startswith("reject"):
            for call in _split(text):
                with pytest.raises((WaveError, KeyError)):
                    print(name, call, called.read(call))  # noqa: T201 - says which of them was taken


def test_value_is_written_as_json_too(called: Called) -> None:
    """What has cases is an object or a name."""
    wave, functions = called.wave, called.functions

    def plain(function: str, text: str) -> object:
        return wave.plain(wave.value(text, functions[function][0][1]), functions[function][0][1])

    assert {"required": 1, "optional": None} == plain("basic-record", "{required: 1}")
    assert {"ok": 1} == plain("result-both-u8", "1")
    assert {"err": None} == plain("result-ok-u8", "err")
    assert ["write"] == plain("permission-flags", "{write}")
    assert [1, "nan"] == json.loads(json.dumps(plain("list-f32", "[1, nan]")))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("basic-record({required: 1, other: 2})", "`other` is not in its type"),
        ("basic-record({})", "expected"),
        ("string(5)", r"expected a string in quotes, not `5` \(at character 2\)"),
        ('string("a", "b")', "1 parameters are expected, and there are more"),
        ("string(", "expected a string in quotes, not its end"),
        ('string("a"', r"expected `,` or `\)`, not its end"),
        ('string("a") 5', "nothing more"),
        ("(5)", "expected the name of a function"),
    ],
)
def test_error_says_what_was_expected_and_where(called: Called, text: str, why: str) -> None:
    """In words, by the place in the parameters."""
    with pytest.raises(WaveError, match=why):
        called.read(text)


@pytest.fixture(scope="module")
def echoed() -> Callable[[int, str], tuple[str, object]]:
    """Give what a component gives back of text, by the number of its type: as text, and as JSON."""
    echo = Echo(
        ("fixed", "u8", 3), ("map", "string", "u32"), ("map", "u8", ("fixed", "string", 2)), ENUM, ("list", "f32")
    )
    given = {f"host-{at}": lambda value: value for at in range(len(echo.types))}
    plugin = Plugin(echo.wat, imports=given)

    def back(at: int, text: str) -> tuple[str, object]:
        returned = TextCall(plugin, f"flat-{at}({text})")()
        return str(returned.text), json.loads(json.dumps(returned.plain))

    return back


@pytest.mark.parametrize(
    ("at", "text", "plain"),
    [
        (0, "[1, 2, 3]", [1, 2, 3]),
        (1, '[("b", 1), ("a", 2)]', {"b": 1, "a": 2}),
        (1, "[]", {}),
        (2, '[(7, ["a", "b"])]', {"7": ["a", "b"]}),
        (3, "%none", "none"),
    ],
)
def test_lists_of_fixed_length_and_maps_are_written_as_lists(
    echoed: Callable[[int, str], tuple[str, object]], at: int, text: str, plain: object
) -> None:
    """A map is a list of pairs in text, in whatever order the guest gives them, and an object in JSON."""
    assert (text, plain) == echoed(at, text)


@pytest.mark.parametrize(
    ("at", "text", "why"),
    [
        (0, "[1, 2]", "expected a list of 3 values, not of 2"),
        (1, '[("a", 1), ("a", 2)]', "a key is there twice"),
        (1, '[("a")]', "expected a tuple of 2 values, not of 1"),
        (1, "{a: 1}", r"expected `\[`"),
        (3, "none", "expected one of red, %none, not `none`"),
        (4, "[1e300]", "1e300 is too large for f32"),
    ],
)
def test_value_that_is_none_of_its_type_is_refused(
    echoed: Callable[[int, str], tuple[str, object]], at: int, text: str, why: str
) -> None:
    """And it says how it is written."""
    with pytest.raises(WaveError, match=why):
        echoed(at, text)


@pytest.mark.parametrize(
    ("inside", "what"),
    [
        (("own", 0), "resources"),
        (("borrow", 0), "resources"),
        (("stream", 0), "streams"),
        (("future", None), "futures"),
    ],
)
def test_types_without_text_are_named_in_words(inside: tuple[object, ...], what: str) -> None:
    """Wherever they are in a type; those that are made of many parts are gone through once."""
    types: list[tuple[object, ...]] = [("u8",), inside, ("result", None, 1), ("record", [("a", 0), ("b", 2)])]
    types += [("tuple", [at, at]) for at in range(3, 100)]
    wave = Wave(types, [None] * len(types))

    wave.check(0)
    with pytest.raises(NoText, match=f"{what} have no text"):
        wave.check(len(types) - 1)
    with pytest.raises(NoText, match=f"{what} have no text"):
        wave.value("1", 1)
