"""After a path that was refused: the flag that grants it, where one would help and can be pasted."""

from __future__ import annotations

import os
import shlex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfence._policy import Policy
    from ringfence._result import Denial

_TMP = "/tmp"  # noqa: S108 - the guest's
_UNNAMED = "grant its directory with `--dir HOST:GUEST{mode}`"


def path_hint(denial: Denial, policy: Policy, all_denials: Iterable[Denial]) -> str | None:
    """
    Write the flag for a path the guest chose: quoted for a shell, and never the whole of the host.

    None where no flag grants it: nothing is granted of `/dev`, and what is looked for and nowhere is no file's.
    """
    if (granted := _below_a_grant(denial, policy)) is not None:
        return granted
    mode = ":rw" if denial.kind == "write" else ""
    if not denial.what.startswith("/") or "\\" in denial.what or "…" in denial.what:
        return _UNNAMED.format(mode=mode)
    if _is_temporary(denial, all_denials):
        return None if policy.tmp else "add `--tmp`"
    if _is_in("/dev", denial.what):
        return None
    return _beside_a_grant(denial, policy) or _of_the_host(denial.what.rstrip("/"), mode)


def _below_a_grant(denial: Denial, policy: Policy) -> str | None:
    for grant in policy.dirs:
        if not grant.at or not (grant.at == "/" or _is_in(grant.at.rstrip("/"), denial.what)):
            continue
        if grant.host is None:
            return f"it leads out of `{grant.at}`, or that is only to be read"
        if denial.kind == "write" and grant.mode != "rw":
            return f"grant it as `--dir {shlex.quote(f'{grant.host}:{grant.at}:rw')}`"
        return f"it leads out of `{grant.at}`: grant what it leads to with `--dir HOST:GUEST`"
    return None


def _is_temporary(denial: Denial, all_denials: Iterable[Denial]) -> bool:
    """Tell whether a temporary file was to be made: where there is no `/tmp`, that is tried at the root in the end."""
    path = denial.what.rstrip("/")
    if _is_in(_TMP, path):
        return denial.kind == "write" or not os.path.isfile(path)  # noqa: PTH113
    looked = any(_is_in(_TMP, other.what) for other in all_denials)
    return looked and denial.kind == "write" and path.count("/") == 1


def _beside_a_grant(denial: Denial, policy: Policy) -> str | None:
    """Grant the directory where a database that is granted alone keeps its journal."""
    for grant in policy.dirs:
        at, host = grant.at or "", os.fspath(grant.host or "")
        if denial.kind != "write" or not os.path.isfile(host) or not denial.what.startswith(f"{at}-"):  # noqa: PTH113
            continue
        guest = os.path.dirname(at).rstrip("/") or "/data"  # noqa: PTH120
        flag = _flag(os.path.dirname(host) or ".", guest, ":rw")  # noqa: PTH120
        new = shlex.quote(f"{guest}/{os.path.basename(host)}")  # noqa: PTH119
        return flag and f"it lies beside `{at}`, which is granted alone: grant the directory, {flag}, and say `{new}`"
    return None


def _of_the_host(what: str, mode: str) -> str | None:
    """Grant the directory it is in; what is at the root alone, as a guest names what lies where the command stands."""
    folder = os.path.dirname(what)  # noqa: PTH120
    here = next((host for host in (what, what.lstrip("/")) if os.path.exists(host)), None)  # noqa: PTH110
    if not what:
        return f"grant a directory there with `--dir HOST:/{mode}`"
    if here is None and not mode:
        # What a loader of modules looks for has a colon or this end: `node:fs`, `/socket.so`.
        return None if ":" in what or what.endswith(".so") else _UNNAMED.format(mode=mode)
    if here is not None and folder in {"/", _TMP}:
        return _added(here, what, mode)
    if folder == "/":
        return "add `--dir .:/:rw`"
    beside = next((host for host in (folder, folder.lstrip("/")) if os.path.isdir(host)), None)  # noqa: PTH112
    if here is not None:
        beside = os.path.dirname(here)  # noqa: PTH120
    return _added(beside, folder, mode) if beside else _UNNAMED.format(mode=mode)


def _added(host: str, guest: str, mode: str) -> str:
    flag = _flag(host, guest, mode)
    return f"add {flag}" if flag else _UNNAMED.format(mode=mode)


def _flag(host: str, guest: str, mode: str) -> str | None:
    """Write it such that it is read as what is meant: with its mode where a path has a colon. None where nothing is."""
    from ._dirs import to_dir

    text = f"{host}:{guest}{mode or (':ro' if ':' in host + guest else '')}"
    read = to_dir(text)
    return f"`--dir {shlex.quote(text)}`" if (os.fspath(read.host or ""), read.at) == (host, guest) else None


def _is_in(folder: str, path: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
