#!/usr/bin/env python3
"""
Run a command in which `openat2` answers ENOSYS, as on kernels before 5.6 and under many container runtimes.

tests/security/without_openat2.py COMMAND [ARGUMENT...]
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

# <linux/seccomp.h>, <linux/filter.h>, <linux/prctl.h>; the number of the call is the same on x86-64 and arm64.
OPENAT2 = 437
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06


class Program(ctypes.Structure):
    """A filter, as `prctl` takes it."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forget_openat2() -> None:
    """Make `openat2` answer ENOSYS in this process and in everything it starts."""
    steps = [
        (LOAD_WORD, 0, 0, 0),
        (JUMP_IF_EQUAL, 0, 1, OPENAT2),
        (RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.ENOSYS),
        (RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = Program(len(steps), code)
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*call):
            raise OSError(ctypes.get_errno(), "the kernel takes no filter")
    if openat2() != errno.ENOSYS:
        raise OSError("the filter does not hold")


def openat2() -> int:
    """Open `/` by `openat2`, and give its error number."""
    libc = ctypes.CDLL(None, use_errno=True)
    how = struct.pack("QQQ", os.O_PATH, 0, 0)
    opened = libc.syscall(OPENAT2, -100, b"/", how, len(how))
    if opened >= 0:
        os.close(opened)
        return 0
    return ctypes.get_errno()


if __name__ == "__main__":
    forget_openat2()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - that is what it is for
