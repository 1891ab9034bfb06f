"""What every kind of test needs: the guests, a cache of our own, and the command."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from mcp import StdioServerParameters

    from ringfence import Limits, Result
    from ringfence._isolation import Isolation

# `security.isolated` is what all of them share.
sys.path.insert(0, str(Path(__file__).parent))
import kept
from security.isolated import ISOLATIONS, isolated
from security.isolated import flags as isolated_flags
from shelf import Shelf

# A shell that starts the tests in the background has them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
GUESTS = ROOT / "crates" / "guests"


class SandboxFactory(Protocol):
    """Runs a guest by its file name under a policy."""

    def __call__(
        self, guest: str, *args: str, input: bytes | None = None, limits: Limits | None = None, **policy: Any
    ) -> Result:
        """Run it once."""


class Command(Protocol):
    """Runs the command `ringfence` in the test's own directory."""

    def __call__(self, *args: object, input: bytes = b"", env: Mapping[str, str] | None = None) -> Ended:
        """Run it to its end."""


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    exit_code: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        """Show the three together, as snapshots have them."""
        return f"exit: {self.exit_code}\n--- stdout\n{self.stdout}--- stderr\n{self.stderr}"


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Show no dots in a pipe: whoever reads there wants to know what failed."""
    if sys.stdout.isatty() or not (report.passed or report.skipped) or hasattr(report, "wasxfail"):
        return None
    return report.outcome if report.when == "call" or report.skipped else "", "", ""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Name in a pipe what failed at once, not after all other tests: the run may be ended before, or its words cut."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ and not sys.stdout.isatty():
        sys.stdout.write(f"\nFAILED {report.nodeid} ({report.when})\n{report.longreprtext[-4000:]}\n")
        sys.stdout.flush()


@pytest.fixture(params=["wasm", "worker"])
def place(request: pytest.FixtureRequest) -> Isolation:
    """Where a plugin has its instance, for what is the same here and there."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """
    Keep compiled programs, keys and saved sessions apart from those of whoever runs the tests.

    Processes that share the work of one run share its programs too, and large ones are those of earlier runs.
    """
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    directory.mkdir(mode=0o700, exist_ok=True)
    kept.lend(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RINGFENCE_CACHE", str(directory))
        patch.setenv("RINGFENCE_PACKAGES", str(tmp_path_factory.mktemp("packages")))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.delenv("NO_COLOR", raising=False)
        yield directory
    kept.keep(directory)
    if sys.pycache_prefix:  # bytecode of what tests wrote and imported
        shutil.rmtree(Path(sys.pycache_prefix, *base.parts[1:]), ignore_errors=True)


@pytest.fixture(scope="session")
def compiled(cache: Path) -> Path:
    """Compile the Python pack, once, before anything has a deadline: a busy machine may take minutes."""
    from ringfence import Limits, Policy, Sandbox

    Sandbox(language="python", policy=Policy(limits=Limits(compile=280)))
    kept.keep(cache)  # now: this run may be interrupted
    return cache


@pytest.fixture(scope="session")
def compiled_web(cache: Path) -> Path:
    """The same of JavaScript for the web."""
    from ringfence import Limits, Policy, Sandbox

    Sandbox(language="javascript-web", policy=Policy(limits=Limits(compile=280)))
    kept.keep(cache)
    return cache


@pytest.fixture(scope="module")
def compiled_ruby() -> Iterator[None]:
    """The same of Ruby, kept for other runs of the tests on this machine: it takes the better part of a minute."""
    with compiled_once("ruby"):
        yield


@pytest.fixture(scope="module")
def compiled_c() -> Iterator[None]:
    """The same of the compiler of C, which takes a minute and a half."""
    with compiled_once("c"):
        yield


@pytest.fixture(scope="module")
def compiled_perl() -> Iterator[None]:
    """The same of Perl, which takes some seconds."""
    with compiled_once("perl"):
        yield


@pytest.fixture(scope="module")
def compiled_python_data() -> Iterator[None]:
    """The same of python-data, which takes minutes."""
    with compiled_once("python-data"):
        yield


@pytest.fixture(scope="module")
def compiled_php() -> Iterator[None]:
    """The same of PHP."""
    with compiled_once("php"):
        yield


@pytest.fixture(scope="module")
def compiled_installed() -> Iterator[None]:
    """The same of those of them that are installed."""
    from packs.components import pack

    from ringfence import languages

    with contextlib.ExitStack() as stack:
        for language in sorted({*pack.fetched()} & set(languages.names())):
            stack.enter_context(compiled_once(language))
        yield


@contextlib.contextmanager
def compiled_once(language: str) -> Iterator[None]:
    """Compile a language where other runs of the tests on this machine find it."""
    from packs.building import cache

    from ringfence import Limits, Policy, Sandbox

    place = cache.directory() / "compiled"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RINGFENCE_CACHE", str(place))
        Sandbox(language=language, policy=Policy(limits=Limits(compile=550)))
        if language == "c":  # such a sandbox holds no more than what says so
            Sandbox(code="int main() {}", language=language, policy=Policy(limits=Limits(compile=550)))
        yield


def held() -> Counter[str]:
    """Count what we hold open, by kind, but for what is kept warm, which has a bound: workers, programs in the pool."""
    from ringfence._engine import core

    core.close_workers()
    names = [f"thread {thread.name}" for thread in threading.enumerate()]
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one this listing is read from
            names.append(str(entry.readlink()))
    return Counter(re.sub(r"\d+", "N", name) for name in names if not name.endswith(".cwasm"))


@pytest.fixture(scope="session")
def descriptors() -> Callable[[], int]:
    """Count our open descriptors."""
    return lambda: sum(count for name, count in held().items() if not name.startswith("thread "))


@pytest.fixture(scope="session")
def nothing_stays() -> Callable[[], AbstractContextManager[None]]:
    """Wait until no more descriptors and threads are there than before; less is well: an earlier test's may go too."""

    @contextlib.contextmanager
    def check() -> Iterator[None]:
        gc.collect()
        before = held()
        yield
        deadline = time.monotonic() + 5
        while more := held() - before:
            assert time.monotonic() < deadline, f"still there: {dict(more)}"
            time.sleep(0.01)

    return check


