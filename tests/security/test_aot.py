"""Attacks on the cache of compiled programs: what is in it that we did not write is somebody else's native code."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, LoadError, Policy, Program, Sandbox
from security.binary import name, section

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Command, Ended

COUNT = 40


@pytest.fixture
def hideout(tmp_path: Path) -> Path:
    """Give a cache of its own."""
    directory = tmp_path / "hideout"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def hello(ringfence: Command, hideout: Path) -> Callable[[], Ended]:
    """Run a program from that cache."""
    return lambda: ringfence("run", "guests/hello.wat", env={"RINGFENCE_CACHE": str(hideout)})


def entries(hideout: Path) -> list[Path]:
    """Give what the cache holds, the key aside."""
    return sorted(path for path in hideout.iterdir() if path.name != "key")


def code(hideout: Path) -> Path:
    """Give the file with the native code: the largest."""
    return max(entries(hideout), key=lambda path: path.stat().st_size)


def assert_hello(ended: Ended) -> None:
    """It said what it says, and nothing went wrong."""
    assert (0, "hello, world\n", "") == (ended.exit_code, ended.stdout, ended.stderr), str(ended)


def overwrite(path: Path, data: bytes) -> None:
    """Change a file behind the back of its times, as a disk fault or a thief would."""
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_entry_is_found_again_while_it_is_whole(hello: Callable[[], Ended], hideout: Path) -> None:
    """The attacks below are on a cache that is used: a second run maps what the first one left."""
    assert_hello(hello())
    before = {path.name: path.stat().st_mtime_ns for path in entries(hideout)}
    inode = code(hideout).stat().st_ino

    assert_hello(hello())

    assert inode == code(hideout).stat().st_ino
    assert before.keys() == {path.name for path in entries(hideout)}


@pytest.mark.parametrize("seed", range(COUNT))
def test_flipped_bit_is_never_mapped(hello: Callable[[], Ended], hideout: Path, seed: int) -> None:
    """One bit of the native code, anywhere: it is compiled again, and the right words come out."""
    hello()
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    entry = code(hideout)
    data = bytearray(entry.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    overwrite(entry, bytes(data))

    assert_hello(hello())


DAMAGES = {
    "emptied": lambda _: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "grown": lambda data: data + b"\x90" * 4096,
    "zeroed": lambda data: b"\0" * len(data),
    "an ELF of the attacker's": lambda data: b"\x7fELF\x02\x01\x01\0" + data[8:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_files_are_made_again(
    hello: Callable[[], Ended], hideout: Path, damage: Callable[[bytes], bytes]
) -> None:
    """Any file of the cache, damaged in any way, costs a compile and nothing else."""
    hello()
    for path in entries(hideout):
        overwrite(path, damage(path.read_bytes()))
        assert_hello(hello())


def test_foreign_entry_is_not_taken(
    ringfence: Command, hello: Callable[[], Ended], tmp_path: Path, hideout: Path
) -> None:
    """An entry of another installation, whole and sealed with its own key, is a stranger's."""
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    ringfence("run", "guests/trap_unreachable.wat", env={"RINGFENCE_CACHE": str(other)})
    hello()
    names = {path.suffix: path.name for path in entries(hideout)}
    for path in entries(other):
        shutil.copy(path, hideout / names.get(path.suffix, path.name))

    assert_hello(hello())


def test_entry_under_another_programs_name_is_not_taken(
    ringfence: Command, hello: Callable[[], Ended], hideout: Path
) -> None:
    """Two of our own entries exchanged: each seal is sound, but for the other program."""
    hello()
    hello_files = entries(hideout)
    ringfence("run", "guests/trap_unreachable.wat", env={"RINGFENCE_CACHE": str(hideout)})
    trap_files = [path for path in entries(hideout) if path not in hello_files]
    for mine, theirs in zip(hello_files, trap_files, strict=True):
        mine.write_bytes(theirs.read_bytes())

    assert_hello(hello())


def test_lost_or_forged_key_makes_every_entry_foreign(hello: Callable[[], Ended], hideout: Path) -> None:
    """Without its key an entry proves nothing."""
    hello()
    (hideout / "key").unlink()
    assert_hello(hello())
    overwrite(hideout / "key", b"\0" * 32)
    assert_hello(hello())
    overwrite(hideout / "key", b"short")
    assert_hello(hello())


def test_link_in_the_cache_is_not_followed(hello: Callable[[], Ended], hideout: Path, tmp_path: Path) -> None:
    """An entry that is a link to a file elsewhere is not an entry, and the file elsewhere is left alone."""
    hello()
    for path in entries(hideout):
        elsewhere = tmp_path / f"elsewhere-{path.name}"
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("elsewhere-*")}

    assert_hello(hello())

    assert before == {path.name: path.read_bytes() for path in tmp_path.glob("elsewhere-*")}


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_cache_that_others_may_write_is_refused(hello: Callable[[], Ended], hideout: Path, mode: int) -> None:
    """Who can write the cache can write native code into us: an error with its fix, not a fallback."""
    hideout.chmod(mode)

    ended = hello()

    assert 125 == ended.exit_code
    assert "others may write" in ended.stderr
    assert "chmod 700" in ended.stderr


