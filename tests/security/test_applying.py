"""Changes of a run on their way to the host: somebody kills us, somebody else writes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import ringfence
from keyboard import interrupted
from ringfence import Dir, Policy
from security.applying import LENGTH, NAMES

APPLYING = Path(__file__).with_name("applying.py")
KILLS = int(os.environ.get("RINGFENCE_TEST_KILLS", "8"))
OLD = b"0" * LENGTH


def test_kill_in_the_middle_of_apply_loses_nothing(tmp_path: Path) -> None:
    """Killed at any moment, each file is an old one or a new one, whole; what was left beside it is cleared later."""
    for name in NAMES:
        (tmp_path / name).write_bytes(OLD)
    moments = random.Random(5)  # noqa: S311 - moments, not secrets
    for _ in range(KILLS):
        child = subprocess.Popen([sys.executable, str(APPLYING), str(tmp_path), "1000"], stdout=subprocess.PIPE)
        assert child.stdout is not None
        with child, child.stdout:
            for _ in range(moments.randrange(1, 4)):
                assert b"applying\n" == child.stdout.readline()
            time.sleep(moments.random() * 0.02)
            child.send_signal(signal.SIGKILL)
        for name in NAMES:
            data = (tmp_path / name).read_bytes()
            assert (LENGTH, 1) == (len(data), len(set(data))), name
    subprocess.run([sys.executable, str(APPLYING), str(tmp_path), "2"], check=True, stdout=subprocess.DEVNULL)

    assert [] == [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.fixture
def changed(tmp_path: Path, guests: Path) -> tuple[Path, ringfence.Result]:
    """Give a file of the host that a run changed in its private layer."""
    (tmp_path / "file").write_text("as the guest saw it")
    policy = Policy(dirs=[Dir(tmp_path, at="/src", mode="overlay")])
    result = ringfence.run(guests / "write_file.wat", ["/src/file"], policy=policy).check()
    return tmp_path / "file", result


def test_writer_during_apply_keeps_what_it_wrote(tmp_path: Path, guests: Path) -> None:
    """Who replaces a file while it is applied is not overwritten: it is a conflict, or they came later."""
    file = tmp_path / "file"
    policy = Policy(dirs=[Dir(tmp_path, at="/src", mode="overlay")])
    sandbox = ringfence.Sandbox(guests / "write_file.wat", policy=policy)
    for number in range(20):
        file.write_text("as the guest saw it")
        result = sandbox.run(["/src/file"]).check()
        theirs = f"theirs {number}"
        go = threading.Barrier(2)

        def write(theirs: str = theirs, go: threading.Barrier = go) -> None:
            beside = tmp_path / "theirs"
            beside.write_text(theirs)
            go.wait()
            beside.replace(file)

        writer = threading.Thread(target=write)
        writer.start()
        go.wait()
        with contextlib.suppress(ringfence.Conflict):
            result.changes.apply()
        writer.join()

        assert theirs == file.read_text()
        assert ["file"] == os.listdir(tmp_path)


@pytest.mark.parametrize("kind", ["fifo", "socket", "directory", "link"])
def test_what_took_the_place_of_a_file_stays(
    changed: tuple[Path, ringfence.Result], tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    """A pipe, socket, directory or link where a file was is a conflict, and is neither opened nor followed."""
    file, result = changed
    outside = tmp_path_factory.mktemp("outside") / "file"
    outside.write_text("outside")
    file.unlink()
    match kind:
        case "fifo":
            os.mkfifo(file)
        case "socket":
            os.mknod(file, 0o600 | 0o140000)
        case "directory":
            file.mkdir()
        case "link":
            file.symlink_to(outside)
    before = file.lstat()

    with pytest.raises(ringfence.Conflict):
        result.changes.apply()
    assert (before.st_ino, before.st_mode) == (file.lstat().st_ino, file.lstat().st_mode)
    assert "outside" == outside.read_text()


ANSWERS = """
import os, time
try:
    open("/w/file", "w").write("half")
    print("ready", flush=True)
    while True: time.sleep(0.01)
except KeyboardInterrupt:
    os._exit(0)
"""


@pytest.mark.skipif(importlib.util.find_spec("ringfence_language_python") is None, reason="no Python pack")
@pytest.mark.usefixtures("compiled")
@pytest.mark.timeout(300)  # the pack may have to be compiled
def test_guest_that_answers_ctrl_c_with_success_has_nothing_applied(tmp_path: Path) -> None:
    """What it says of itself does not count where the user wanted it to end."""
    (tmp_path / "file").write_text("before", encoding="utf-8")
    grant = f"{tmp_path}:/w:overlay"
    exit_code, _, told = interrupted("run", "--dir", grant, "--apply", "--language", "python", "-c", ANSWERS)

    assert 130 == exit_code
    assert "nothing was applied" in told
    assert "applied 1" not in told
    assert "before" == (tmp_path / "file").read_text(encoding="utf-8")
