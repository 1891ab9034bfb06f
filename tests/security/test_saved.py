"""Saved snapshots: files that were changed, forged, swapped or cut, and processes that die while they write."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ringfence import (
    Dir,
    HostError,
    Net,
    Policy,
    PolicyError,
    Secret,
    SessionError,
    Snapshot,
    SnapshotError,
    SnapshotForeign,
)
from security import isolated, killed
from security.isolated import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import ringfence

pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")
pytestmark = pytest.mark.usefixtures("isolation", "compiled")

HEAD, TAG = 36, 32
KEY = b"k" * 32


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the key of each test apart."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def session() -> Iterator[ringfence.Session]:
    """Open a session that has defined something."""
    with Session(language="python") as session:
        session.eval("x = [1]")
        yield session


@pytest.fixture
def file(session: ringfence.Session, tmp_path: Path) -> Path:
    """Save it."""
    session.snapshot().save(tmp_path / "one.snapshot")
    return tmp_path / "one.snapshot"


def test_bits_that_were_flipped_are_seen_wherever_they_are(file: Path) -> None:
    """In the head, in what it tells of itself, in the pages and in the tag."""
    draw, whole = random.Random(1), file.read_bytes()  # noqa: S311
    text = int.from_bytes(whole[24:28], "little")
    regions = [(0, HEAD), (HEAD, HEAD + text), (HEAD + text, len(whole) - TAG), (len(whole) - TAG, len(whole))]
    for start, end in regions:
        for _ in range(25):
            changed = bytearray(whole)
            changed[draw.randrange(start, end)] ^= 1 << draw.randrange(8)
            file.write_bytes(changed)
            with pytest.raises(SnapshotError):
                Snapshot.load(file)
    file.write_bytes(whole)
    assert [1] == Snapshot.load(file).fork().eval("x").value


def test_file_of_another_length_is_refused(file: Path) -> None:
    """Nothing, a part of its head, of its text, of its pages, of its tag; and more than there was."""
    whole = file.read_bytes()
    text = int.from_bytes(whole[24:28], "little")
    for length in (
        0,
        1,
        8,
        HEAD - 1,
        HEAD,
        HEAD + text // 2,
        HEAD + text,
        len(whole) // 2,
        len(whole) - TAG,
        len(whole) - 1,
    ):
        file.write_bytes(whole[:length])
        with pytest.raises(SnapshotError):
            Snapshot.load(file)
    for more in (b"\0", whole):
        file.write_bytes(whole + more)
        with pytest.raises(SnapshotError, match="longer than it says"):
            Snapshot.load(file)


def test_huge_file_of_holes_takes_no_memory(file: Path) -> None:
    """It is refused by its length before anything is read."""
    os.truncate(file, 1 << 40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(HostError, match="longer than any saved snapshot"):
        Snapshot.load(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (64 << 10)


def test_lengths_that_lie_make_no_room(file: Path) -> None:
    """A head may say what it likes; the file is as long as it is."""
    whole = file.read_bytes()
    for start, end in ((24, 28), (28, 36)):
        file.write_bytes(whole[:start] + b"\xff" * (end - start) + whole[end:])
        with pytest.raises(SnapshotError, match="cannot be loaded"):
            Snapshot.load(file)


def test_file_that_gets_shorter_and_longer_while_it_is_loaded_is_refused_or_whole(file: Path, tmp_path: Path) -> None:
    """Never a signal: what was read is in memory of our own, and nothing of the file is mapped."""
    whole = file.read_bytes()
    program = (
        "import os, sys\n"
        "while True:\n"
        "    os.truncate(sys.argv[1], 5000)\n"
        "    with open(sys.argv[1], 'r+b') as file: file.write(open(sys.argv[2], 'rb').read())\n"
    )
    (tmp_path / "whole").write_bytes(whole)
    worker = subprocess.Popen([sys.executable, "-c", program, str(file), str(tmp_path / "whole")])
    try:
        for _ in range(30):
            with contextlib.suppress(SnapshotError):
                assert [1] == Snapshot.load(file).fork().eval("x").value
    finally:
        worker.kill()
        worker.wait()


def test_file_of_another_installation_is_foreign(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another user's, another machine's, or from before the key was lost."""
    whole = file.read_bytes()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    with pytest.raises(SnapshotForeign, match="key of an installation"):
        Snapshot.load(file)
    # Saying that it is of this key makes it no better.
    with Session(language="python") as session:
        session.snapshot().save(tmp_path / "mine")
    file.write_bytes((tmp_path / "mine").read_bytes()[:24] + whole[24:])
    with pytest.raises(SnapshotError, match="its bytes were changed"):
        Snapshot.load(file)


