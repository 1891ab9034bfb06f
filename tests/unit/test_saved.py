"""Snapshots in files, as their caller sees them."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ringfence
from ringfence import (
    Dir,
    Limits,
    Policy,
    PolicyError,
    Session,
    Snapshot,
    SnapshotError,
    SnapshotForeign,
    SnapshotMismatch,
    SnapshotNewer,
    SnapshotNotFound,
)
from ringfence._engine import core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfence._isolation import Isolation

pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")
pytestmark = pytest.mark.usefixtures("compiled")

KEY = bytes(range(32))
POLICY = Policy(limits=Limits(wall="20s"))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the key and sessions of each test apart."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def session() -> Iterator[Session]:
    """Open a session that has defined something."""
    with Session(language="python", policy=POLICY) as session:
        session.eval("x = [1]")
        yield session


def test_what_is_saved_is_what_is_loaded(session: Session, tmp_path: Path) -> None:
    """As it was at its moment, as often as one likes; the policy is the same."""
    file = tmp_path / "one.snapshot"
    snapshot = session.snapshot()
    session.eval("x.append(2)")
    snapshot.save(file)
    session.close()

    loaded = Snapshot.load(file)
    assert [[1]] * 3 == [fork.eval("x.append(3)\nx[:-1]").value for fork in loaded.fork_many(3)]
    assert loaded.fork().policy == POLICY
    assert "<Snapshot 'python'>" == repr(loaded)


def test_loaded_snapshot_is_saved_again(session: Session, tmp_path: Path) -> None:
    """And what its forks have done since, too; over the file that was there."""
    file = tmp_path / "one.snapshot"
    session.snapshot().save(file)
    for turn in range(3):
        with Snapshot.load(file).fork() as fork:
            fork.eval(f"x.append({turn})")
            fork.snapshot().save(file)

    assert [1, 0, 1, 2] == Snapshot.load(file).fork().eval("x").value
    assert [file] == [entry for entry in tmp_path.iterdir() if entry.name != "state"]


def test_file_is_its_owners_alone(session: Session, tmp_path: Path) -> None:
    """Whatever the umask, and whatever the file was before."""
    file = tmp_path / "one.snapshot"
    file.touch(mode=0o666)
    for mask in (0o000, 0o777):
        before = os.umask(mask)
        try:
            session.snapshot().save(file)
        finally:
            os.umask(before)
        assert 0o600 == stat.S_IMODE(file.stat().st_mode)


def test_key_is_made_once_for_its_user_alone(session: Session, tmp_path: Path, state: Path) -> None:
    """In the folder of this user's state, not in the cache, which people empty."""
    session.snapshot().save(tmp_path / "one")
    session.snapshot().save(tmp_path / "two")

    key = state / "ringfence" / "key"
    assert (0o600, 32) == (stat.S_IMODE(key.stat().st_mode), key.stat().st_size)
    assert 0o700 == stat.S_IMODE(key.parent.stat().st_mode)
    Snapshot.load(tmp_path / "one")


def test_file_moves_with_a_key_that_is_passed_in(session: Session, tmp_path: Path) -> None:
    """Which has to be the same, and no password."""
    file = tmp_path / "one.snapshot"
    snapshot = session.snapshot()
    snapshot.save(file, key=KEY)

    assert [1] == Snapshot.load(file, key=KEY).fork().eval("x").value
    for key in (None, bytes(32)):
        with pytest.raises(SnapshotForeign, match="passed in"):
            Snapshot.load(file, key=key)
    snapshot.save(file)
    with pytest.raises(SnapshotForeign, match="key of an installation"):
        Snapshot.load(file, key=KEY)
    with pytest.raises(PolicyError, match="a password is no key"):
        snapshot.save(file, key=b"secret")


def test_errors_say_what_is_there(session: Session, tmp_path: Path) -> None:
    """No file, another file, a part of one, a newer one."""
    file = tmp_path / "one.snapshot"
    session.snapshot().save(file)
    whole = file.read_bytes()
    with pytest.raises(SnapshotNotFound, match="no such file") as caught:
        Snapshot.load(tmp_path / "none")
    assert isinstance(caught.value, FileNotFoundError)
    for bytes_, kind, words in (
        (b"", SnapshotError, "no saved snapshot"),
        (b"\0asm" + whole, SnapshotError, "no saved snapshot"),
        (whole[:-1], SnapshotError, "it was cut"),
        (whole + b"\0", SnapshotError, "longer than it says"),
        (whole[:8] + b"\x07" + whole[9:], SnapshotNewer, "its format is 7"),
    ):
        file.write_bytes(bytes_)
        with pytest.raises(kind, match=words):
            Snapshot.load(file)
    for path in (tmp_path, "/dev/null"):
        with pytest.raises(SnapshotError, match="no regular file"):
            Snapshot.load(path)


