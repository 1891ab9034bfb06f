"""
Packages and sources of one Debian release, by apt, into folders of our own: nothing is installed, no root is needed.

The archive is the one that this machine's own sources name. apt checks every file against the release's signature.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from packs.building import cache
from packs.building.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packs.building.steps import Steps

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TRIES = 3
PAUSE_SECONDS = 3
FRAME = """\
Dir::State "{root}";
Dir::State::status "{root}/status";
Dir::State::lists "{root}/lists";
Dir::Cache "{root}/cache";
Dir::Etc::main "/dev/null";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
"""


class Archive:
    """
    One Debian release.

    Args:
        root: a folder for apt's state, and for what was fetched; it is kept, so that what broke off is resumed.
        steps: where progress and apt's words go.
    """

    def __init__(self, root: Path, steps: Steps) -> None:
        self.root, self.steps = root, steps
        self.files = root / "files"
        self._ready = False

    def packages(self, names: Sequence[str], pins: Mapping[str, str] | None = None) -> list[Path]:
        """Fetch binary packages; `pins` names files by a prefix, with the sha256 they must have."""
        with cache.lock("archive"):
            self._open()
            self._fetch(["apt-get", "--quiet", "download", *names])
            return self._pinned([self._newest(f"{name}_*.deb") for name in names], pins or {})

    def sources(self, names: Sequence[str], pins: Mapping[str, str]) -> None:
        """Fetch source packages, unpacked by nobody; each original must be pinned."""
        with cache.lock("archive"):
            self._open()
            self._fetch(["apt-get", "--quiet", "source", "--download-only", *names])
        originals = [self._newest(f"{name}_*.orig.tar.*z*") for name in names]
        if loose := [file.name for file in originals if not any(map(file.name.startswith, pins))]:
            raise Failure(
                "a source is not the pinned one", f"the archive has {', '.join(loose)}", "update the pins of the pack"
            )
        self._pinned(originals, pins)

    def original(self, name: str) -> Path:
        """Give the original tarball of a fetched source."""
        return self._newest(f"{name}_*.orig.tar.*z*")

    def patches(self, name: str) -> Path:
        """Give Debian's own tarball of a fetched source."""
        return self._newest(f"{name}_*.debian.tar.*z*")

    def forget(self, files: Sequence[Path]) -> None:
        """Remove what was fetched and is of no more use."""
        for file in files:
            file.unlink(missing_ok=True)

    def _newest(self, pattern: str) -> Path:
        found = sorted(
            (file for file in self.files.glob(pattern) if file.suffix != ".asc"), key=lambda file: file.stat().st_mtime
        )
        if not found:
            raise Failure(f"no file {pattern} was fetched", "apt said nothing of it", "run `make packs` again")
        return found[-1]

    def _pinned(self, files: list[Path], pins: Mapping[str, str]) -> list[Path]:
        for file in files:
            for prefix, wanted in pins.items():
                if file.name.startswith(prefix):
                    cache.verify(file, wanted)
        return files

    def _open(self) -> None:
        """Make apt's folders and read the release's lists, from the first of the machine's archives that has it."""
        if self._ready:
            return
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise Failure(
                "no `apt-get` on this machine",
                "the compiler and the sources of packs come from Debian's archive",
                "build packs on Debian 12 or newer, and install the wheel here: `ringfence languages install FOLDER`",
            )
        if not KEYRING.exists():
            raise Failure(
                "Debian's keys are not on this machine",
                f"there is no {KEYRING}",
                "apt-get install debian-archive-keyring",
            )
        for folder in ("lists/partial", "cache/archives/partial", "files"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        (self.root / "apt.conf").write_text(FRAME.format(root=self.root), encoding="utf-8")
        failures = []
        for uri in archives():
            lines = (f"{kind} [signed-by={KEYRING}] {uri} {SUITE} main\n" for kind in ("deb", "deb-src"))
            (self.root / "sources.list").write_text("".join(lines), encoding="utf-8")
            try:
                self._fetch(["apt-get", "--quiet", "--error-on=any", "update"])
            except Failure as failure:
                failures.append(failure)
            else:
                self._ready = True
                return
        raise (
            failures[-1]
            if failures
            else Failure(
                "no Debian archive is known here",
                "none of this machine's apt sources is one",
                f"add one to /etc/apt/sources.list.d, of any release: {SUITE} is then found beside it",
            )
        )

    def _fetch(self, command: list[str]) -> None:
        """Run apt, again where it fails: it resumes what broke off."""
        fix = "is the archive in reach? `make packs` goes on where it ended"
        for left in reversed(range(TRIES)):
            try:
                self.steps.run(command, cwd=self.files, env={"APT_CONFIG": str(self.root / "apt.conf")}, fix=fix)
            except Failure:
                if not left:
                    raise
                time.sleep(PAUSE_SECONDS)
            else:
                return


def archives() -> list[str]:
    """Give the Debian archives that this machine's apt sources name, without those of security updates."""
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(ORIGIN)"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found: dict[str, bool] = {}
    for line in told.splitlines():
        uri, release, origin = line.split("|")
        if "security" not in uri and not re.search(r"security|backports", release):
            # Where the lists were never read, the origin is not known: then apt finds out.
            found[uri] = found.get(uri, False) or origin == "Debian"
    return sorted(found, key=lambda uri: not found[uri])
