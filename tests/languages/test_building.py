"""How packs are built: what is kept, what is refused, what is said."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from packs.building import cache, pack
from packs.building.archive import Archive
from packs.building.failure import Failure
from packs.building.steps import Steps

from waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what is built apart from what is in use."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ringfence" / "packs"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a tree of inputs."""
    monkeypatch.setattr(cache, "ROOT", tmp_path)
    folder = tmp_path / "inputs"
    folder.mkdir()
    (folder / "driver.c").write_text("int x;\n", encoding="utf-8")
    return folder


def test_digest_follows_every_byte_and_every_name(tree: Path) -> None:
    """And nothing else: not what Python compiled, not where the tree stands."""
    first = cache.digest(tree, "pin")
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__" / "driver.pyc").write_bytes(b"x")
    same = cache.digest(tree, "pin")
    (tree / "driver.c").write_text("int y;\n", encoding="utf-8")
    changed = cache.digest(tree, "pin")
    (tree / "driver.c").rename(tree / "other.c")
    renamed = cache.digest(tree, "pin")
    other_pin = cache.digest(tree, "pin 2")

    assert first == same
    assert 4 == len({first, changed, renamed, other_pin})


def test_digest_of_nothing_is_refused(tree: Path) -> None:
    """A folder that is gone must not look like one without inputs."""
    with pytest.raises(Failure, match="no such file or folder"):
        cache.digest(tree / "gone")


