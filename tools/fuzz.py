#!/usr/bin/env python3
# ruff: noqa: S603, T201
"""
Fuzz every target and every mode of the loader, each for so many seconds.

    tools/fuzz.py CARGO_FUZZ SECONDS DIRECTORY

What was learnt and what was found is kept in the directory. The exit code is 1 if anything was found.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUZZ = ROOT / "fuzz"
MODES = ["smith", "mutate", "corrupt", "wit"]
# Files to begin with, where there are some.
SEEDS = {
    "policy_toml": ROOT / "tests" / "policies",
    "module": ROOT / "crates" / "guests" / "attacks",
    **{directory.name: directory for directory in (FUZZ / "seeds").iterdir()},
}
MOST_MIB, MOST_SECONDS_EACH, MOST_BYTES = 2048, 10, 65536


def main() -> int:
    """Build the targets, then run one after the other."""
    cargo_fuzz, seconds, kept = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    # No sanitizer, hence no nightly toolchain: there is next to no unsafe code of ours that one could watch.
    flags = ["--fuzz-dir", str(FUZZ), "--sanitizer", "none", "--target-dir", str(kept / "target")]
    if subprocess.run([cargo_fuzz, "fuzz", "build", *flags], check=False).returncode:
        print("error: the fuzz targets do not build\nhint: libFuzzer needs a C++ compiler", file=sys.stderr)
        return 1
    found = []
    for target in targets():
        corpus, artifacts = kept / "corpus" / target, kept / "findings" / target
        for directory in (corpus, artifacts):
            directory.mkdir(parents=True, exist_ok=True)
        command = [cargo_fuzz, "fuzz", "run", *flags, target, str(corpus)]
        command += [str(SEEDS[target])] if target in SEEDS else []
        command += ["--", f"-max_total_time={seconds}", f"-artifact_prefix={artifacts}{os.sep}", "-print_final_stats=1"]
        command += [f"-rss_limit_mb={MOST_MIB}", f"-timeout={MOST_SECONDS_EACH}", f"-max_len={MOST_BYTES}"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        executed = re.search(r"number_of_executed_units: (\d+)", ended.stderr)
        verdict = "FOUND" if ended.returncode else "nothing found"
        print(f"{target:<14} {executed[1] if executed else 'no'} inputs, {verdict}", flush=True)
        if ended.returncode:
            found.append(target)
            print(ended.stderr[-3000:], file=sys.stderr)
    for mode in MODES:
        command = [sys.executable, str(FUZZ / "loader.py"), "--mode", mode, "--seconds", seconds]
        if subprocess.run([*command, "--keep", str(kept / "findings" / mode)], check=False).returncode:
            found.append(mode)
    print(f"found something: {', '.join(found)}; see {kept / 'findings'}" if found else "nothing found")
    return 1 if found else 0


def targets() -> list[str]:
    """Name what Cargo.toml lists."""
    return re.findall(r'^name = "(\w+)"$', (FUZZ / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)


if __name__ == "__main__":
    sys.exit(main())
