#!/usr/bin/env python3
# ruff: noqa: S603, T201
"""
Make a machine ready: check what it has, make the venv from the lock, build the package into it.

    tools/setup.py VENV [--tests | --beside LOCK]

What `--beside` names goes into a folder of its own in the venv, so that tests find no more than their lock has.
Runs on the machine's own Python with nothing installed, and does again only what has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "dev.txt"
MIN_PYTHON = (3, 11)
RETRIES = 3


def main() -> int:
    """Do each step, or say what is missing and how to get it."""
    parser = argparse.ArgumentParser(description="check this machine, make the venv, build the package into it")
    parser.add_argument("venv", type=Path)
    parser.add_argument("--beside", type=Path, help="another lock, for a folder of its own: VENV/NAME")
    parser.add_argument("--tests", action="store_true", help="build the core's tests too, while its library is built")
    arguments = parser.parse_args()
    try:
        check_machine()
        make_venv(arguments.venv)
        if arguments.beside is None:
            install(arguments.venv, LOCK)
            forget_other_checkouts()
            if arguments.tests:
                build_tests()
            build(arguments.venv)
        else:
            install_beside(arguments.venv, arguments.beside)
    except Missing as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1
    return 0


class Missing(Exception):
    """Something this machine lacks; the text says what and how to get it."""


def check_machine() -> None:
    """Look for Python, Rust and a C compiler; install what the system's own packages have."""
    if sys.version_info < MIN_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        raise Missing(f"Python 3.11 or newer is needed, {sys.executable} is {found}\nhint: make PYTHON=python3.12 …")
    if importlib.util.find_spec("ensurepip") is None:
        apt(
            f"python{sys.version_info.major}.{sys.version_info.minor}-venv", "Python's own `venv` needs its `ensurepip`"
        )
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        apt("build-essential", "linking needs a C compiler")
    wanted = re.search(r'^rust-version = "(.*)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)
    if wanted is None:
        raise Missing("Cargo.toml names no `rust-version`\nhint: restore it")
    cargo = shutil.which("cargo")
    if cargo is None:
        raise Missing(f"Rust {wanted[1]} or newer is needed, there is no `cargo`\nhint: install it with rustup")
    found = subprocess.run([cargo, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    if numbers(found) < numbers(wanted[1]):
        raise Missing(f"Rust {wanted[1]} or newer is needed, {cargo} is {found}\nhint: run `rustup update stable`")


def apt(package: str, why: str) -> None:
    """Install a package of the system where we may, otherwise say how."""
    command = ["apt-get", "install", "--yes", "--no-install-recommends", package]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing(f"{why}\nhint: install it, on Debian and Ubuntu with `sudo {' '.join(command)}`")
    step(f"setup: {package} from the system's packages")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for attempt in (["apt-get", "update", "--quiet"], command):
        if subprocess.run(attempt, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
            raise Missing(f"{why}, and `{' '.join(attempt)}` failed\nhint: run it by hand")


def make_venv(venv: Path) -> None:
    """
    Make the venv, again if its interpreter is gone; private, for the caches beside it are.

    Again, too, if another lock was installed into it, as was once done: tests would find what their lock lacks.
    """
    venv.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    python = venv / "bin" / "python"
    if (
        python.exists()
        and {stamp.name for stamp in venv.glob("*.installed")} <= {f"{LOCK.stem}.installed"}
        and not subprocess.run([python, "-c", "import pip"], capture_output=True, check=False).returncode
    ):
        return
    step(f"setup: venv in {venv}")
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)


def install(venv: Path, lock: Path) -> None:
    """Install exactly what a lock names, unless that was done."""
    stamp = venv / f"{lock.stem}.installed"
    if is_installed(stamp, lock):
        return
    fetch(venv, lock)
    stamp.write_text(digest(lock), encoding="utf-8")


def install_beside(venv: Path, lock: Path) -> None:
    """Install what a lock names into a folder of its own: only who has it on PYTHONPATH sees it."""
    folder = venv / lock.stem
    stamp = folder / f"{lock.stem}.installed"
    if is_installed(stamp, lock):
        return
    shutil.rmtree(folder, ignore_errors=True)
    fetch(venv, lock, "--target", str(folder))
    stamp.write_text(digest(lock), encoding="utf-8")


def is_installed(stamp: Path, lock: Path) -> bool:
    """Tell whether that very lock was installed."""
    return stamp.exists() and stamp.read_text(encoding="utf-8") == digest(lock)


def digest(lock: Path) -> str:
    """Hash a lock."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def fetch(venv: Path, lock: Path, *more: str) -> None:
    """Have pip install what a lock names."""
    step(f"setup: packages of {lock.name}")
    command = [
        *pip(venv),
        "--no-deps",
        "--require-hashes",
        "--retries",
        str(RETRIES),
        "--requirement",
        str(lock),
        *more,
    ]
    if subprocess.run(command, check=False).returncode:
        raise Missing(
            f"pip could not install {lock.name}\nhint: pip's own words are above; is a package index in reach?"
        )


def forget_other_checkouts() -> None:
    """
    Drop what was compiled of this package in another checkout, since cargo takes it for this one's where it is newer.

    What it depends on stays. To be called before anything is built.
    """
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    stamp = target / "checkout.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == str(ROOT):
        return
    members = ["--package", "ringfence", "--package", "ringfence-python"]
    command = ["cargo", "clean", "--release", "--locked", "--quiet", *members]
    if target.exists() and subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise Missing(f"what another checkout left in {target} cannot be removed\nhint: remove that folder")
    target.mkdir(parents=True, exist_ok=True)
    stamp.write_text(str(ROOT), encoding="utf-8")


def build_tests() -> None:
    """Build the core and its tests: that library, which takes longest and one processor, is the native module's too."""
    step("setup: core and its tests")
    command = ["cargo", "test", "--release", "--locked", "--quiet", "-p", "ringfence", "--no-run"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise Missing("the core does not build\nhint: the compiler's own words are above")


def build(venv: Path) -> None:
    """Build the native module and link the package into the venv; cargo knows what has changed."""
    known = any((ROOT / "python" / "ringfence").glob("_core*.so"))
    step("setup: native module" if known else "setup: native module (the first time takes minutes)")
    command = [*pip(venv), "--no-build-isolation", "--no-deps", "--no-index", "--editable", str(ROOT)]
    environment = {**os.environ, "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    if subprocess.run(command, env=environment, check=False).returncode:
        raise Missing("the native module does not build\nhint: the compiler's own words are above")


def pip(venv: Path) -> list[str]:
    """Begin a command line that installs into the venv."""
    return [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def numbers(version: str) -> tuple[int, ...]:
    """Turn `1.95.0` into what compares."""
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def step(text: str) -> None:
    """Say what is being done."""
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    print(f"\x1b[1m==> {text}\x1b[0m" if colour else f"==> {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
