"""The one who talks to the index: pip, as a command of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ringfence._text import quote
from ringfence.languages._install import pip_or_uv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Progress = Callable[[float], None]

# Wheels only: whatever builds a package from its source would run it, outside of the sandbox.
# It tells of a network that fails only where it tries again.
_WHEELS = ("--only-binary", ":all:", "--retries", "2")
# Platforms whose wheels are looked at where there is no pure one: to tell it from a name that does not exist, and to
# leave their compiled part out.
_NATIVE = tuple(
    flag
    for tag in ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64")
    for flag in ("--platform", tag)
)
# What a package says that it needs may be an address, which pip would follow, and build what it finds there: so its
# reader of requirements knows no addresses. Where pip has no such reader, it does not start.
_NAMES_ONLY = """
import runpy
from pip._vendor.packaging import requirements

class Named(requirements.Requirement):
    def __init__(self, text):
        super().__init__(text)
        if self.url is not None:
            raise requirements.InvalidRequirement(f"`{self.name}` is asked for by an address, not by its name")

requirements.Requirement = Named
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
_LOOK_SECONDS = 0.05
_TOLD_CHARS = 400


class Pip:
    """
    Commands of pip for one version of Python.

    Args:
        version: of the guest's Python, such as "3.13".
        progress: called while a command runs, from the first second on, with the seconds since this was made; an
            exception in it ends that.
    """

    def __init__(self, version: str, progress: Progress | None = None) -> None:
        self._version, self._progress, self._started = version, progress, time.monotonic()

    def resolve(self, requirements: Sequence[str], *, pure: bool = False, closed: bool = False) -> list[dict[str, Any]]:
        """
        Find out which wheels would be installed, as pip reports them.

        Args:
            requirements: what is asked for.
            pure: look at pure wheels only; otherwise others may be among them.
            closed: without what they need themselves.

        Raises:
            Unresolved: there are none, or they do not go together.
        """
        with tempfile.TemporaryDirectory(prefix="ringfence-") as folder:
            report = Path(folder, "report.json")
            flags = ["--dry-run", "--ignore-installed", "--report", str(report), "--target", folder]
            self._call([*flags, *(["--no-deps"] if closed else [])], requirements, native=not pure)
            installs = json.loads(report.read_bytes())["install"]
        return list(installs)

    def install(self, locked: Sequence[str], target: Path) -> None:
        """Fetch exactly these wheels, compare their digests, and unpack them."""
        with tempfile.TemporaryDirectory(prefix="ringfence-") as folder:
            lock = Path(folder, "lock.txt")
            lock.write_text("".join(f"{line}\n" for line in locked), "utf-8")
            flags = ["--no-deps", "--no-compile", "--require-hashes", "--target", str(target), "-r", str(lock)]
            self._call(flags, (), native=True)

    def _call(self, flags: Sequence[str], requirements: Sequence[str], *, native: bool) -> None:
        tags = [*_NATIVE, "--implementation", "cp", "--abi", f"cp{self._version.replace('.', '')}", "--abi", "abi3"]
        tags = [*tags, "--abi", "none"] if native else ["--platform", "any", "--implementation", "py", "--abi", "none"]
        command = [*_pip(), "install", "--quiet", *_WHEELS, *tags, "--python-version", self._version, *flags]
        command += ["--", *requirements] if requirements else []
        told = self._wait_for(command)
        if told is not None:
            raise Unresolved(told)

    def _wait_for(self, command: list[str]) -> str | None:
        """Run it to its end; what it said where it failed."""
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env=_environment()
            )
            try:
                while process.poll() is None:
                    seconds = time.monotonic() - self._started
                    if self._progress is not None and seconds >= 1:
                        self._progress(seconds)
                    time.sleep(_LOOK_SECONDS)
            except BaseException:
                process.kill()
                process.wait()
                raise
            errors.seek(0)
            return errors.read().decode("utf-8", "replace") if process.returncode else None


class Unresolved(Exception):
    """Pip found no answer."""

    def why(self) -> str:
        """Tell it in a line."""
        if by_address := re.search(r"`[^`]+` is asked for by an address, not by its name", str(self)):
            return by_address[0]
        lines = [line.removeprefix("ERROR: ") for line in str(self).splitlines() if line.startswith("ERROR: ")]
        # After what goes wrong with what, pip says where one reads about it.
        lines = [line for line in lines if not line.startswith(("ResolutionImpossible", "Exception:"))]
        lines = lines or [line for line in str(self).splitlines() if line.strip()][-1:]
        return quote(lines[-1] if lines else str(self).strip() or "pip failed, and did not say why", _TOLD_CHARS)


def _environment() -> dict[str, str]:
    """Give pip its settings, and take the ones away that are about other places than a folder of ours."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    for name in ("PIP_REQUIREMENT", "PIP_TARGET", "PIP_PLATFORM", "PIP_NO_DEPS", "PIP_PRE"):
        mine.pop(name, None)
    return {**mine, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def _pip() -> list[str]:
    """Use the pip of the Python that runs this; or one that uv brings, where there is none."""
    pip, uv = pip_or_uv()
    python = [sys.executable]
    if pip is None:
        python = [uv, "--quiet", "run", "--no-project", "--python", sys.executable, "--with", "pip", "python"]
    return [*python, "-P", "-c", _NAMES_ONLY]
