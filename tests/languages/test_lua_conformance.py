"""Lua's own test suite judges the pack: a package of the index carries it, in its sources."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ringfence import Dir, Limits, Policy, Sandbox

pytest.importorskip("ringfence_language_lua", reason="the language pack is not installed")

ROOT = Path(__file__).parents[2]
PACKAGE, VERSION = "lupa", "2.4"
SHA256 = "5300d21f81aa1bd4d45f55e31dddba3b879895696068a3f84cfcb5fd9148aacd"
FOLDER = "third-party/lua54/testes"
# What does not pass by itself, and why: docs/explanation/lua-differences.md says so too.
ABSENT = {
    "main.lua": "os.execute: it tests the command line by a shell",
    "files.lua": "io.popen, in its last part",
    "big.lua": "it has to run in a coroutine",
}
NO_TESTS = {"all.lua", "heavy.lua"}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the tests; pip fetches them once for each machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT), *sys.path])
        from packs.building import cache

    def make(place: Path) -> None:
        lock = place / "requirements.txt"
        lock.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-binary", PACKAGE, "--require-hashes", "--requirement", str(lock), "--dest", str(place)]
        subprocess.run(command, check=True)
        (archive,) = place.glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(place / "all", filter="data")
        shutil.move(place / "all" / f"{PACKAGE}-{VERSION}" / FOLDER, place / "tests")
        shutil.rmtree(place / "all")

    try:
        kept = cache.entry(f"lua-tests-{SHA256}", make)
    except subprocess.CalledProcessError as failure:
        pytest.skip(f"the package with Lua's tests is not at hand: pip ended with {failure.returncode}")
    copy = tmp_path_factory.mktemp("lua") / "tests"
    shutil.copytree(kept / "tests", copy)
    (copy / "tmp").mkdir(exist_ok=True)
    return copy


def lua(suite: Path) -> Sandbox:
    """Give Lua in the suite's folder."""
    policy = Policy(
        dirs=[Dir(suite, at="/", mode="overlay")], env={"PATH": "/bin"}, limits=Limits(wall=120, memory="512MiB")
    )
    return Sandbox(language="lua", policy=policy)


@pytest.mark.timeout(400)
def test_lua_passes_its_own_suite(suite: Path) -> None:
    """All of it in one process, as its authors mean it for other systems than theirs."""
    result = lua(suite).run(["-W", "-e", "_U = true", "all.lua"])

    assert 0 == result.exit_code, result.stderr[-1000:]
    assert b"final OK !!!" in result.stdout


@pytest.mark.timeout(400)
def test_every_file_of_the_suite_passes_alone_but_for_what_is_absent(suite: Path) -> None:
    """With what is not portable, too: what fails is listed, each with its reason."""
    judged = lua(suite)
    files = [file.name for file in sorted(suite.glob("*.lua")) if file.name not in NO_TESTS]

    failed = {name: result for name in files if (result := judged.run(["-W", name])).exit_code != 0}

    assert 31 == len(files)
    assert ABSENT.keys() == failed.keys(), {name: result.stderr[-300:] for name, result in failed.items()}
