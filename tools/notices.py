#!/usr/bin/env python3
# ruff: noqa: S603
"""
Write THIRD-PARTY-NOTICES.md: every crate in the wheel, its licence, and the text of that licence.

    tools/notices.py [--check]

The crates are those cargo links into `ringfence._core` on Linux x86-64; build tools and test crates are not in it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTICES = ROOT / "THIRD-PARTY-NOTICES.md"
TARGET = "x86_64-unknown-linux-gnu"
TEXTS = re.compile(r"^(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)([-_.].*)?$", re.IGNORECASE)
NOTICE = re.compile(r"^NOTICE([-_.].*)?$", re.IGNORECASE)
HEAD = """\
# Third-party notices

The wheel of Ringfence holds compiled code of the crates below. `make docs` writes this page from `Cargo.lock`.

A crate that may be used under Apache-2.0 is used under it; its text is in `LICENSE`. The texts of all other licences,
and every notice file, follow the table; those that are word for word the same stand here once.

Language packs are wheels of their own and carry their licences with them.

"""


def main() -> int:
    """Write the page, or with `--check` say whether it is current."""
    page = notices(shipped())
    if "--check" not in sys.argv[1:]:
        NOTICES.write_text(page, encoding="utf-8")
        return 0
    current = NOTICES.exists() and NOTICES.read_text(encoding="utf-8") == page
    if not current:
        sys.stderr.write("error: THIRD-PARTY-NOTICES.md is not what Cargo.lock says\nhint: run `make docs`\n")
    return 0 if current else 1


def shipped() -> list[dict[str, str]]:
    """Give the packages that are linked in: what the binding needs, by normal dependencies, procedural macros aside."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    metadata = json.loads(told)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [id_ for id_, package in packages.items() if package["name"] == "ringfence-python"]
    found: set[str] = set()
    while waiting:
        id_ = waiting.pop()
        if id_ in found or is_macro(packages[id_]):
            continue
        found.add(id_)
        linked = (each for each in nodes[id_]["deps"] if any(kind["kind"] is None for kind in each["dep_kinds"]))
        waiting += (each["pkg"] for each in linked)
    ours = {"ringfence", "ringfence-python"}
    return sorted(
        (packages[id_] for id_ in found if packages[id_]["name"] not in ours),
        key=lambda each: (each["name"], each["version"]),
    )


def is_macro(package: dict[str, list[dict[str, list[str]]]]) -> bool:
    """Tell a procedural macro: it runs in the compiler and is not in what comes out."""
    return any("proc-macro" in target["kind"] for target in package["targets"])


def is_apache(licence: str) -> bool:
    """Tell whether plain Apache-2.0 is one of the choices."""
    return " AND " not in licence and "Apache-2.0" in re.split(r"\s+OR\s+|\s*/\s*", licence)


def notices(packages: list[dict[str, str]]) -> str:
    """Write the table, then each text with the crates that carry it."""
    lines = ["| crate | version | licence |", "|---|---|---|"]
    texts: dict[str, list[str]] = {}
    for package in packages:
        licence = package["license"].replace("|", "\\|")
        lines.append(f"| {package['name']} | {package['version']} | {licence} |")
        wanted = NOTICE if is_apache(package["license"]) else TEXTS
        for file in sorted(Path(package["manifest_path"]).parent.iterdir()):
            if file.is_file() and wanted.match(file.name):
                text = file.read_text(encoding="utf-8", errors="replace")
                text = "\n".join(line.rstrip() for line in text.splitlines()).strip()
                texts.setdefault(text, []).append(f"{package['name']} ({file.name})")
    for text, carriers in sorted(texts.items(), key=lambda item: (-len(item[1]), item[1])):
        lines += ["", f"## {', '.join(carriers)}", "", "```text", text.replace("```", "'''"), "```"]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
