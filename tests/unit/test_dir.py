"""`Dir`: what a guest sees of files, of the host or in memory."""

from __future__ import annotations

import pickle
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Dir, Limits, Policy, PolicyError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SandboxFactory

FILES: dict[str, bytes | str] = {"a.txt": b"first", "sub/b.txt": "second", "empty/": b""}


def archive(path: Path, files: dict[str, bytes | str]) -> Path:
    """Pack files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return path


def test_every_run_begins_with_the_same_files(guests: Path) -> None:
    """What one run writes in memory is in its result, and not in the next run."""
    from ringfence import Sandbox

    policy = Policy(dirs=[Dir.memory(FILES, at="/in")])
    write = Sandbox(guests / "write_file.wat", policy=policy)
    show = Sandbox(guests / "print_file.wat", policy=policy)

    result = write.run(["/in/sub/b.txt"]).check()

    assert {"/in/sub/b.txt": b"written"} == {path: result.files[path] for path in result.files}
    assert ["modified"] == [change.act for change in result.changes]
    assert "second" == show.run(["/in/sub/b.txt"]).check().text
    assert ["modified"] == [change.act for change in write.run(["/in/sub/b.txt"]).check().changes]


def test_empty_tree_is_a_scratch_directory(sandbox: SandboxFactory, tmp_path: Path) -> None:
    """Without a source there is nothing in it; what is written is told, and saved where the caller likes."""
    result = sandbox("write_file.wat", "/scratch/new.txt", dirs=[Dir.memory(at="/scratch")]).check()
    result.changes.save(tmp_path / "out.zip")

    assert ["/scratch/new.txt"] == [change.path for change in result.changes]
    assert ["scratch/new.txt"] == zipfile.ZipFile(tmp_path / "out.zip").namelist()


def test_single_file_is_handed_in_by_its_bytes(sandbox: SandboxFactory) -> None:
    """It stands at the guest path itself, and is changed like any other."""
    grant = Dir.memory(file="old\n", at="/etc/app.conf")

    assert "old\n" == sandbox("print_file.wat", "/etc/app.conf", dirs=[grant]).check().text
    result = sandbox("write_file.wat", "/etc/app.conf", dirs=[grant]).check()
    assert b"written" == result.files["/etc/app.conf"]


def test_tree_that_is_only_read_is_not_written(sandbox: SandboxFactory) -> None:
    """`ro` holds in memory as it does on the host."""
    grant = Dir.memory({"a.txt": "first"}, at="/in", mode="ro")
    result = sandbox("write_file.wat", "/in/a.txt", dirs=[grant])

    assert 1 == result.exit_code
    assert [("write", "/in/a.txt")] == [(denial.kind, denial.what) for denial in result.denials]
    assert "first" == sandbox("print_file.wat", "/in/a.txt", dirs=[grant]).check().text
    assert [] == list(result.changes)


def test_what_is_in_memory_is_not_applied(sandbox: SandboxFactory, tmp_path: Path) -> None:
    """There is nowhere to; beside an overlay the changes of that are applied, and the others stay where they are."""
    dirs = [Dir.memory(at="/scratch"), Dir(tmp_path, at="/src", mode="overlay")]
    lost = sandbox("write_file.wat", "/scratch/new.txt", dirs=dirs).check()

    with pytest.raises(PolicyError, match=r"nothing of `/scratch` can be applied(?s:.*)result\.files"):
        lost.changes.apply()
    with pytest.raises(PolicyError, match="nothing of `/scratch`"):
        lost.changes.apply(only=["/scratch/new.txt"])
    assert 1 == sandbox("write_file.wat", "/src/new.txt", dirs=dirs).check().changes.apply()


def test_zip_is_granted_by_path_by_bytes_and_by_policy_file(
    sandbox: SandboxFactory, guests: Path, tmp_path: Path
) -> None:
    """The same files each time."""
    from ringfence import run

    packed = archive(tmp_path / "in.zip", {"sub/b.txt": "second"})
    for source in (packed, str(packed), packed.read_bytes()):
        grant = Dir.memory(source, at="/in")
        assert "second" == sandbox("print_file.wat", "/in/sub/b.txt", dirs=[grant]).check().text
    (tmp_path / "policy.toml").write_text('[[dirs]]\nzip = "in.zip"\nat = "/in"\nmode = "memory"\n')
    policy = Policy.from_file(tmp_path / "policy.toml")

    assert (Dir.memory(packed, at="/in"),) == policy.dirs
    assert "second" == run(guests / "print_file.wat", ["/in/sub/b.txt"], policy=policy).check().text
    assert Policy(dirs=[Dir.memory(packed, at="/in")]).to_toml() == policy.to_toml()


def test_policies_with_trees_compare_and_are_pickled(guests: Path) -> None:
    """A tree is equal to another of the same files, and goes along with its bytes."""
    from ringfence import run

    policy = Policy(dirs=[Dir.memory(FILES, at="/in"), Dir.memory(file=b"x", at="/file")])
    again = pickle.loads(pickle.dumps(policy))

    assert policy == again == policy.replace(tmp=True).replace(tmp=False)
    assert hash(policy) == hash(again)
    assert policy != Policy(dirs=[Dir.memory({**FILES, "a.txt": b"other"}, at="/in"), *policy.dirs[1:]])
    assert "second" == run(guests / "print_file.wat", ["/in/sub/b.txt"], policy=again).check().text
    with pytest.raises(PolicyError, match="cannot be written down"):
        policy.to_toml()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"source": {"../x": b""}}, r"`\.\./x` cannot be in a tree"),
        ({"source": {"/etc/passwd": b""}}, "absolute"),
        ({"source": {"a": b"", "a/b": b""}}, "is a file"),
        ({"source": {"a": 1}}, "not what a file holds"),
        ({"source": {1: b""}}, "no path"),
        ({"source": {}, "file": b""}, "a tree and a file"),
        ({"source": b"no zip"}, "is broken(?s:.*)Dir.memory"),
        ({"at": "scratch"}, "not a guest path"),
        ({"at": "/", "file": b""}, "cannot be the root"),
        ({"mode": "rw"}, "mode for the host"),
        ({"source": "missing.zip"}, "cannot be read: No such file"),
    ],
)
def test_what_cannot_be_granted_is_refused_with_its_reason(wrong: dict[str, Any], said: str) -> None:
    """Typed errors, when the grant or its policy is made."""
    with pytest.raises(PolicyError, match=said):
        Policy(dirs=[Dir.memory(wrong.pop("source", None), **{"at": "/in", **wrong})])


def test_repr_names_what_there_is() -> None:
    """A grant of the host is shown without what is in memory."""
    assert "Dir(host='data', at=None, mode='ro')" == repr(Dir("data"))
    assert "Dir(host=None, at='/in', mode='memory', zip='in.zip')" == repr(Dir.memory("in.zip", at="/in"))
    assert repr(Dir.memory({"a": b"x"}, at="/in")).endswith("tree=<Tree: 1 names, 1 bytes>)")


def test_memory_over_a_host_path_is_refused() -> None:
    """`overlay` is what was meant."""
    with pytest.raises(PolicyError, match=r"over a path of the host(?s:.*)overlay"):
        Policy(dirs=[Dir("data", mode="memory")])


def test_tree_has_to_fit_the_limits_and_counts_no_further(guests: Path) -> None:
    """What is handed in is bounded by `disk` and `files`; the run's own totals count what it adds."""
    from ringfence import run

    files = {"a": b"12345", "b": b"12345"}
    for limits, said in [(Limits(disk=9), "has 10 bytes"), (Limits(files=1), "has 2 names")]:
        with pytest.raises(PolicyError, match=said):
            Policy(dirs=[Dir.memory(files, at="/in")], limits=limits)
    policy = Policy(dirs=[Dir.memory(files, at="/in")], limits=Limits(disk=10, files=2))
    assert run(guests / "write_file.wat", ["/in/c"], policy=policy).ok


def test_deep_copies_of_bytes_are_what_is_granted() -> None:
    """What the caller changes afterwards changes no policy."""
    data = bytearray(b"first")
    grant = Dir.memory({"a": data}, at="/in")  # type: ignore[dict-item]
    data[:] = b"other"

    assert grant == Dir.memory({"a": b"first"}, at="/in")
