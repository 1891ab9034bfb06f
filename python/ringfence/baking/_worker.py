"""
The child process that makes a component in its working directory: `python -I -m … ISOLATION WORLD`.

What the script imports is run by componentize-py in WebAssembly, with that tool's engine and not ours. So this process
gives up its rights first: files but for those in its directory, connections, signals to others.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
_EXECUTE = 1
# How many rights to files there are, by version of Landlock; and from which on there are rights to connections, scopes.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_MOST_FILE_RIGHTS = 16
_HAS_NETWORK, _HAS_SCOPES = 4, 6
_CONNECTIONS, _SCOPES = 0b11, 0b11
_NEW_NETWORK = 0x10000000 | 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET
_CANNOT = 71

_LIMITS = {
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_CPU: 600,
    resource.RLIMIT_FSIZE: 1 << 30,
    resource.RLIMIT_NOFILE: 256,
}


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("connections", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def main(isolation: str, world: str) -> int:
    """Give up what is not needed, and make `out.wasm`."""
    from componentize_py import script

    for limit, most in _LIMITS.items():
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (most, most) if hard in {-1, resource.RLIM_INFINITY} else (min(most, hard),) * 2)
    if isolation == "worker":
        try:
            confine(Path.cwd())
        except OSError as error:
            print(f"cannot be kept apart: {error}", file=sys.stderr)  # noqa: T201 - our parent reads it
            return _CANNOT
    sys.argv = ["componentize-py", "-d", "wit", "-w", world, "componentize"]
    sys.argv += ["-p", "application", "-p", "site", "ringfence_baked", "-o", "out.wasm"]
    return int(script() or 0)


def confine(folder: Path) -> None:
    """
    Keep this process to one folder, for good.

    Raises:
        OSError: the kernel cannot, or this process has threads already, which would not be kept.
    """
    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208 - counted, not walked
        raise OSError("there are threads already")
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    if version < 1:
        raise OSError(ctypes.get_errno(), "no Landlock")
    libc.unshare(_NEW_NETWORK)  # where it may: Landlock knows of connections since version 4, and of TCP only
    rights = (1 << _FILE_RIGHTS.get(version, _MOST_FILE_RIGHTS)) - 1
    rules = _Ruleset(rights, _CONNECTIONS if version >= _HAS_NETWORK else 0, _SCOPES if version >= _HAS_SCOPES else 0)
    length = 24 if version >= _HAS_SCOPES else 16 if version >= _HAS_NETWORK else 8
    ruleset = _checked(libc.syscall(_CREATE_RULESET, ctypes.byref(rules), length, 0))
    parent = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    beneath = _Beneath(rights & ~_EXECUTE, parent)
    _checked(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(beneath), 0))
    _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(parent)
    os.close(ruleset)


def _checked(answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