def test_digest_is_the_same_from_two_folders(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two checkouts share what was built."""
    first = cache.digest(tree)
    other = tmp_path / "other"
    (other / "inputs").mkdir(parents=True)
    (other / "inputs" / "driver.c").write_bytes((tree / "driver.c").read_bytes())
    monkeypatch.setattr(cache, "ROOT", other)

    assert first == cache.digest(other / "inputs")


def test_entry_is_made_once(own_cache: Path) -> None:
    """And stands where its key says."""
    made = []

    def make(place: Path) -> None:
        made.append(place)
        (place / "file").write_text("x", encoding="utf-8")

    places = [cache.entry("key", make) for _ in range(2)]

    assert [own_cache / "key"] * 2 == places
    assert (1, "x") == (len(made), (places[0] / "file").read_text(encoding="utf-8"))


@pytest.mark.parametrize("error", [Failure("a", "b", "c"), KeyboardInterrupt()])
def test_what_is_half_made_is_not_kept(error: BaseException, own_cache: Path) -> None:
    """A failure and Ctrl-C leave no folder, and the next build makes it whole."""

    def fail(place: Path) -> None:
        (place / "half").touch()
        raise error

    with pytest.raises(type(error)):
        cache.entry("key", fail)
    left = [file.name for file in own_cache.iterdir()]
    place = cache.entry("key", lambda place: (place / "whole").touch())

    assert ["locks"] == left
    assert ["complete", "whole"] == sorted(file.name for file in place.iterdir())


def test_what_a_killed_build_left_is_removed(own_cache: Path) -> None:
    """A folder without its mark is no result."""
    for name in ("key", "key.half-killed"):
        (own_cache / name).mkdir(parents=True)
        (own_cache / name / "rest").touch()
    cache.entry("key", lambda place: (place / "whole").touch())

    assert ["key", "locks"] == sorted(file.name for file in own_cache.iterdir())
    assert not (own_cache / "key" / "rest").exists()


def test_two_builds_of_one_key_make_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first, says so, and takes what that made."""
    begun, go_on = threading.Event(), threading.Event()
    made = []

    def make(_: Path) -> None:
        made.append(1)
        begun.set()
        assert go_on.wait(30)

    builds = [threading.Thread(target=cache.entry, args=("key", make)) for _ in range(2)]
    builds[0].start()
    assert begun.wait(30)
    told = io.StringIO()  # what pytest keeps may be written to while it is read, and be lost
    monkeypatch.setattr(sys, "stdout", told)
    builds[1].start()
    until(lambda: "waiting" in told.getvalue())
    go_on.set()
    for build in builds:
        build.join(30)

    assert [1] == made


def test_damaged_wheel_is_built_again(tmp_path: Path) -> None:
    """A wheel that is cut off, exchanged or gone is not what was put there."""
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(b"wheel")
    (tmp_path / "wheel.sha256").write_text(cache.sha256(wheel), encoding="utf-8")
    verdicts = [pack.whole(tmp_path)]
    wheel.write_bytes(b"whee")
    verdicts.append(pack.whole(tmp_path))
    wheel.unlink()
    verdicts.append(pack.whole(tmp_path))

    assert [True, False, False] == verdicts


def test_damaged_entry_is_made_again() -> None:
    """What does not pass its check is made anew."""
    made = []

    def make(place: Path) -> None:
        made.append(1)
        (place / "file").write_text("whole", encoding="utf-8")

    def check(place: Path) -> bool:
        return (place / "file").read_text(encoding="utf-8") == "whole"

    place = cache.entry("key", make, check)
    (place / "file").write_text("damaged", encoding="utf-8")
    cache.entry("key", make, check)

    assert (2, True) == (len(made), check(place))


def test_file_that_is_not_the_pinned_one_is_refused_and_removed(tmp_path: Path) -> None:
    """The next build fetches it anew."""
    file = tmp_path / "source.tar.xz"
    file.write_bytes(b"other")
    with pytest.raises(Failure, match=r"source.tar.xz is not the file that was pinned"):
        cache.verify(file, "0" * 64)

    assert not file.exists()


def test_failed_tool_is_told_with_its_step_its_last_words_and_the_log(tmp_path: Path) -> None:
    """What, why, and where the rest of it is."""
    steps = Steps("demo", tmp_path / "demo.log")
    code = "import sys\nfor n in range(100): print('line', n)\nsys.exit(3)"
    with steps.step("compile"), pytest.raises(Failure) as told:
        steps.run([sys.executable, "-c", code])

    assert "demo, compile" == told.value.what
    assert "ended with 3" in told.value.why
    assert ("line 99" in told.value.why, "line 50" in told.value.why) == (True, False)
    assert str(tmp_path / "demo.log") in told.value.why
    assert "line 50" in (tmp_path / "demo.log").read_text(encoding="utf-8")


def test_tool_that_is_missing_is_told(tmp_path: Path) -> None:
    """Not as a traceback."""
    steps = Steps("demo", tmp_path / "demo.log")
    with steps.step("compile"), pytest.raises(Failure, match="does not start: No such file"):
        steps.run([tmp_path / "no-such-tool"])


def test_steps_have_a_line_each_with_their_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody watches a terminal, when they have ended."""
    steps = Steps("demo", tmp_path / "demo.log")
    with steps.step("compile"):
        during = capsys.readouterr().out
    after = capsys.readouterr().out

    assert "" == during
    assert ["demo:", "compile", "0.0", "s"] == after.split()


def test_machine_without_apt_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack runs everywhere, also where it cannot be built."""
    monkeypatch.setenv("PATH", str(tmp_path))
    archive = Archive(tmp_path / "archive", Steps("demo", tmp_path / "demo.log"))
    with pytest.raises(Failure, match=r"no `apt-get`.*\n.*install the wheel"):
        archive.packages(["hello"])


def test_pack_that_is_not_there_is_refused_with_those_that_are() -> None:
    """The command says what, why and the fix, and ends with 1."""
    command = [sys.executable, str(ROOT / "tools" / "packs.py"), "--no-install", "cobol"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (1, "") == (ended.returncode, ended.stdout)
    assert ended.stderr.startswith("error: there is no pack `cobol`: known are ")
    assert "\nhint: " in ended.stderr


def test_every_pack_has_a_recipe() -> None:
    """And is found by its pack.toml."""
    assert "python" in pack.names()
    assert [True] * len(pack.names()) == [callable(pack.recipe(name).build) for name in pack.names()]