def test_parts_of_two_files_of_one_key_are_no_file(session: ringfence.Session, tmp_path: Path) -> None:
    """One's grants with the other's memory, or its pages in part."""
    session.snapshot().save(tmp_path / "one")
    (tmp_path / "data").mkdir()
    with Session(language="python", policy=Policy(dirs=[Dir(tmp_path / "data")])) as wide:
        wide.eval("x = [1]")
        wide.snapshot().save(tmp_path / "two")
    one, two = (tmp_path / "one").read_bytes(), (tmp_path / "two").read_bytes()
    texts = [HEAD + int.from_bytes(whole[24:28], "little") for whole in (one, two)]
    for mixed in (two[: texts[1]] + one[texts[0] :], one[:-TAG] + two[-TAG:], one[:9000] + two[9000:]):
        (tmp_path / "mixed").write_bytes(mixed)
        with pytest.raises(SnapshotError):
            Snapshot.load(tmp_path / "mixed")


def test_key_that_others_could_read_is_made_anew(file: Path, state: Path) -> None:
    """What it has made is foreign then; a folder that others may write to is refused."""
    key = state / "ringfence" / "key"
    key.chmod(0o644)
    with pytest.raises(SnapshotForeign):
        Snapshot.load(file)
    assert 0o600 == key.stat().st_mode & 0o777
    key.parent.chmod(0o777)
    with pytest.raises(HostError, match="not safe to use"):
        Snapshot.load(file)


def test_guest_is_not_granted_keys_and_saved_sessions(state: Path, tmp_path: Path, session: ringfence.Session) -> None:
    """Neither by a directory above them, nor before they are made."""
    for _ in range(2):
        for granted in (tmp_path, state, state / "ringfence"):
            if granted.exists():
                with pytest.raises(PolicyError, match="saved sessions lie in it"):
                    Policy(dirs=[Dir(granted)])
        session.snapshot().save(tmp_path / "one")


