"""Policy, Dir, Limits."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

import ringfence
import ringfence.extism
from ringfence import Dir, Limits, Net, Policy, PolicyError, Secret, run

if TYPE_CHECKING:
    from collections.abc import Callable

FULL: dict[str, Any] = {
    "tmp": True,
    "env": {"A": "1"},
    "inherit_env": ["LANG"],
    "net": Net(tcp=["db.example.com:5432"], udp=["1.1.1.1:53"], http=["GET https://api.example.com/v1/*"]),
    "secrets": [Secret("API_KEY", env="PRODUCTION_KEY", origin="https://api.example.com")],
    "clock": "precise",
    "random": 42,
    "wasi": "0.2",
    "on_denied": "stop",
    "limits": Limits(wall="5s", cpu=2, fuel=1000, memory="64MiB", output=1024, open_files=8, compile="10s"),
}


def test_default_policy_grants_nothing() -> None:
    """No files, no variables, a coarse clock; and every limit that is on by default is on."""
    policy = Policy()

    assert ((), False, {}, ()) == (policy.dirs, policy.tmp, policy.env, policy.inherit_env)
    assert (Net(), ()) == (policy.net, policy.secrets)
    assert ("coarse", "real", "0.2", "continue") == (policy.clock, policy.random, policy.wasi, policy.on_denied)
    assert (30.0, None, None, 256 << 20) == tuple(
        getattr(policy.limits, name) for name in ("wall", "cpu", "fuel", "memory")
    )
    assert (16 << 20, 64 << 20, 64, 60.0) == tuple(
        getattr(policy.limits, name) for name in ("output", "host_bytes", "open_files", "compile")
    )


def test_policy_file_says_the_same(tmp_path: Path) -> None:
    """`to_toml` and `from_file` are each other's inverse, with every field set."""
    policy = Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")], **FULL)
    file = tmp_path / "policy.toml"
    file.write_text(policy.to_toml(), encoding="utf-8")

    back = Policy.from_file(file)

    assert (policy, hash(policy)) == (back, hash(back))


def test_relative_hosts_are_taken_from_the_policy_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy file means the same from every working directory."""
    (tmp_path / "data").mkdir()
    file = tmp_path / "policy.toml"
    file.write_text('[[dirs]]\nhost = "data"\n', encoding="utf-8")
    monkeypatch.chdir("/")

    [grant] = Policy.from_file(file).dirs

    assert Dir(tmp_path / "data", at="/data") == grant


def test_relative_hosts_in_python_are_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Dir("data")` is the `data` of here and now, seen at `/data`."""
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)

    assert (Dir(tmp_path / "data", at="/data"),) == Policy(dirs=[Dir("data")]).dirs


def test_replace_changes_only_what_it_names(tmp_path: Path) -> None:
    """Everything else stays, directories and limits included."""
    policy = Policy(dirs=[Dir(tmp_path, at="/data")], **FULL)

    changed = policy.replace(clock="coarse", limits=policy.limits.replace(wall=1))

    assert Policy(dirs=[Dir(tmp_path, at="/data")], **{**FULL, "clock": "coarse", "limits": changed.limits}) == changed
    assert (1.0, 2.0, 64 << 20) == (changed.limits.wall, changed.limits.cpu, changed.limits.memory)


def test_policy_survives_pickling(tmp_path: Path) -> None:
    """A worker process gets the same policy, with its directories opened again."""
    policy = Policy(dirs=[Dir(tmp_path, at="/data")], **FULL)

    assert policy == pickle.loads(pickle.dumps(policy))


def test_policy_is_frozen() -> None:
    """A policy that is checked stays what it is."""
    with pytest.raises(AttributeError, match=r"policy\.replace\(tmp=…\)"):
        Policy().tmp = True  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del Policy()._native


def test_changing_what_was_read_changes_no_policy() -> None:
    """What a property gives is the reader's own."""
    policy = Policy(env={"A": "1"})
    policy.env["B"] = "2"

    assert {"A": "1"} == policy.env


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"dirs": ["data"]}, r"'data' is not a grant: .*\nhint: write `Dir\('data'\)`"),
        ({"inherit_env": "LANG"}, r"write `inherit_env=\['LANG'\]`"),
        ({"env": {"A": Path("x")}}, "a policy cannot hold PosixPath"),
        ({"env": {"A": 1}}, "env.A"),
        ({"env": {"A": "\udcff"}}, "UTF-8"),
        ({"limits": Limits(wall=1), "random": float("nan")}, "finite numbers"),
        ({"clock": "exact"}, "clock"),
        ({"random": -1}, "seed"),
        ({"dirs": [Dir("no such place")]}, "no such place"),
        ({"dirs": [Dir(".", mode="wr")]}, "mode"),  # type: ignore[arg-type]
        ({"dirs": [Dir(".", at="data")]}, "data"),
        ({"dirs": [Dir(".", at="/a"), Dir(".", at="/a")]}, "/a"),
        ({"dirs": [Dir(".", at="/a"), Dir(".", at="/b", mode="rw")]}, "rw"),
    ],
)
def test_wrong_policy_is_refused_with_its_reason(wrong: dict[str, Any], said: str) -> None:
    """A policy error names what is wrong."""
    with pytest.raises(PolicyError, match=said):
        Policy(**wrong)


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"wall": "5 parsecs"}, "length of time"),
        ({"wall": float("inf")}, "finite numbers"),
        ({"memory": "64MB"}, '"64MiB"'),
        ({"fuel": -1}, "fuel"),
    ],
)
def test_wrong_limit_is_refused_where_it_is_made(limit: dict[str, Any], said: str) -> None:
    """A limit that is not an amount of its unit is an error at once, not at the first run."""
    with pytest.raises(PolicyError, match=said):
        Limits(**limit)