def test_program_has_to_be_the_same(session: Session, tmp_path: Path) -> None:
    """A state of one interpreter is none of another; the message names the pack."""
    pytest.importorskip("ringfence_language_javascript", reason="the language pack is not installed")
    session.snapshot().save(tmp_path / "one")

    with pytest.raises(SnapshotMismatch, match=r"(?s)memory of Python 3\..* \(pack python.*languages install python"):
        Snapshot.load(tmp_path / "one", language="javascript")
    with Session(language="javascript") as other:
        assert [1] == Snapshot.load(tmp_path / "one", language=session.program).fork().eval("x").value
        other.eval("globalThis.y = 7; 0")
        other.snapshot().save(tmp_path / "two")
    assert 7 == Snapshot.load(tmp_path / "two").fork().eval("y").value


def test_functions_are_given_when_it_is_loaded(tmp_path: Path) -> None:
    """Under names that its session had; without them a call is an error of the guest."""
    file = tmp_path / "one.snapshot"
    with Session(language="python", functions={"ask": lambda: 1, "tell": print}) as session:
        session.eval("ask()")
        session.snapshot().save(file)
    asked: list[str] = []

    def judge(call: ringfence.Call) -> bool:
        asked.append(call.name)
        return True

    loaded = Snapshot.load(file, functions={"ask": lambda: 2}, before_call=judge)
    assert 2 == loaded.fork().eval("ask()").value
    assert 3 == loaded.fork(functions={"ask": lambda: 3}).eval("ask()").value
    assert ["ask"] == asked
    assert "raised" == Snapshot.load(file).fork().eval("ask()").outcome
    with pytest.raises(ValueError, match="knows no function `other`"):
        Snapshot.load(file, functions={"other": print})
    with pytest.raises(ValueError, match="nothing to call"):
        Snapshot.load(file, before_call=judge)
    loaded.save(file)
    assert 4 == Snapshot.load(file, functions={"ask": lambda: 4}).fork().eval("ask()").value


def test_policy_is_opened_again_narrower_or_wider_where_that_is_asked_for(tmp_path: Path) -> None:
    """Grants of this day, of which each is within one of those that it was saved under."""
    file, data, other = tmp_path / "one.snapshot", tmp_path / "data", tmp_path / "other"
    (data / "part").mkdir(parents=True)
    other.mkdir()
    (data / "link").symlink_to(other)
    (data / "part" / "a.txt").write_text("a")
    saved = Policy(dirs=[Dir(data, at="/data")], limits=Limits(wall="20s"))
    with Session(language="python", policy=saved) as session:
        session.snapshot().save(file)
    read = "open('/data/part/a.txt').read()"
    assert "a" == Snapshot.load(file).fork().eval(read).value

    narrow = Policy(dirs=[Dir(data / "part", at="/data/part")], limits=Limits(wall="10s"))
    assert "a" == Snapshot.load(file, policy=narrow).fork().eval(read).value
    assert "raised" == Snapshot.load(file, policy=POLICY).fork().eval(read).outcome
    for wider in (
        saved.replace(dirs=[Dir(data, at="/data", mode="rw")]),
        saved.replace(dirs=[Dir(data, at="/data"), Dir(other, at="/other")]),
        saved.replace(dirs=[Dir(data / "link", at="/data")]),
        saved.replace(limits=Limits(wall="21s")),
    ):
        with pytest.raises(PolicyError, match="wider"):
            Snapshot.load(file, policy=wider)
    assert "a" == Snapshot.load(file, policy=saved.replace(tmp=True), allow_wider=True).fork().eval(read).value
    with pytest.raises(ValueError, match="nothing that could be wider"):
        Snapshot.load(file, allow_wider=True)


