"""Attacks by the types of a plugin and by its values, as its host keeps, shows, copies and pickles them."""

from __future__ import annotations

import inspect
import io
import pickle
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from ringfence._plugin_kinds import found
from security.isolated import Plugin

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("isolation")

# What a pickled value may look up: what finds its type and makes it again, wrappers of ours, and rows of numbers.
LOOKED_UP = {
    *(("ringfence._plugin_kinds", name) for name in ("found", "remade")),
    *(("ringfence._plugin_values", name) for name in ("Ok", "Err", "Some")),
    ("ringfence._value", "_revive"),
    ("array", "_array_reconstructor"),
    ("array", "array"),
}
# A record, a variant, an enum, flags and an error that are called like what Python calls to do harm.
NAMES = ("os", "system", "exec", "eval", "builtins", "reduce", "import", "class", "self", "init", "ringfence", "value")


def flagged(per_call: int) -> bytes:
    """Write a component whose `sets` gives so many sets of 32 flags, none of which it gave before."""
    names = " ".join(f'"f{at}"' for at in range(32))
    return f"""(component
      (import "a:b/c" (instance $t (type $raw (flags {names})) (export "many" (type $many (eq $raw)))))
      (alias export $t "many" (type $many))
      (core module $m
        (memory (export "memory") 8)
        (global $next (mut i32) (i32.const 5))
        (func (export "sets") (result i32) (local $at i32)
          (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const {per_call}))
          (loop $more
            (i32.store (i32.add (i32.const 64) (i32.mul (local.get $at) (i32.const 4))) (global.get $next))
            (global.set $next (i32.add (global.get $next) (i32.const 7)))
            (br_if $more (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const {per_call}))))
          (i32.const 0)))
      (core instance $i (instantiate $m))
      (func (export "sets") (result (list $many))
        (canon lift (core func $i "sets") (memory (core memory $i "memory")))))
    """.encode()


def test_sets_of_flags_that_a_guest_makes_up_are_not_kept() -> None:
    """Python's own flags keep each that there ever was: four milliards of them, from a guest that gives new ones."""
    with Plugin(flagged(10_000)) as plugin:
        for _ in range(5):
            sets = plugin.sets()
            assert 10_000 == len(set(sets))
        many = plugin.imports.c.Many

        assert len(many._value2member_map_) < 2000
        assert sets[-1] == many(sets[-1].value)


def hostile(kind: str) -> bytes:
    """Write a component whose `f` gives a record, of a type with these names, that is all zeros."""
    parts = {"record": '(field "{}" u8)', "variant": '(case "{}")', "enum": '"{}"', "flags": '"{}"'}[kind]
    inner = f"({kind} {' '.join(parts.format(name) for name in NAMES)})"
    return f"""(component
      (import "os:system/exec" (instance $t
        (type $r0 {inner}) (export "eval" (type $r1 (eq $r0)))
        (type $r2 (record (field "import" $r1) (field "class" (list s16)))) (export "import" (type $r3 (eq $r2)))))
      (alias export $t "import" (type $outer))
      (core module $m
        (memory (export "memory") 1) (func (export "f") (result i32) (i32.const 8)))
      (core instance $i (instantiate $m))
      (func (export "f") (result $outer)
        (canon lift (core func $i "f") (memory (core memory $i "memory")))))""".encode()


class Careful(pickle.Unpickler):
    """Looks up what pickled values may, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse the rest."""
        assert (module, name) in LOOKED_UP
        return super().find_class(module, name)