def test_compiled_file_from_a_user_is_refused(hello: Callable[[], Ended], hideout: Path) -> None:
    """A `.cwasm` is native code: not even our own is taken as a program."""
    hello()

    with pytest.raises(LoadError, match=r"native code|compiled"):
        Program.from_file(code(hideout))
    with pytest.raises(LoadError, match=r"native code|compiled"):
        Program.from_bytes(code(hideout).read_bytes(), name="innocent.wasm")


def test_many_processes_share_a_cold_cache(hideout: Path, guests: Path) -> None:
    """Sixteen at once on an empty cache: each gets the right words, and one whole entry is left."""
    environment = {**os.environ, "RINGFENCE_CACHE": str(hideout)}
    command = [sys.executable, "-m", "ringfence", "run", str(guests / "hello.wat")]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(16)
    ]

    ended = {(*process.communicate(), process.returncode) for process in running}

    assert {(b"hello, world\n", b"", 0)} == ended
    assert not [path for path in entries(hideout) if path.name.startswith("tmp-")]


def test_processes_killed_while_compiling_leave_a_sound_cache(
    hello: Callable[[], Ended], hideout: Path, guests: Path
) -> None:
    """`kill -9` at any moment: what is left is whole, or is made again."""
    environment = {**os.environ, "RINGFENCE_CACHE": str(hideout)}
    command = [sys.executable, "-m", "ringfence", "run", str(guests / "hello.wat")]
    for n in range(12):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.01 * n)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if n % 4 == 3:
            for path in entries(hideout):
                path.unlink()

    assert_hello(hello())


def test_files_of_the_cache_are_private(hello: Callable[[], Ended], hideout: Path) -> None:
    """The key and the code are their owner's alone, whatever the umask."""
    old = os.umask(0)
    try:
        hello()
    finally:
        os.umask(old)

    assert {0o600} == {path.stat().st_mode & 0o777 for path in hideout.iterdir()}


def test_run_goes_on_where_no_cache_can_be(ringfence: Command, tmp_path: Path) -> None:
    """A cache that cannot be had is not needed: the program is compiled for this run."""
    (tmp_path / "file").touch()

    ended = ringfence("run", "guests/hello.wat", env={"RINGFENCE_CACHE": str(tmp_path / "file" / "cache")})

    assert (0, "hello, world\n") == (ended.exit_code, ended.stdout)


REWRITE = """
import os, sys
was = os.stat("/desk/app.wasm")
how, name = sys.argv[1:]
with open("/desk/" + name, "rb") as file:
    other = file.read()
if how == "rename":
    os.rename("/desk/" + name, "/desk/app.wasm")
else:
    with open("/desk/app.wasm", "r+b") as file:
        file.write(other)
os.utime("/desk/app.wasm", ns=(was.st_atime_ns, was.st_mtime_ns))
now = os.stat("/desk/app.wasm")
print(now.st_mtime_ns == was.st_mtime_ns, now.st_size == was.st_size)
"""


def test_guest_that_rewrites_a_large_program_is_seen(tmp_path: Path, hideout: Path, ringfence: Command) -> None:
    """It writes another program of that size over it, or renames one onto it, and sets the times back: it runs."""
    desk = tmp_path / "desk"
    desk.mkdir()
    for exit_code in range(3):
        (desk / f"{exit_code}.wasm").write_bytes(large(exit_code))
    shutil.copy(desk / "0.wasm", desk / "app.wasm")
    time.sleep(2.1)

    def run() -> int:
        return ringfence("run", desk / "app.wasm", env={"RINGFENCE_CACHE": str(hideout)}).exit_code

    assert (0, 0) == (run(), run())
    assert any(path.name.startswith("seen-") for path in entries(hideout))
    for how, exit_code in (("write", 1), ("rename", 2)):
        policy = Policy(dirs=[Dir(desk, at="/desk", mode="rw")])
        told = Sandbox(language="python", policy=policy).run(["-c", REWRITE, how, f"{exit_code}.wasm"]).check().text
        assert "True True\n" == told
        assert exit_code == run()
        time.sleep(2.1)
        assert (exit_code, exit_code) == (run(), run())


def large(exit_code: int) -> bytes:
    """Give a program of more than a megabyte that exits so."""
    program = (
        b"\0asm\1\0\0\0\1\x08\2\x60\1\x7f\0\x60\0\0"
        b"\2\x24\1\x16wasi_snapshot_preview1\x09proc_exit\0\0"
        b"\3\2\1\1\5\3\1\0\1\7\x13\2\6memory\2\0\6_start\0\1\x0a\x08\1\6\0\x41" + bytes([exit_code]) + b"\x10\0\x0b"
    )
    return program + section(0, name(b"x") + bytes(2 << 20))