@pytest.fixture(params=ISOLATIONS)
def isolation(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once in each isolation; files that do not depend on it leave this out."""
    with isolated(request.param):
        yield request.param


@pytest.fixture(scope="session")
def guests() -> Path:
    """Give the directory of test programs."""
    return GUESTS


@pytest.fixture(scope="session")
def dial_program() -> Path:
    """Build the client that speaks over the network, unless that was done."""
    fetch = ROOT / "tests" / "programs" / "fetch.py"
    ended = subprocess.run([sys.executable, str(fetch), "dial"], capture_output=True, text=True, check=False)
    assert 0 == ended.returncode, ended.stderr
    return Path(ended.stdout.strip())


@pytest.fixture
def shout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the example's language pack for this process and the command; give the directory of its package."""
    site = tmp_path / "site"
    package = "ringfence_language_shout"
    shutil.copytree(ROOT / "examples" / "02-languages" / "shout" / package, site / package)
    metadata = site / f"{package}-1.0.0.dist-info"
    metadata.mkdir()
    (metadata / "entry_points.txt").write_text(f"[ringfence.languages]\nshout = {package}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    return site / package


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Have an index of packages of the test's own, and keep what comes from it in a folder of its own."""
    shelf = Shelf(tmp_path / "shelf")
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf.folder)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RINGFENCE_PACKAGES", str(tmp_path / "packages"))
    return shelf


@pytest.fixture
def sandbox() -> SandboxFactory:
    """Run a guest under a policy made of the keywords."""
    from ringfence import Policy, Sandbox

    def run(guest: str, *args: str, input: bytes | None = None, limits: Limits | None = None, **policy: Any) -> Result:
        return Sandbox(GUESTS / guest, policy=Policy(**policy)).run(args, input=input, limits=limits)

    return run


@pytest.fixture
def ringfence(tmp_path: Path) -> Command:
    """Run the command in the test's own directory, with the guests beside it under `guests`."""
    (tmp_path / "guests").symlink_to(GUESTS)

    def run(*args: object, input: bytes = b"", env: Mapping[str, str] | None = None) -> Ended:
        ended = subprocess.run(
            [sys.executable, "-m", "ringfence", *map(str, args)],
            input=input,
            env={**os.environ, **(env or {})},
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return run


SERVE = ("-m", "ringfence", "mcp")


@pytest.fixture
def agent_server(compiled: Path) -> Callable[..., StdioServerParameters]:
    """Tell the SDK's client how to start `ringfence mcp` with these flags."""
    from mcp import StdioServerParameters

    assert compiled.is_dir()

    def told(*flags: object) -> StdioServerParameters:
        return StdioServerParameters(
            command=sys.executable,
            args=[*SERVE, *isolated_flags(), *map(str, flags)],
            env={**os.environ, "API_TOKEN": "s3cr3t"},
        )

    return told


@pytest.fixture
def agent_url(compiled: Path, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start `ringfence mcp` on a free port with these flags, and give its address."""
    assert compiled.is_dir()
    started: list[subprocess.Popen[str]] = []

    def start(*flags: object) -> str:
        words = [sys.executable, *SERVE, "--port", "0", *isolated_flags(), *map(str, flags)]
        running = subprocess.Popen(words, stderr=subprocess.PIPE, cwd=tmp_path, text=True)
        started.append(running)
        assert running.stderr is not None
        line = running.stderr.readline()
        assert " at http://" in line, line + running.stderr.read()
        return line.split()[-1]

    yield start
    for running in started:
        running.terminate()
        running.communicate(timeout=30)