def test_policy_that_cannot_be_had_here_is_told(tmp_path: Path) -> None:
    """And another one may be given instead."""
    file, data = tmp_path / "one.snapshot", tmp_path / "data"
    data.mkdir()
    with Session(language="python", policy=Policy(dirs=[Dir(data)])) as session:
        session.eval("x = 1")
        session.snapshot().save(file)
    data.rmdir()

    with pytest.raises(PolicyError, match=r"saved under cannot be had here: .*data"):
        Snapshot.load(file)
    assert 1 == Snapshot.load(file, policy=Policy()).fork().eval("x").value


def test_limits_of_each_turn_come_along(tmp_path: Path) -> None:
    """Those of its session, or others."""
    file = tmp_path / "one.snapshot"
    with Session(language="python", turn=Limits(output=10)) as session:
        session.snapshot().save(file)

    assert "output" == Snapshot.load(file).fork().eval("print('x' * 100)").limit
    assert "returned" == Snapshot.load(file, turn=Limits(output=1000)).fork().eval("print('x' * 100)").outcome


def test_memory_is_held_to_the_loading_policy(session: Session, tmp_path: Path) -> None:
    """Before any of it is unpacked."""
    session.eval("large = bytearray(40 << 20)")
    session.snapshot().save(tmp_path / "one")

    with pytest.raises(PolicyError, match="limit `memory`"):
        Snapshot.load(tmp_path / "one", policy=POLICY.replace(limits=Limits(wall="20s", memory="50MiB")))


@pytest.mark.parametrize(("saved", "loaded"), [("process", None), ("process", "wasm"), ("wasm", "process")])
def test_session_of_a_worker_is_saved_and_goes_on_where_it_was_or_where_one_says(
    saved: Isolation, loaded: Isolation | None, tmp_path: Path
) -> None:
    """Its file is like any other; behind the wall that it was behind, unless told otherwise."""
    with Session(language="python", isolation=saved, functions={"act": lambda: 7}) as session:
        session.eval("x = [act()]")
        snapshot = session.snapshot()
        session.eval("x.append(2)")
    snapshot.save(tmp_path / "one")
    core.close_workers()
    again = Snapshot.load(tmp_path / "one", functions={"act": lambda: 8}, isolation=loaded)
    with snapshot.fork() as beside, again.fork() as fork, fork.fork() as child:
        assert [7, 8] == fork.eval("x + [act()]").value
        assert [[7, 7], [7, 8]] == [each.eval("x + [act()]").value for each in (beside, child)]
        assert (0 if loaded == "wasm" else 2) + (saved != "wasm") <= len(workers())
        fork.snapshot().save(tmp_path / "two")
    assert [7] == Snapshot.load(tmp_path / "two").fork().eval("x").value


def workers() -> set[int]:
    """Find the processes of workers."""
    children = Path("/proc/self/task").glob("*/children")
    return {int(child) for each in children for child in each.read_text().split()}


def test_large_state_comes_back_whole(session: Session, tmp_path: Path) -> None:
    """One that is mapped and not copied: what was random, what was cleared, and what its program began with."""
    session.eval("import hashlib, random; held = bytearray(random.randbytes(24 << 20))")
    session.eval("held[5 << 20 : 9 << 20] = bytes(4 << 20)")
    ask = "hashlib.sha256(held).hexdigest(), len(hashlib.algorithms_guaranteed)"
    session.snapshot().save(tmp_path / "one")
    asked = session.eval(ask).value

    loaded = Snapshot.load(tmp_path / "one")
    for fork in loaded.fork_many(2):
        assert asked == fork.eval(ask).value
        fork.eval("held[:] = bytes(len(held))")
        fork.snapshot().save(tmp_path / "two")
    with Snapshot.load(tmp_path / "two").fork() as fork:
        assert [24 << 20, 0] == fork.eval("[len(held), sum(held[:100_000])]").value
    assert asked == loaded.fork().eval(ask).value


def test_loop_goes_on_while_it_is_saved_and_loaded(session: Session, tmp_path: Path) -> None:
    """The same by other names."""

    async def there_and_back() -> object:
        await session.snapshot().asave(tmp_path / "one", key=KEY)
        loaded = await Snapshot.aload(tmp_path / "one", key=KEY, policy=POLICY)
        return loaded.fork().eval("x").value

    assert [1] == asyncio.run(there_and_back())
