#!/usr/bin/env python3
# ruff: noqa: T201
"""
Build language packs, and install them into the Python that runs this.

    tools/packs.py [--no-install] [--wheels DIR] [--fetched | NAME...]

Without names, all of `packs` but those that others have linked, such as `ruby`. What was built is kept in
`$XDG_CACHE_HOME/ringfence/packs`, by the hash of its inputs.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from packs.building import cache, pack
from packs.building.failure import Failure
from packs.components import pack as component
from packs.python_data import pack as data

if TYPE_CHECKING:
    from packs.building.pack import Pack


def main() -> int:
    """Build what is named, and install it."""
    parser = argparse.ArgumentParser(description="build language packs, and install them")
    fetched = component.fetched()
    by_name = sorted([data.NAME, *fetched])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"packs (default: all but {', '.join(by_name)})")
    parser.add_argument("--fetched", action="store_true", help=f"the packs {', '.join(fetched)}")
    parser.add_argument("--no-install", action="store_true", help="build only")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="copy the wheels there")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    try:
        names = fetched if arguments.fetched else [name for name in pack.names() if name not in by_name]
        for name in arguments.names or names:
            begun = time.monotonic()
            # A language may be called as it is for its users: `javascript-web`.
            folder = name.replace("-", "_")
            built = build(folder)
            if built.built:
                print(f"    {folder}: built in {time.monotonic() - begun:.0f} s, kept as {built.wheel.parent}")
            if arguments.wheels:
                arguments.wheels.mkdir(parents=True, exist_ok=True)
                (arguments.wheels / built.wheel.name).write_bytes(built.wheel.read_bytes())
            if not arguments.no_install:
                install(built)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: nothing half built is kept, what was fetched is", file=sys.stderr)
        return 130
    return 0


def build(folder: str) -> Pack:
    """Build one, in its own way."""
    if folder == data.NAME:
        return data.build()
    pack.description(folder)  # or it says which there are
    # A recipe that says what it takes from elsewhere gives what is finished: it needs no snapshot.
    finished = hasattr(pack.recipe(folder), "SHARED")
    return component.build(folder) if finished else pack.build(folder)


def install(built: Pack) -> None:
    """Install a wheel into this Python, without an index, unless it is there."""
    stamp = Path(sysconfig.get_path("purelib")) / f"ringfence_language_{built.name}" / "wheel.sha256"
    wanted = cache.sha256(built.wheel)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    command += ["--no-deps", "--force-reinstall", "--no-compile", str(built.wheel)]
    if subprocess.run(command, check=False).returncode:  # noqa: S603
        raise Failure(
            f"pip could not install {built.wheel.name}",
            "pip's own words are above",
            "read them; is there room on the disk?",
        )
    stamp.write_text(wanted, encoding="utf-8")


def stop(*_: object) -> NoReturn:
    """End as Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