def test_limits_are_numbers_once_made() -> None:
    """Text is for writing; what is read back is seconds and bytes, and what was not given stays open."""
    limits = Limits(wall="500ms", memory="1MiB")

    assert (0.5, 1 << 20, None) == (limits.wall, limits.memory, limits.output)
    assert Limits(wall=0.5, memory=1048576) == limits


def test_unknown_key_in_a_file_names_the_nearest(tmp_path: Path) -> None:
    """A typing error grants nothing silently: file, line and the right word are named."""
    file = tmp_path / "policy.toml"
    file.write_text("tmp = true\n[limits]\nmemroy = 1\n", encoding="utf-8")

    with pytest.raises(PolicyError) as refused:
        Policy.from_file(file)

    assert all(word in str(refused.value) for word in ("policy.toml", "3", "memroy", "memory"))


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"tmp = "])
def test_unreadable_policy_file_is_a_policy_error(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, not text or not TOML is refused as a policy."""
    file = tmp_path / "policy.toml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(PolicyError, match=r"policy\.toml"):
        Policy.from_file(file)


def test_schema_describes_a_policy() -> None:
    """The published schema takes a policy's document and refuses an unknown key."""
    schema = json.loads(Policy.schema())
    validate = jsonschema.Draft202012Validator(schema).validate

    validate({"tmp": True, "random": 42, "limits": {"wall": "5s"}})
    with pytest.raises(jsonschema.ValidationError):
        validate({"temp": True})


def test_directory_swapped_after_construction_changes_nothing(guests: Path, tmp_path: Path) -> None:
    """A grant is the directory that was there when the policy was made, whatever its path leads to later."""
    for name in ("good", "evil"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name, encoding="utf-8")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "good")
    policy = Policy(dirs=[Dir(link, at="/data")])
    link.unlink()
    link.symlink_to(tmp_path / "evil")

    assert "good" == run(guests / "print_file.wat", ["/data/file"], policy=policy).text


def test_policy_tells_what_it_grants_that_another_does_not(tmp_path: Path) -> None:
    """By what is open on the host, not by its name; and nothing where it is as narrow or narrower."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    wide = Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")], tmp=True)
    narrow = Policy(dirs=[Dir(tmp_path / "link", at="/link")])

    assert () == narrow.wider_than(wide) == wide.wider_than(wide)
    assert (f"`dirs`: `{tmp_path}` rw at `/data`", "`tmp`") == wide.wider_than(narrow)


def test_trees_in_memory_are_compared_by_what_is_in_them() -> None:
    """However they were made."""
    one, same, other = (Policy(dirs=[Dir.memory({"a": text}, at="/in")]) for text in ("1", b"1", "2"))

    assert () == one.wider_than(same)
    assert 1 == len(one.wider_than(other))


@pytest.mark.parametrize("wrong", [{}, 5, "policy.toml", {"limits": {}}])
def test_what_is_no_policy_is_refused_by_what_takes_one(wrong: Any) -> None:
    """With what is written instead, wherever a policy is given."""
    module = b'(module (memory (export "memory") 1))'
    snapshot = ringfence.Plugin(module).snapshot()
    takers: list[Callable[[], object]] = [
        lambda: ringfence.Plugin(module, policy=wrong),
        lambda: ringfence.PluginPool(1, module, policy=wrong),
        lambda: snapshot.fork(policy=wrong),
        lambda: ringfence.extism.Plugin(module, policy=wrong),
        lambda: ringfence.Sandbox(module, policy=wrong),
        lambda: ringfence.Session("lua", policy=wrong),
        lambda: ringfence.run(module, policy=wrong),
        lambda: ringfence.run(code="print(1)", language="lua", policy=wrong),
    ]
    for take in takers:
        with pytest.raises(TypeError, match=r"`policy` is a Policy, and cannot be .*\nhint: `policy=Policy\("):
            take()