@pytest.mark.parametrize("kind", ["record", "variant", "enum", "flags"])
def test_pickled_value_of_a_guest_is_data_alone(kind: str, tmp_path: Path) -> None:
    """Whatever its types are called; in a process that never had the plugin too."""
    with Plugin(hostile(kind)) as plugin:
        value = plugin.f()
        pickled = pickle.dumps(value)

        assert value == Careful(io.BytesIO(pickled)).load()
    (tmp_path / "value").write_bytes(pickled)
    loading = "import pickle; print(pickle.load(open('value', 'rb')))"
    ended = subprocess.run([sys.executable, "-c", loading], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert f"{value!r}\n" == ended.stdout


@pytest.mark.parametrize(
    "text",
    [
        "x: int = __import__('os').mkdir('owned')",
        "x\n    import os; os.mkdir('owned')",
        "x=None):\n  __import__('os').mkdir('owned')\n def f(self, y",
        "__class__",
        "__init__",
        "__reduce_ex__",
        "__ringfence__",
        "'); __import__('os').mkdir('owned'); ('",
    ],
)
def test_type_that_somebody_forged_runs_nothing(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python makes classes of text: every name becomes one that is a name and nothing else."""
    monkeypatch.chdir(tmp_path)
    parts: dict[str, Any] = {"record": ((text, 0),), "variant": ((text, 0),), "enum": (text,), "flags": (text,)}
    for kind, part in parts.items():
        made = found((("", "", ("u8",)), (text, "Forged", (kind, part))))
        cls: Any = made.given[0] if isinstance(made.given, tuple) else made.given
        names = [*getattr(cls, "__match_args__", ()), *getattr(cls, "__members__", ())]
        names += [name for name, value in vars(cls).items() if isinstance(value, type)]

        assert ("Forged", True) == (cls.__name__, all(name.isidentifier() and name[:2] != "__" for name in names))
        with pytest.raises(ValueError, match="describes no type"):
            found((("", "", ("u8",)), ("", text, (kind, part))))
    error = found((("", "Forged", ("error", text, None)),))

    assert "Forged" == type(error.value("f", 1)).__name__
    assert not list(tmp_path.iterdir())


def nested(kinds: tuple[str, ...], depth: int, named: int) -> bytes:
    """Write a component that exports so many records, each with a type in it that is that deep."""
    kind = "u8"
    for level in range(depth):
        kind = f"({kinds[level % len(kinds)]} {kind})"
    fields = '(field "a" {0}) (field "b" {0})'
    types = "".join(
        f'(type $r{at} (record (field "n{at}" u8) {fields.format(kind)})) (export "r{at}" (type $e{at} (eq $r{at})))'
        for at in range(named)
    )
    return f"""(component
      (import "a:b/c" (instance $t {types}))
      (alias export $t "r0" (type $r))
      (core module $m (memory (export "memory") 1) (func (export "f") (result i32) (i32.const 0)))
      (core instance $i (instantiate $m))
      (func (export "f") (result (tuple $r $r))
        (canon lift (core func $i "f") (memory (core memory $i "memory")))))""".encode()


@pytest.mark.parametrize("kinds", [("option",), ("list",), ("tuple",), ("option", "tuple", "list", "result")])
def test_types_inside_one_another_are_told_at_a_price_that_is_linear(kinds: tuple[str, ...]) -> None:
    """When they are loaded, annotated, shown and pickled: nothing is done twice for each level."""
    began = time.monotonic()
    with Plugin(nested(kinds, 80, 20)) as plugin:
        record = plugin.imports.c.R0
        hints = get_type_hints(record)

        assert ["n0", "a", "b"] == list(hints)
        assert len(str(inspect.signature(plugin.f))) < 20_000
        assert len(pickle.dumps(record.__ringfence__[0])) < 20_000

    assert time.monotonic() - began < 20


def test_classes_of_a_plugin_that_is_gone_are_gone() -> None:
    """However many plugins there were, each with types of its own."""
    import gc

    from ringfence import _plugin_kinds

    with Plugin(nested(("list",), 3, 100)):
        pass
    gc.collect()
    before = len(_plugin_kinds._known)
    for _ in range(3):
        with Plugin(nested(("option", "list"), 3, 300).replace(b'"a:b/c"', b'"a:b/other"')) as plugin:
            assert len(_plugin_kinds._known) > before + 300
        del plugin
        gc.collect()

        assert len(_plugin_kinds._known) <= before