def test_secret_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is; the value is read again where it is loaded, for the placeholder that the guest holds."""
    monkeypatch.setenv("SAVED_SECRET", "sk-live-0123456789abcdef")
    net = Net(http=["GET https://api.example.com"])
    policy = Policy(net=net, secrets=[Secret("API_KEY", env="SAVED_SECRET", origin="https://api.example.com")])
    with Session(language="python", policy=policy) as session:
        held = session.eval("import os; os.environ['API_KEY']").value
        session.snapshot().save(tmp_path / "one", key=KEY)
    assert b"0123456789abcdef" not in (tmp_path / "one").read_bytes()

    with Snapshot.load(tmp_path / "one", key=KEY).fork() as fork:
        assert held == fork.eval("os.environ['API_KEY']").value
        assert b"0123456789abcdef" not in repr(fork.eval("dict(os.environ)").value).encode()
    monkeypatch.delenv("SAVED_SECRET")
    with pytest.raises(PolicyError, match="no value for the secret"):
        Snapshot.load(tmp_path / "one", key=KEY).fork()


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "device"])
def test_what_is_no_file_is_not_replaced(kind: str, session: ringfence.Session, tmp_path: Path) -> None:
    """A link would be followed or replaced, a pipe waited for, `/dev/null` become a file."""
    place = tmp_path / "there"
    if kind == "link":
        (tmp_path / "target").write_text("kept")
        place.symlink_to(tmp_path / "target")
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    else:
        place = Path("/dev/null")
    before = place.lstat()
    with pytest.raises(HostError, match="no regular file"):
        session.snapshot().save(place)
    assert (before.st_ino, before.st_mode) == (place.lstat().st_ino, place.lstat().st_mode)
    if kind == "link":
        assert "kept" == (tmp_path / "target").read_text()
    else:
        with pytest.raises(SnapshotError):
            Snapshot.load(place)


def test_disk_that_is_full_leaves_the_old_file(file: Path, session: ringfence.Session) -> None:
    """And nothing beside it."""
    whole = file.read_bytes()
    session.eval("import random; x = random.randbytes(8 << 20)")
    snapshot = session.snapshot()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(HostError, match="not saved"):
            snapshot.save(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert whole == file.read_bytes()
    assert {"one.snapshot", "state"} == {entry.name for entry in file.parent.iterdir()}


# Saves two states in turn, each with its own mark, until it is killed.
SAVE_FOR_EVER = """
import json, sys
from ringfence import Session
with Session("python", **json.loads(sys.argv[2])) as session:
    snapshots = []
    for mark in "ab":
        session.eval(f"import random; mark = {mark!r} * 3; held = random.randbytes(1 << 20)")
        snapshots.append(session.snapshot())
    print("begun", flush=True)
    while True:
        for snapshot in snapshots:
            snapshot.save(sys.argv[1])
"""


def test_process_that_is_killed_while_it_saves_leaves_a_whole_file(tmp_path: Path) -> None:
    """The old one or the new one, at whatever moment: a real `kill -9`."""
    file = tmp_path / "one.snapshot"
    options = json.dumps(isolated.options())
    killed.saving(SAVE_FOR_EVER, file, lambda: Snapshot.load(file).fork().eval("mark").value in {"aaa", "bbb"}, options)


def test_savers_at_one_time_leave_one_whole_file(session: ringfence.Session, tmp_path: Path) -> None:
    """Whoever is last has it; readers meanwhile find one or the other."""
    from concurrent.futures import ThreadPoolExecutor

    file = tmp_path / "one.snapshot"
    snapshots = []
    for mark in range(3):
        session.eval(f"mark = {mark}")
        snapshots.append(session.snapshot())
    snapshots[0].save(file)
    with ThreadPoolExecutor(6) as pool:
        saved = [pool.submit(snapshots[turn % 3].save, file) for turn in range(24)]
        read = [pool.submit(lambda: Snapshot.load(file).fork().eval("mark").value) for _ in range(12)]
        assert all(one.result() is None for one in saved)
        assert {one.result() for one in read} <= {0, 1, 2}
    assert [file] == [entry for entry in tmp_path.iterdir() if entry.name != "state"]


def test_child_of_a_fork_of_the_process_saves_nothing_of_its_parents(
    session: ringfence.Session, tmp_path: Path
) -> None:
    """It may load what its parent saved."""
    snapshot = session.snapshot()
    snapshot.save(tmp_path / "one")
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            try:
                snapshot.save(tmp_path / "two")
            except SessionError:
                code = 0 if [1] == Snapshot.load(tmp_path / "one").fork().eval("x").value else 2
        os._exit(code)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert not (tmp_path / "two").exists()


def test_saving_and_loading_leave_nothing_open(
    session: ringfence.Session, tmp_path: Path, nothing_stays: Callable[[], AbstractContextManager[None]]
) -> None:
    """Whether they succeed or not."""
    session.snapshot().save(tmp_path / "one")
    Snapshot.load(tmp_path / "one").fork().close()
    with nothing_stays():
        for _ in range(10):
            session.snapshot().save(tmp_path / "one")
            Snapshot.load(tmp_path / "one").fork().close()
            with pytest.raises(SnapshotError):
                Snapshot.load(tmp_path / "one", key=KEY)
            with pytest.raises(HostError):
                session.snapshot().save(tmp_path)
