"""What is mounted below a granted directory, and so is no part of the grant."""

from __future__ import annotations

import os
import shlex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ringfence._policy import Policy
    from ringfence._result import Denial


def mount_hint(denial: Denial, policy: Policy) -> str | None:
    """Write the flag that grants the mount by itself, if a refused path leads onto one below a grant."""
    for grant in policy.dirs:
        at = (grant.at or "").rstrip("/")
        if grant.host is None or not denial.what.startswith(f"{at}/"):
            continue
        mount = _mount(os.fspath(grant.host), denial.what.removeprefix(at))
        if mount:
            flag = f"{grant.host}/{mount}:{at}/{mount}" + (":rw" if denial.kind == "write" else "")
            return f"something else is mounted there, grant it by itself: `--dir {shlex.quote(flag)}`"
    return None


def _mount(host: str, inside: str) -> str | None:
    """Find the mount that a path below a directory leads onto: its own path below it."""
    root = os.path.realpath(host)
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:  # noqa: PTH123
            points = {line.split(" ")[4].replace("\\040", " ") for line in mounts}
    except OSError:
        return None
    path = os.path.realpath(os.path.join(root, inside.strip("/")))  # noqa: PTH118
    found = None
    while path.startswith(f"{root.rstrip('/')}/"):
        if path in points:
            found = os.path.relpath(path, root)
        path = os.path.dirname(path)  # noqa: PTH120
    return found
